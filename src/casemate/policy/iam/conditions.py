"""
The Condition block: every key of every operator must hold.

Within one key, the policy's values are alternatives (of a negated operator:
none may fit).  What a missing key means, in AWS's words:

    operator                        key missing
    positive                        false
    negated                         true
    …IfExists                       true
    ForAllValues:…                  true   (an empty set, or an empty string, too)
    ForAnyValue:…                   false  (the same)
    Null                            true if the policy says `true`

Where AWS leaves a case open, the reading that gives less access is taken: a
key with several values under an operator without `ForAllValues` or
`ForAnyValue` must hold for each of them in an Allow, and for any of them in a
Deny; a variable without a value makes an Allow not apply, and fits nothing in
a Deny.

Sources:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from casemate.policy.iam.document import Number, text_of
from casemate.policy.iam.facts import Facts, Value, lower
from casemate.policy.iam.malformed import MalformedPolicyError
from casemate.policy.iam.operators import OPERATORS, Compiled, Test

Holds = Callable[[Facts], bool]

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*:[^\x00-\x1f*]{1,512}\Z")
_EMPTY: tuple[Value, ...] = ("", (), ("",))


@final
@dataclass(frozen=True, slots=True)
class Condition:
    """One operator on one key.  label: how a person names it."""

    label: str
    holds: Holds


def compile_conditions(
    block: object, *, allow: bool, variables: bool
) -> tuple[Condition, ...]:
    """Compile a Condition block.  Raises MalformedPolicyError."""
    if not isinstance(block, dict):
        raise MalformedPolicyError(
            '`Condition` is an object, `{"StringEquals": {"aws:username": "ann"}}`'
        )
    found = []
    for operator, keys in block.items():
        if not isinstance(keys, dict) or not keys:
            raise MalformedPolicyError(
                f"condition operator `{operator[:64]}` must name a key and its values"
            )
        for key, raw in keys.items():
            found.append(_condition(operator, key, raw, allow, variables))
    return tuple(found)


def _condition(
    operator: str, key: str, raw: object, allow: bool, variables: bool
) -> Condition:
    if not _KEY.match(key):
        raise MalformedPolicyError(
            f"condition key `{key[:64]}` must begin with a service, as in "
            f"`aws:SourceIp`, and cannot have wildcards"
        )
    values, label = _values(raw, operator), f"{operator} {key}"
    if operator == "Null":
        return Condition(label, _null(lower(key), values))
    qualifier, name, if_exists = _split(operator)
    compile_values, negated = OPERATORS[name]
    try:
        compiled = compile_values(values, variables)
    except MalformedPolicyError as error:
        raise MalformedPolicyError(f"in `{label[:128]}`: {error.reason}") from error
    each = _each(compiled, negated, allow)
    return Condition(
        label, _quantified(lower(key), each, qualifier, if_exists, negated, allow)
    )


def _split(operator: str) -> tuple[str, str, bool]:
    qualifier, colon, name = operator.rpartition(":")
    base = name.removesuffix("IfExists")
    if base not in OPERATORS or (
        colon and qualifier not in {"ForAllValues", "ForAnyValue"}
    ):
        raise MalformedPolicyError(
            f"there is no condition operator `{operator[:64]}`; operators are "
            f"`StringEquals`, `ArnLike`, `NumericLessThan` and so on, in this case"
        )
    return qualifier, base, base != name


def _values(raw: object, operator: str) -> tuple[str, ...]:
    values = raw if isinstance(raw, list) else [raw]
    if not values:
        raise MalformedPolicyError(f"condition `{operator[:64]}` has an empty list")
    return tuple(_scalar(value, operator) for value in values)


def _scalar(value: object, operator: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return str(value)
    return text_of(value, f"a value of condition `{operator[:64]}`")


def _null(key: str, values: tuple[str, ...]) -> Holds:
    wanted = {lower(value) for value in values}
    if not wanted <= {"true", "false"}:
        raise MalformedPolicyError("`Null` takes `true` (no such key) or `false`")

    def holds(facts: Facts) -> bool:
        missing = facts.value(key) in (None, ())
        return ("true" if missing else "false") in wanted

    return holds


Each = Callable[[Facts], Test | None]
"""Give the test of one request value; None if the statement cannot apply."""


def _each(compiled: Compiled, negated: bool, allow: bool) -> Each:
    fixed, bind = compiled
    if bind is None:
        assert fixed is not None  # noqa: S101 — one of the two is always there
        test = _negate(fixed) if negated else fixed
        return lambda _facts: test

    def each(facts: Facts) -> Test | None:
        bound, complete = bind(facts)
        if allow and not complete:
            return None
        if bound is None:
            return lambda _value: negated
        return _negate(bound) if negated else bound

    return each


def _negate(test: Test) -> Test:
    return lambda value: not test(value)


def _quantified(
    key: str, each: Each, qualifier: str, if_exists: bool, negated: bool, allow: bool
) -> Holds:
    if qualifier:
        return _set(key, each, qualifier == "ForAllValues", if_exists)
    missing = if_exists or negated

    def holds(facts: Facts) -> bool:
        value = facts.value(key)
        if value is None or value == ():
            return missing
        test = each(facts)
        if test is None:
            return False
        if isinstance(value, str):
            return test(value)
        return all(map(test, value)) if allow else any(map(test, value))

    return holds


def _set(key: str, each: Each, every: bool, if_exists: bool) -> Holds:
    def holds(facts: Facts) -> bool:
        value = facts.value(key)
        if value is None:
            return every or if_exists
        if value in _EMPTY:
            return every
        test = each(facts)
        if test is None:
            return False
        values = (value,) if isinstance(value, str) else value
        return all(map(test, values)) if every else any(map(test, values))

    return holds
