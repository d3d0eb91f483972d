"""
JMESPath, as far as its cost is known before the event is.

An expression is a path of names and indices, or one choice of several such
paths at its end (`[a, b.c]`, `{x: a}`), and `powertools_json(PATH)`, which reads
a text as JSON.  A path visits each of its steps once, so an evaluation costs
what reading the event costs.  Everything else of JMESPath is refused: a wildcard,
a filter or a pipe visits the event as often as the event says, and a choice in
a choice can double what is found with every step.

Numbers are kept as they are spelled past what a float holds: two keys that
differ in their last digit are two keys.

Source: https://jmespath.org/specification.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final, final

import msgspec
from jmespath.exceptions import JMESPathError
from jmespath.parser import Parser

LONGEST: Final = 256
"""Characters of an expression, which is what a tag's value has."""
CHOICES: Final = 8
"""Paths of one choice."""

_PARSES: Final = "powertools_json"
_SELECTS: Final = ("multi_select_list", "multi_select_dict")
_decode: Final = msgspec.json.Decoder(
    float_hook=lambda spelled: msgspec.Raw(spelled.encode())
).decode


class ExpressionError(ValueError):
    """It is no JMESPath, or not of the part that is bounded."""


class EventError(ValueError):
    """The event cannot be read: no JSON in UTF-8, or too deep."""


class _Parse(Enum):
    """The step that reads a text as JSON."""

    JSON = _PARSES


Step = str | int | _Parse
Steps = tuple[Step, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """
    A compiled expression.

    steps: lead to what is chosen from.  choices: what is chosen there, by label;
    None where the steps lead to the value itself.  is_labelled: the choice is an
    object, not a list.
    """

    text: str
    steps: Steps
    choices: tuple[tuple[str, Steps], ...] | None = None
    is_labelled: bool = False

    def parts(self, event: object) -> Sequence[object]:
        """Find the values; None for each that is not there."""
        found = _walk(event, self.steps)
        if self.choices is None:
            return (found,)
        return [_walk(found, steps) for _, steps in self.choices]

    def value(self, parts: Sequence[object]) -> object:
        """Put the values together as JMESPath would give them."""
        if self.choices is None:
            return parts[0]
        if not self.is_labelled:
            return list(parts)
        labels = (label for label, _ in self.choices)
        return dict(zip(labels, parts, strict=True))


@lru_cache(maxsize=4096)
def compiled(text: str) -> Expression:
    """Compile an expression.  Raises ExpressionError."""
    if not 1 <= len(text) <= LONGEST:
        raise ExpressionError(f"it must have 1 to {LONGEST} characters")
    try:
        # The parser keeps 128 expressions for the whole process, and the version
        # that the AWS CLI asks for fails on Python 3.11 when there is one more.
        Parser.purge()
        parsed = Parser().parse(text).parsed
    except (JMESPathError, RecursionError, ValueError) as cause:
        line = str(cause).partition("\n")[0]
        raise ExpressionError(f"it is no JMESPath: {line}") from cause
    return _expression(text, parsed)


def read(payload: bytes) -> object:
    """Read an event.  Raises EventError."""
    try:
        return _decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as cause:
        raise EventError(str(cause)) from cause


def canonical(value: object) -> bytes:
    """
    Spell a value in the one way that all its spellings share.

    Raises EventError.
    """
    try:
        return msgspec.json.encode(value, order="sorted")
    except (msgspec.EncodeError, RecursionError, UnicodeEncodeError) as cause:
        raise EventError(str(cause)) from cause


def is_missing(part: object) -> bool:
    """Tell whether a value cannot be a key, or a part of one: nothing, or empty."""
    return part is None or (isinstance(part, str | list | dict) and not part)


Node = Mapping[str, object]


def _expression(text: str, node: Node) -> Expression:
    before: Steps = ()
    children = _children(node)
    if node["type"] == "subexpression" and children[-1]["type"] in _SELECTS:
        before = tuple(step for child in children[:-1] for step in _steps(child))
        node = children[-1]
    if node["type"] not in _SELECTS:
        return Expression(text=text, steps=_steps(node))
    choices = tuple(_choice(child) for child in _children(node))
    if len(choices) > CHOICES:
        raise ExpressionError(f"it chooses more than {CHOICES} values")
    return Expression(
        text=text,
        steps=before,
        choices=choices,
        is_labelled=node["type"] == "multi_select_dict",
    )


def _choice(node: Node) -> tuple[str, Steps]:
    if node["type"] == "key_val_pair":
        return str(node["value"]), _steps(_children(node)[0])
    return "", _steps(node)


def _steps(node: Node) -> Steps:
    """Give the steps of a path.  Raises ExpressionError for all that is none."""
    kind, value = node["type"], node.get("value")
    if kind == "field" and isinstance(value, str):
        return (value,)
    if kind == "index" and isinstance(value, int):
        return (value,)
    if kind in ("current", "identity"):
        return ()
    children = _children(node)
    if kind in ("subexpression", "index_expression"):
        return tuple(step for child in children for step in _steps(child))
    if kind == "function_expression" and value == _PARSES and len(children) == 1:
        return (*_steps(children[0]), _Parse.JSON)
    named = f"the function `{value}`" if kind == "function_expression" else f"`{kind}`"
    raise ExpressionError(
        f"{named} is not taken: only names, indices, `{_PARSES}(PATH)` and one choice "
        "`[a, b]` or `{x: a}` at the end have a bounded cost"
    )


def _children(node: Node) -> Sequence[Node]:
    children = node["children"]
    return children if isinstance(children, list) else ()


def _walk(value: object, steps: Steps) -> object:
    for step in steps:
        value = _step(value, step)
    return value


def _step(value: object, step: Step) -> object:
    if isinstance(step, str):
        return value.get(step) if isinstance(value, dict) else None
    if isinstance(step, int):
        there = isinstance(value, list) and -len(value) <= step < len(value)
        return value[step] if there and isinstance(value, list) else None
    try:
        return read(value.encode()) if isinstance(value, str) else None
    except (EventError, UnicodeEncodeError):
        return None  # a text that is no JSON has nothing to be found in
