"""Typed reading of parameters, refused in this service's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from casemate.core.operation import Parameters
from casemate.core.typed import Typed
from casemate.services.sqs.refusals import bad_value, invalid

_typed = Typed(invalid)

text = _typed.text
needed = _typed.needed
integer = _typed.integer
octets = _typed.octets
texts = _typed.texts
text_map = _typed.text_map
structure = _typed.structure


def ranged(parameters: Parameters, name: str, low: int, high: int) -> int | None:
    """Give a whole number within bounds, or None if it was not sent."""
    value = integer(parameters, name)
    if value is not None and not low <= value <= high:
        reason = f"Must be between {low} and {high}, if provided."
        raise bad_value(name, value, reason)
    return value


def structures(parameters: Parameters, name: str) -> Sequence[Mapping[str, object]]:
    """Give a list of structures; empty if it was not sent."""
    value = parameters.get(name) or ()
    if isinstance(value, list | tuple) and all(isinstance(v, Mapping) for v in value):
        return value
    raise invalid(f"`{name}` is not a list of structures")
