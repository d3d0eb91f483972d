"""
What crosses a verb's socket, checked before anything is done with it.

Ids and digests become names of files only after they matched here in full.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

CELL: Final = re.compile(r"c[0-9a-f]{16}")
TREE: Final = re.compile(r"[0-9a-f]{64}")
RUNTIME: Final = re.compile(r"[a-z][a-z0-9.]{1,31}")
MEMORY_MB: Final = range(128, 10_241)
EPHEMERAL_MB: Final = range(512, 10_241)
LAYERS: Final = 5
LARGEST_ID: Final = 1 << 53

Check = Callable[[Any], bool]


class Refused(Exception):
    """A verb is refused: `code` is for programs, `reason` for people."""

    def __init__(self, code: str, reason: str) -> None:
        """Both go to the caller; neither holds a path, a pid or a uid."""
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


def _matches(pattern: re.Pattern[str]) -> Check:
    return lambda value: isinstance(value, str) and bool(pattern.fullmatch(value))


def _within(numbers: range) -> Check:
    # `true` is a number to Python, not to this protocol.
    return lambda value: type(value) is int and value in numbers


def _some(check: Check, most: int) -> Check:
    """A list of different values, at most so many."""

    def checked(value: Any) -> bool:
        return (
            isinstance(value, list)
            and len(value) <= most
            and all(check(one) for one in value)
            and len(set(value)) == len(value)
        )

    return checked


def _or_null(check: Check) -> Check:
    return lambda value: value is None or check(value)


# Every verb with its members, and how many descriptors ride along.
SCHEMA: Final[Mapping[str, tuple[Mapping[str, Check], int]]] = {
    "open": ({"runtime": _matches(RUNTIME)}, 0),
    "assign": (
        {
            "cell": _matches(CELL),
            "tree": _or_null(_matches(TREE)),
            "layers": _some(_matches(TREE), LAYERS),
            "memory_mb": _within(MEMORY_MB),
            "ephemeral_mb": _within(EPHEMERAL_MB),
        },
        0,
    ),
    "workshop": (
        {"cell": _matches(CELL), "tree": _matches(TREE), "digest": _matches(TREE)},
        1,
    ),
    "keep": ({"tree": _matches(TREE)}, 0),
    "drop": ({"tree": _matches(TREE)}, 0),
    "close": ({"cell": _matches(CELL)}, 0),
    "status": ({}, 0),
}


def request_id(message: Mapping[str, Any]) -> int | None:
    """The id to answer under, or `None` if there is none that can be trusted."""
    number = message.get("id")
    known = type(number) is int and 0 <= number <= LARGEST_ID
    return number if known else None


def checked(message: Mapping[str, Any], descriptors: int) -> tuple[str, dict[str, Any]]:
    """
    The verb and its members, exactly those that it has.

    Raises `Refused` with `bad_message` or `unknown_verb`.
    """
    verb = message.get("verb")
    if not isinstance(verb, str) or verb not in SCHEMA:
        raise Refused("unknown_verb", f"`{str(verb)[:40]}` is not a verb")
    schema, expected = SCHEMA[verb]
    members = {name: value for name, value in message.items() if name != "verb"}
    if request_id(message) is None or set(members) - {"id"} != set(schema):
        raise Refused("bad_message", f"`{verb}` takes id and {sorted(schema)}")
    for name, check in schema.items():
        if not check(members[name]):
            raise Refused("bad_message", f"`{name}` of `{verb}` is malformed")
    if descriptors != expected:
        raise Refused("bad_message", f"`{verb}` takes {expected} descriptors")
    del members["id"]
    return verb, members
