"""
Typed reading of an operation's parameters.

The codec gives each member the type of AWS's model; these functions turn that
into what mypy can see, and refuse anything else instead of believing it.
"""

from __future__ import annotations

from collections.abc import Mapping

from casemate.core.operation import Parameters
from casemate.services.lambda_.refusals import invalid


def text(parameters: Parameters, name: str) -> str | None:
    """Give a text, or None if it was not sent."""
    value = parameters.get(name)
    if value is None or isinstance(value, str):
        return value
    raise invalid(f"`{name}` is not a text")


def needed(parameters: Parameters, name: str) -> str:
    """Give a text that must be there."""
    value = text(parameters, name)
    if value is None:
        raise invalid(f"`{name}` is missing")
    return value


def integer(parameters: Parameters, name: str) -> int | None:
    """Give a whole number, or None if it was not sent."""
    value = parameters.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise invalid(f"`{name}` is not a whole number")


def octets(parameters: Parameters, name: str) -> bytes | None:
    """Give bytes, or None if they were not sent."""
    value = parameters.get(name)
    if value is None or isinstance(value, bytes):
        return value
    raise invalid(f"`{name}` is not a blob")


def structure(parameters: Parameters, name: str) -> Mapping[str, object] | None:
    """Give a structure, or None if it was not sent."""
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, Mapping):
        return value
    raise invalid(f"`{name}` is not a structure")


def texts(parameters: Parameters, name: str) -> tuple[str, ...] | None:
    """Give a list of texts, or None if it was not sent."""
    value = parameters.get(name)
    if value is None:
        return None
    if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
        return tuple(value)
    raise invalid(f"`{name}` is not a list of texts")


def text_map(parameters: Parameters, name: str) -> dict[str, str] | None:
    """Give a map of texts, or None if it was not sent."""
    value = structure(parameters, name)
    if value is None:
        return None
    found: dict[str, str] = {}
    for key, item in value.items():
        if not isinstance(item, str):
            raise invalid(f"`{name}` is not a map of texts")
        found[key] = item
    return found
