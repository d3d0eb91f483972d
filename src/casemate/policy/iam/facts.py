"""What is asked, and the facts that a statement is held against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, final

from casemate.core.principal import Kind as PrincipalKind
from casemate.core.principal import Principal

Value = str | tuple[str, ...]

_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def lower(text: str) -> str:
    """
    Lower ASCII letters and no others.

    `str.lower` folds the Kelvin sign to `k`, and with it two names into one.
    """
    return text.lower() if text.isascii() else text.translate(_LOWER)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalView:
    """
    What policies can see of a principal.

    arn: of the user or of the session; empty for a service.  role_arn: of a
    session, the role behind it.  id: `AIDA…`, `AROA…:SESSION`.  service: of a
    service principal, its name (`events.amazonaws.com`).
    """

    arn: str
    account: str
    kind: PrincipalKind
    role_arn: str = ""
    id: str = ""
    service: str = ""

    @classmethod
    def of(cls, principal: Principal) -> Self:
        """View a proven principal."""
        service = principal.kind is PrincipalKind.SERVICE
        return cls(
            arn=principal.arn,
            account=principal.account,
            kind=principal.kind,
            role_arn=principal.role_arn,
            id=principal.id,
            service=principal.id if service else "",
        )


def principal_context(who: PrincipalView) -> dict[str, Value]:
    """
    Give the condition keys that follow from the principal alone.

    `aws:PrincipalArn` of a session is its role, as AWS has it; `aws:username`
    is there for users only.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    if who.kind is PrincipalKind.SERVICE:
        return {
            "aws:PrincipalIsAWSService": "true",
            "aws:PrincipalServiceName": who.service,
            "aws:PrincipalServiceNamesList": (who.service,),
        }
    context: dict[str, Value] = {
        "aws:PrincipalIsAWSService": "false",
        "aws:PrincipalArn": who.role_arn or who.arn,
        "aws:PrincipalAccount": who.account,
        "aws:userid": who.id,
    }
    if who.kind is PrincipalKind.USER:
        context["aws:PrincipalType"] = "User"
        context["aws:username"] = who.arn.rpartition("/")[2]
    else:
        context["aws:PrincipalType"] = "AssumedRole"
    return context


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """
    May this principal do this, to this, in this context?

    action: `lambda:InvokeFunction`.  resource: an ARN, or `*` for an action
    that has none.  context: condition keys in any case; a tuple is a key with
    several values.
    """

    principal: PrincipalView
    action: str
    resource: str
    context: Mapping[str, Value]


@final
class Facts:
    """An `Ask`, made ready once for all the statements that look at it."""

    __slots__ = ("_context", "_lowered", "bounded", "principal", "resource")

    def __init__(self, ask: Ask, *, bounded: bool) -> None:
        """Take what is asked; `bounded` if the principal has a boundary."""
        self.principal = ask.principal
        self.resource = ask.resource
        self.bounded = bounded
        self._context = ask.context
        self._lowered: dict[str, Value] | None = None

    def value(self, key: str) -> Value | None:
        """Give the value of a condition key, named in lower case."""
        lowered = self._lowered
        if lowered is None:
            lowered = self._lowered = _lowered(self._context)
        return lowered.get(key)


def _lowered(context: Mapping[str, Value]) -> dict[str, Value]:
    """
    Index the context by lower-case key.

    Two keys that differ in case alone (tags may) become one with both values,
    so that neither hides the other.
    """
    found: dict[str, Value] = {}
    for key, value in context.items():
        name = lower(key)
        if name in found:
            value = (*_tuple(found[name]), *_tuple(value))  # noqa: PLW2901 — the merged value takes its place
        found[name] = value
    return found


def _tuple(value: Value) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else value
