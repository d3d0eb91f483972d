"""
One statement: compiled once, then three questions in a row.

Who is meant (in policies of resources), which resource, and under which
conditions; which action is asked before, by `Policy`, through an index.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from casemate.policy.iam.conditions import Condition, compile_conditions
from casemate.policy.iam.document import Kind, text_of, texts_of
from casemate.policy.iam.facts import Facts, lower
from casemate.policy.iam.glob import Matcher, matcher, tokens
from casemate.policy.iam.malformed import MalformedPolicyError
from casemate.policy.iam.principals import (
    Grant,
    Meant,
    compile_not_principal,
    compile_principal,
)
from casemate.policy.iam.variables import Template, fill, fixed, template

_ELEMENTS: Final = frozenset(
    {
        "Sid",
        "Effect",
        "Principal",
        "NotPrincipal",
        "Action",
        "NotAction",
        "Resource",
        "NotResource",
        "Condition",
    }
)
_ACTION = re.compile(
    r"(?:\*|\*:\*|[A-Za-z0-9][A-Za-z0-9-]{0,63}:[A-Za-z0-9*?_-]{1,128})\Z"
)
_SID = re.compile(r"[A-Za-z0-9]{0,128}\Z")
_LOOSE_SID = re.compile(r"[A-Za-z0-9 _.:/-]{0,128}\Z")
_ARN_COLONS: Final = 5
_WITH_PRINCIPAL: Final = frozenset({Kind.RESOURCE, Kind.TRUST})


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StatementRef:
    """A statement by name: policy, and its Sid or else its number from 0."""

    policy: str
    statement: str
    kind: Kind

    def __str__(self) -> str:
        """Write it as the record does: `policy#statement`."""
        return f"{self.policy}#{self.statement}"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """
    A compiled statement.

    action: takes an action in lower case.  meant: None in policies that have
    no Principal, where the identity is the one that the policy is attached to.
    """

    ref: StatementRef
    allow: bool
    action: Matcher
    resource: Callable[[Facts], bool]
    conditions: tuple[Condition, ...]
    meant: Meant | None

    def applies(self, facts: Facts) -> bool:
        """Tell whether resource and conditions fit; action and principal aside."""
        if not self.resource(facts):
            return False
        for condition in self.conditions:  # noqa: SIM110 — the hot path: a generator costs more
            if not condition.holds(facts):
                return False
        return True

    def grant(self, facts: Facts) -> Grant:
        """Tell how closely it means the principal; NONE if it says nobody."""
        return Grant.NONE if self.meant is None else self.meant(facts)

    def lacks(self, facts: Facts) -> str | None:
        """Name the first condition that fails, if conditions alone are in the way."""
        if not self.resource(facts):
            return None
        return next((c.label for c in self.conditions if not c.holds(facts)), None)


def compile_statement(
    raw: object, *, number: int, name: str, kind: Kind, variables: bool
) -> Statement:
    """Compile one statement.  Raises MalformedPolicyError, which names it."""
    if not isinstance(raw, dict):
        raise MalformedPolicyError(f"statement {number} is not an object")
    where = f"statement {number}"
    try:
        sid = _sid(raw, kind)
        where = f"statement `{sid}`" if sid else where
        _elements(raw, kind)
        allow = _effect(raw)
        return Statement(
            ref=StatementRef(policy=name, statement=sid or str(number), kind=kind),
            allow=allow,
            action=_actions(raw, kind),
            resource=_resources(raw, kind, allow, variables),
            conditions=compile_conditions(
                raw.get("Condition", {}), allow=allow, variables=variables
            ),
            meant=_principal(raw, kind, allow),
        )
    except MalformedPolicyError as error:
        raise MalformedPolicyError(f"{where}: {error.reason}") from error


def _elements(raw: dict[str, object], kind: Kind) -> None:
    unknown = [key for key in raw if key not in _ELEMENTS]
    if unknown:
        raise MalformedPolicyError(
            f"`{unknown[0][:64]}` is no element of a statement; there are "
            f"`Sid`, `Effect`, `Action`, `Resource`, `Principal`, `Condition` and "
            f"the `Not…` forms"
        )
    wanted = ["Action"]
    if kind in _WITH_PRINCIPAL:
        wanted.append("Principal")
    elif "Principal" in raw or "NotPrincipal" in raw:
        raise MalformedPolicyError(
            f"a policy of this kind ({kind}) has no `Principal`: the principal is whom "
            f"it is attached to"
        )
    if kind is not Kind.TRUST:
        wanted.append("Resource")
    elif "Resource" in raw or "NotResource" in raw:
        raise MalformedPolicyError(
            "a trust policy has no `Resource`: the resource is its role"
        )
    for element in wanted:
        _one_of(raw, element)


def _one_of(raw: dict[str, object], element: str) -> None:
    given = [key for key in (element, f"Not{element}") if key in raw]
    if not given:
        raise MalformedPolicyError(f"`{element}` or `Not{element}` is missing")
    if len(given) > 1:
        raise MalformedPolicyError(f"`{element}` and `Not{element}` exclude each other")


def _sid(raw: dict[str, object], kind: Kind) -> str:
    sid = text_of(raw.get("Sid", ""), "`Sid`")
    if not (_LOOSE_SID if kind is Kind.RESOURCE else _SID).match(sid):
        raise MalformedPolicyError(
            f"`Sid` `{sid[:64]}` may have letters and digits only, 128 at most"
        )
    return sid


def _effect(raw: dict[str, object]) -> bool:
    effect = raw.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise MalformedPolicyError("`Effect` must be `Allow` or `Deny`")
    return effect == "Allow"


def _actions(raw: dict[str, object], kind: Kind) -> Matcher:
    element = "Action" if "Action" in raw else "NotAction"
    names = texts_of(raw[element], f"`{element}`")
    for name in names:
        if not _ACTION.match(name):
            raise MalformedPolicyError(
                f"action `{name[:64]}` must be `service:Name`, with wildcards in "
                f"the name only, or `*`"
            )
        if kind is Kind.TRUST and not lower(name).startswith("sts:"):
            raise MalformedPolicyError(
                f"a trust policy allows `sts:AssumeRole` and its like, not "
                f"`{name[:64]}`"
            )
    if kind is Kind.TRUST and element == "NotAction":
        raise MalformedPolicyError("a trust policy names its `Action`")
    fits = _any_of([_action(lower(name)) for name in names])
    return fits if element == "Action" else lambda action: not fits(action)


def _action(name: str) -> Matcher:
    return matcher(tokens("*" if name == "*:*" else name))


def _any_of(matchers: list[Matcher]) -> Matcher:
    if len(matchers) == 1:
        return matchers[0]
    return lambda value: any(fits(value) for fits in matchers)


def _resources(
    raw: dict[str, object], kind: Kind, allow: bool, variables: bool
) -> Callable[[Facts], bool]:
    if kind is Kind.TRUST:
        return lambda _facts: True
    element = "Resource" if "Resource" in raw else "NotResource"
    patterns = [
        _resource(text, variables) for text in texts_of(raw[element], f"`{element}`")
    ]
    negated = element == "NotResource"
    ready = [matcher(items) for p in patterns if (items := fixed(p)) is not None]
    open_ = [pattern for pattern in patterns if fixed(pattern) is None]
    if open_:
        return _filled(ready, open_, negated, allow)
    fits = _any_of(ready)
    if negated:
        return lambda facts: not fits(facts.resource)
    return lambda facts: fits(facts.resource)


def _filled(
    ready: list[Matcher], open_: list[Template], negated: bool, allow: bool
) -> Callable[[Facts], bool]:
    """
    Match patterns with variables.

    One without a value fits nothing.  Under NotResource that would widen the
    statement, so there an Allow does not apply.
    """

    def fits(facts: Facts) -> bool:
        value = facts.resource
        found = any(test(value) for test in ready)
        for pattern in open_:
            items = fill(pattern, facts)
            if items is None:
                if negated and allow:
                    return False
            elif matcher(items)(value):
                found = True
        return found != negated

    return fits


def _resource(text: str, variables: bool) -> Template:
    if text == "*":
        return template(text, variables=False, wildcards=True)
    if not text.startswith("arn:") or text.count(":") < _ARN_COLONS:
        raise MalformedPolicyError(
            f"resource `{text[:128]}` must be `*` or an ARN with all its fields, "
            f"`arn:aws:service:region:account:resource`"
        )
    fields = text.split(":", _ARN_COLONS)
    if variables and any("${" in field for field in fields[:_ARN_COLONS]):
        raise MalformedPolicyError(
            f"resource `{text[:128]}` has a variable before the fifth colon; "
            f"variables may stand in the last field only"
        )
    if not fields[2] or not fields[_ARN_COLONS]:
        raise MalformedPolicyError(
            f"resource `{text[:128]}` names no service or no resource"
        )
    return template(text, variables=variables, wildcards=True)


def _principal(raw: dict[str, object], kind: Kind, allow: bool) -> Meant | None:
    if kind not in _WITH_PRINCIPAL:
        return None
    if "Principal" in raw:
        return compile_principal(raw["Principal"])
    return compile_not_principal(raw["NotPrincipal"], allow=allow)
