"""A policy, compiled once per document."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple, final

from casemate.policy.iam.document import Kind, read_document, text_of
from casemate.policy.iam.malformed import MalformedPolicyError
from casemate.policy.iam.statement import Statement, compile_statement

_ELEMENTS: Final = frozenset({"Version", "Id", "Statement"})
_CURRENT: Final = "2012-10-17"
_VERSIONS: Final = frozenset({"2008-10-17", _CURRENT})
_INDEX_LIMIT: Final = 1024
"""Actions that a policy remembers; the platform has a few hundred."""


class Candidates(NamedTuple):
    """The statements of a policy that speak of one action."""

    denies: tuple[Statement, ...]
    allows: tuple[Statement, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    A compiled policy.

    Which statements speak of an action depends on the action alone, so the
    answer is kept per action; a call then looks at those statements only.
    """

    name: str
    kind: Kind
    statements: tuple[Statement, ...]
    _index: dict[str, Candidates] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def candidates(self, action: str) -> Candidates:
        """Give the statements for an action (in lower case)."""
        found = self._index.get(action)
        if found is None:
            fit = [each for each in self.statements if each.action(action)]
            found = Candidates(
                tuple(each for each in fit if not each.allow),
                tuple(each for each in fit if each.allow),
            )
            if len(self._index) < _INDEX_LIMIT:
                self._index[action] = found
        return found


def compile_policy(document: str, *, name: str, kind: Kind) -> Policy:
    """
    Compile a policy document.

    name: what the trace and the remedies call it (`AdministratorAccess`, or an
    ARN).  A document without Version is of 2008-10-17, and one of 2008-10-17
    has no variables.  Raises MalformedPolicyError.
    """
    raw = read_document(document, kind)
    unknown = [key for key in raw if key not in _ELEMENTS]
    if unknown:
        raise MalformedPolicyError(
            f"`{unknown[0][:64]}` is no element of a policy; there are `Version`, "
            f"`Id` and `Statement`"
        )
    version = _version(raw)
    _id(raw, kind)
    statements = tuple(
        compile_statement(
            each, number=number, name=name, kind=kind, variables=version == _CURRENT
        )
        for number, each in enumerate(_statements(raw))
    )
    _distinct(raw)
    return Policy(name=name, kind=kind, statements=statements)


def _version(raw: dict[str, object]) -> str:
    version = text_of(raw.get("Version", "2008-10-17"), "`Version`")
    if version not in _VERSIONS:
        raise MalformedPolicyError(
            f"`Version` `{version[:32]}` is not `{_CURRENT}` (or, without variables, "
            f"`2008-10-17`)"
        )
    return version


def _id(raw: dict[str, object], kind: Kind) -> None:
    if "Id" not in raw:
        return
    if kind not in {Kind.RESOURCE, Kind.TRUST}:
        raise MalformedPolicyError(f"a policy of this kind ({kind}) has no `Id`")
    text_of(raw["Id"], "`Id`")


def _statements(raw: dict[str, object]) -> list[object]:
    value = raw.get("Statement")
    statements = value if isinstance(value, list) else [value]
    if value is None or not statements:
        raise MalformedPolicyError("a policy has a `Statement`, with one at least")
    return statements


def _distinct(raw: dict[str, object]) -> None:
    sids = [
        each["Sid"]
        for each in _statements(raw)
        if isinstance(each, dict) and each.get("Sid")
    ]
    again = next((sid for at, sid in enumerate(sids) if sid in sids[:at]), None)
    if again is not None:
        raise MalformedPolicyError(
            f"`Sid` `{again}` is there twice; statement ids are unique in a policy"
        )
