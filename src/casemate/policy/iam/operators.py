"""
Condition operators: does one value of the request fit one of the policy's?

Each entry of OPERATORS compiles the policy's values to a `Test`; negation, set
qualifiers and missing keys are the business of `conditions`, so every operator
here is the positive one.  A request value that is not of the operator's type
(text where a number is due) fits nothing.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import operator
from base64 import b64decode
from binascii import Error as NotBase64Error
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from casemate.policy.iam.facts import Facts, lower
from casemate.policy.iam.glob import Item, Matcher, literal, matcher
from casemate.policy.iam.malformed import MalformedPolicyError
from casemate.policy.iam.quantities import (
    NotAQuantityError,
    address_in,
    date,
    network,
    number,
)
from casemate.policy.iam.variables import Template, fill, fixed, template

T = TypeVar("T")
Test = Callable[[str], bool]
Bind = Callable[[Facts], tuple[Test | None, bool]]
"""Fill the variables in: the test that is left (None: nothing can fit), and
whether every variable had a value."""


class Compiled(NamedTuple):
    """A compiled operator: either a fixed test, or one that variables finish."""

    test: Test | None
    bind: Bind | None


Compile = Callable[[tuple[str, ...], bool], Compiled]
"""(the policy's values, whether variables expand) -> the compiled operator."""

_ARN_FIELDS = 6


def _texts(
    make: Callable[[Template], Callable[[Facts | None], Test | None]],
    *,
    wildcards: bool,
) -> Compile:
    """Make an operator over text, whose values may hold variables."""

    def compile_values(values: tuple[str, ...], variables: bool) -> Compiled:
        ready: list[Test] = []
        open_: list[Callable[[Facts | None], Test | None]] = []
        for value in values:
            parts = template(value, variables=variables, wildcards=wildcards)
            made = make(parts)
            test = made(None) if fixed(parts) is not None else None
            if test is None:
                open_.append(made)
            else:
                ready.append(test)
        if not open_:
            return Compiled(_any(ready), None)

        def bind(facts: Facts) -> tuple[Test | None, bool]:
            bound = [made(facts) for made in open_]
            tests = [*ready, *(test for test in bound if test is not None)]
            return (_any(tests) if tests else None), None not in bound

        return Compiled(None, bind)

    return compile_values


def _any(tests: list[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]
    return lambda value: any(test(value) for test in tests)


def _items(parts: Template, facts: Facts | None) -> tuple[Item, ...] | None:
    return fixed(parts) if facts is None else fill(parts, facts)


def _glob(parts: Template) -> Callable[[Facts | None], Test | None]:
    def made(facts: Facts | None) -> Test | None:
        items = _items(parts, facts)
        return None if items is None else matcher(items)

    return made


def _ignoring_case(parts: Template) -> Callable[[Facts | None], Test | None]:
    def made(facts: Facts | None) -> Test | None:
        items = _items(parts, facts)
        if items is None:
            return None
        wanted = lower(literal(items) or "")
        return lambda value: lower(value) == wanted

    return made


def _arn(parts: Template) -> Callable[[Facts | None], Test | None]:
    """Compare ARNs field by field; a `*` never leaves its field."""
    fields = _fields(parts)

    def made(facts: Facts | None) -> Test | None:
        filled = [_items(field, facts) for field in fields]
        if None in filled:
            return None
        ready: list[Matcher] = [matcher(items) for items in filled if items is not None]
        if len(ready) == 1:  # a lone `*`, or one variable that is the whole ARN
            return ready[0]

        def fits(value: str) -> bool:
            found = value.split(":", _ARN_FIELDS - 1)
            return len(found) == _ARN_FIELDS and all(
                test(field) for test, field in zip(ready, found, strict=True)
            )

        return fits

    return made


def _fields(parts: Template) -> list[Template]:
    """
    Cut a template at its first five colons, before any value is put in.

    So no variable's value can move a field.
    """
    fields: list[list[Item | object]] = [[]]
    for part in parts:
        if not isinstance(part, str):
            fields[-1].append(part)
            continue
        first, *rest = part.split(":", _ARN_FIELDS - len(fields))
        fields[-1].append(first)
        fields.extend([piece] for piece in rest)
    cut: list[Template] = [tuple(field) for field in fields]  # type: ignore[arg-type]  # the parts are those of `parts`
    alone = len(cut) == 1 and len([part for part in cut[0] if part]) == 1
    whole = alone and not isinstance(cut[0][-1], str)
    if len(cut) != _ARN_FIELDS and not whole:
        raise MalformedPolicyError(
            "an ARN operator takes `arn:partition:service:region:account:resource`, "
            "with wildcards within its fields, or `*`"
        )
    return cut


def _numbers(compare: Callable[[Any, Any], bool]) -> Compile:
    return _quantities(number, compare, "a number")


def _dates(compare: Callable[[Any, Any], bool]) -> Compile:
    return _quantities(date, compare, "a date (`2026-01-31T00:00:00Z` or epoch)")


def _quantities(
    read: Callable[[str], object],
    compare: Callable[[Any, Any], bool],
    what: str,
) -> Compile:
    def compile_values(values: tuple[str, ...], _variables: bool) -> Compiled:
        limits = [_read(read, value, what) for value in values]

        def fits(value: str) -> bool:
            try:
                given = read(value)
            except NotAQuantityError:
                return False
            return any(compare(given, limit) for limit in limits)

        return Compiled(fits, None)

    return compile_values


def _read(read: Callable[[str], T], value: str, what: str) -> T:
    try:
        return read(value)
    except NotAQuantityError as error:
        raise MalformedPolicyError(f"`{value[:64]}` is not {what}") from error


def _bools(values: tuple[str, ...], variables: bool) -> Compiled:
    for value in values:
        if lower(value) not in {"true", "false"} and not (
            variables and value.startswith("${")
        ):
            raise MalformedPolicyError(f"`{value[:64]}` is not `true` or `false`")
    return _texts(_ignoring_case, wildcards=False)(values, variables)


def _addresses(values: tuple[str, ...], _variables: bool) -> Compiled:
    networks = [_read(network, value, "an address or a CIDR block") for value in values]
    return Compiled(lambda value: address_in(value, networks), None)


def _binaries(values: tuple[str, ...], _variables: bool) -> Compiled:
    wanted = {_base64(value) for value in values}
    if None in wanted:
        raise MalformedPolicyError("`BinaryEquals` takes base64")
    return Compiled(lambda value: _base64(value) in wanted, None)


def _base64(value: str) -> bytes | None:
    try:
        return b64decode(value, validate=True)
    except (NotBase64Error, ValueError):
        return None


OPERATORS: dict[str, tuple[Compile, bool]] = {
    "StringEquals": (_texts(_glob, wildcards=False), False),
    "StringNotEquals": (_texts(_glob, wildcards=False), True),
    "StringEqualsIgnoreCase": (_texts(_ignoring_case, wildcards=False), False),
    "StringNotEqualsIgnoreCase": (_texts(_ignoring_case, wildcards=False), True),
    "StringLike": (_texts(_glob, wildcards=True), False),
    "StringNotLike": (_texts(_glob, wildcards=True), True),
    "NumericEquals": (_numbers(operator.eq), False),
    "NumericNotEquals": (_numbers(operator.eq), True),
    "NumericLessThan": (_numbers(operator.lt), False),
    "NumericLessThanEquals": (_numbers(operator.le), False),
    "NumericGreaterThan": (_numbers(operator.gt), False),
    "NumericGreaterThanEquals": (_numbers(operator.ge), False),
    "DateEquals": (_dates(operator.eq), False),
    "DateNotEquals": (_dates(operator.eq), True),
    "DateLessThan": (_dates(operator.lt), False),
    "DateLessThanEquals": (_dates(operator.le), False),
    "DateGreaterThan": (_dates(operator.gt), False),
    "DateGreaterThanEquals": (_dates(operator.ge), False),
    "Bool": (_bools, False),
    "BinaryEquals": (_binaries, False),
    "IpAddress": (_addresses, False),
    "NotIpAddress": (_addresses, True),
    "ArnEquals": (_texts(_arn, wildcards=True), False),
    "ArnLike": (_texts(_arn, wildcards=True), False),
    "ArnNotEquals": (_texts(_arn, wildcards=True), True),
    "ArnNotLike": (_texts(_arn, wildcards=True), True),
}
"""By AWS's name: how it compiles, and whether it negates."""
