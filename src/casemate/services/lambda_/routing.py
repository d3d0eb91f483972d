"""
Where an alias leads: pure, and refused in this service's words.

An alias leads to one version, or to two that may run in each other's place:
both published, one role.  The second gets its weight of the invocations, the
first the rest.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuring-alias-routing.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from casemate.core.operation import Parameters
from casemate.services.lambda_.model import Alias, Version, is_number
from casemate.services.lambda_.names import LATEST
from casemate.services.lambda_.parameters import structure, text
from casemate.services.lambda_.refusals import invalid, not_found

DESCRIPTION = 256

Find = Callable[[str], Version | None]
"""Finds a published version by its number."""


def led(alias: Alias, parameters: Parameters, find: Find) -> Alias:
    """
    Give an alias as the parameters would have it; what is not given stays.

    Raises Invalid, and NotFound for a version that is not there.
    """
    description = text(parameters, "Description")
    if description is not None and len(description) > DESCRIPTION:
        raise invalid(f"`Description` must have at most {DESCRIPTION} characters")
    second, weight = _second(parameters) or (alias.second, alias.weight)
    after = replace(
        alias,
        version=text(parameters, "FunctionVersion") or alias.version,
        second=second,
        weight=weight,
        description=alias.description if description is None else description,
    )
    _check(after, find)
    return after


def _second(parameters: Parameters) -> tuple[str, float] | None:
    """Read the second version and its weight; `("", 0)` for none, None: not given."""
    routing = structure(parameters, "RoutingConfig")
    if routing is None:
        return None
    weights = structure(routing, "AdditionalVersionWeights") or {}
    if len(weights) > 1:
        raise invalid(
            "Number of items in AdditionalVersionWeights cannot be greater than 1"
        )
    for number, weight in weights.items():
        return number, _weight(number, weight)
    return "", 0.0


def _weight(number: str, given: object) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise invalid("a weight of `AdditionalVersionWeights` is not a number")
    if not 0.0 <= given <= 1.0:
        raise invalid(
            f"the weight of version `{number[:32]}` must be from 0.0 to 1.0, and is "
            f"{given}"
        )
    return float(given)


def _check(alias: Alias, find: Find) -> None:
    first = None
    if alias.version != LATEST:
        first = _found(alias, alias.version, find)
    if not alias.second:
        return
    if first is None:
        raise invalid(
            "$LATEST is not supported for an alias pointing to more than 1 version"
        )
    if alias.second == alias.version:
        raise invalid(
            f"Invalid function version {alias.version}. Function version "
            f"{alias.version} is already included in routing configuration."
        )
    second = _found(alias, alias.second, find)
    one, other = first.build.configuration, second.build.configuration
    if (one.role_arn, one.role_id) != (other.role_arn, other.role_id):
        raise invalid(
            f"versions {alias.version} and {alias.second} have different execution "
            "roles, so they cannot run in each other's place"
        )


def _found(alias: Alias, number: str, find: Find) -> Version:
    found = find(number) if is_number(number) else None
    if found is None:
        raise not_found(f"{alias.ref.arn}:{number[:128]}")
    return found
