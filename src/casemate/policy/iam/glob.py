"""
Wildcards: `*` is any text, `?` is any one character.

Matching never backtracks.  A pattern is cut at its `*` into pieces of fixed
length; the first is anchored at the start, the last at the end, and each piece
between is found leftmost after the one before, which is enough because a `*`
may swallow anything.  A value of n characters costs O(n) for pieces without
`?`, and O(n · piece) at worst for those with.

A dropped approach: translating to `a.*b.*c` regular expressions, which
backtrack exponentially in the number of stars.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

from casemate.policy.iam.malformed import MalformedPolicyError

WILDCARD_LIMIT: Final = 128
"""Wildcards in one string; AWS documents none, and a bound is a bound."""


class Wild(Enum):
    """A wildcard in a pattern."""

    MANY = "*"
    ONE = "?"


Item = str | Wild
"""A piece of a pattern: literal text, or a wildcard."""

Matcher = Callable[[str], bool]
_Find = Callable[[str, int, int], int]
"""Find a piece in value[start:end] leftmost; gives where it ends, or -1."""

_SPLIT = re.compile(r"([*?])")


def tokens(text: str) -> tuple[Item, ...]:
    """Read a pattern.  Raises MalformedPolicyError past the bound on wildcards."""
    items = tuple(
        Wild(part) if part in "*?" else part for part in _SPLIT.split(text) if part
    )
    if sum(isinstance(item, Wild) for item in items) > WILDCARD_LIMIT:
        raise MalformedPolicyError(
            f"`{text[:64]}…` has more than {WILDCARD_LIMIT} wildcards"
        )
    return items


def literal(items: Iterable[Item]) -> str | None:
    """Give the text of a pattern that has no wildcard, or None."""
    parts = []
    for item in items:
        if not isinstance(item, str):
            return None
        parts.append(item)
    return "".join(parts)


def matcher(items: Iterable[Item]) -> Matcher:
    """Compile a pattern to a function that tells whether a whole value fits."""
    pieces = _pieces(tuple(items))
    if len(pieces) == 1:
        return _whole(pieces[0])
    head, *middle, tail = pieces
    simple = literal(head), literal(tail)
    if not any(middle) and None not in simple:
        return _affixes(str(simple[0]), str(simple[1]))
    return _general(head, [piece for piece in middle if piece], tail)


def _pieces(items: tuple[Item, ...]) -> list[tuple[Item, ...]]:
    pieces: list[list[Item]] = [[]]
    for item in items:
        if item is Wild.MANY:
            pieces.append([])
        elif isinstance(item, str) and pieces[-1] and isinstance(pieces[-1][-1], str):
            pieces[-1][-1] += item
        else:
            pieces[-1].append(item)
    return [tuple(piece) for piece in pieces]


def _whole(piece: tuple[Item, ...]) -> Matcher:
    text = literal(piece)
    if text is not None:
        return text.__eq__
    pattern = _fixed(piece)
    return lambda value: pattern.fullmatch(value) is not None


def _affixes(head: str, tail: str) -> Matcher:
    if not head and not tail:
        return lambda _value: True
    if not tail:
        return lambda value: value.startswith(head)
    if not head:
        return lambda value: value.endswith(tail)
    least = len(head) + len(tail)
    return lambda value: (
        len(value) >= least and value.startswith(head) and value.endswith(tail)
    )


def _general(
    head: tuple[Item, ...], middle: list[tuple[Item, ...]], tail: tuple[Item, ...]
) -> Matcher:
    starts, ends = _fixed(head), _fixed(tail)
    first, last = _length(head), _length(tail)
    finds = [_find(piece) for piece in middle]

    def matches(value: str) -> bool:
        at, end = first, len(value) - last
        if at > end or not starts.match(value) or not ends.match(value, end):
            return False
        for find in finds:
            at = find(value, at, end)
            if at < 0:
                return False
        return True

    return matches


def _find(piece: tuple[Item, ...]) -> _Find:
    text = literal(piece)
    if text is not None:
        size = len(text)

        def find_text(value: str, start: int, end: int) -> int:
            found = value.find(text, start, end)
            return found if found < 0 else found + size

        return find_text
    pattern = _fixed(piece)

    def find_pattern(value: str, start: int, end: int) -> int:
        found = pattern.search(value, start, end)
        return -1 if found is None else found.end()

    return find_pattern


def _fixed(piece: tuple[Item, ...]) -> re.Pattern[str]:
    """Compile a piece without `*`: no repetition, hence nothing to backtrack."""
    return re.compile(
        "".join("." if item is Wild.ONE else re.escape(str(item)) for item in piece),
        re.DOTALL,
    )


def _length(piece: tuple[Item, ...]) -> int:
    return sum(1 if item is Wild.ONE else len(str(item)) for item in piece)
