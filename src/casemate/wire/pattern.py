r"""
The models' regular expressions, which are Java's, in Python's words.

Held to the whole value, as AWS's services do, though models anchor them or not.
Differences translated: `\p{…}` classes, a hyphen after a class escape, ASCII
meaning of `\d \w \s`.  Python's engine backtracks, so a pattern that is
more than one repeated class sees only values to a bound.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import cache

BOUND = 2_048
"""Characters; the longest name that such a pattern describes, an ARN, has 2,048."""

_LINEAR = re.compile(r"\^?\(?(?:\[(?:[^\]\\]|\\.)*\]|\.|\\[wdsS])[*+]?\)?\$?\Z")
_PROPERTY = re.compile(r"\\p\{(\w+)\}")
_LAST = 0x33FFF
"""Past this plane Unicode has no letters, numbers or separators."""


@cache
def _property(name: str) -> str | None:
    """Give the ranges of a general category, as the inside of a class, or None."""
    if name == "ASCII":
        return r"\x00-\x7f"
    if name not in ("L", "N", "Z", "Lu", "Ll", "Nd", "P", "S", "M"):
        return None
    ranges: list[tuple[int, int]] = []
    for point in range(_LAST + 1):
        if unicodedata.category(chr(point)).startswith(name):
            if ranges and ranges[-1][1] == point - 1:
                ranges[-1] = (ranges[-1][0], point)
            else:
                ranges.append((point, point))
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in ranges)


def translate(pattern: str) -> str | None:
    """Write a model's pattern for Python, or give None where that cannot be done."""
    out: list[str] = []
    at, inside = 0, False
    while at < len(pattern):
        found = _PROPERTY.match(pattern, at)
        if found:
            ranges = _property(found[1])
            if ranges is None:
                return None
            out.append(ranges if inside else f"[{ranges}]")
            at = found.end()
            at = _hyphen(pattern, at, inside, out)
            continue
        step = 2 if pattern[at] == "\\" else 1
        piece = pattern[at : at + step]
        at += step
        if inside and (piece in ("[", "&") and pattern.startswith("&", at)):
            return None
        if inside and piece == "[":
            piece = r"\["
        elif piece == "[":
            inside = True
        elif piece == "]" and inside:
            inside = False
        out.append(piece)
        if piece in (r"\w", r"\d", r"\s", r"\S"):
            at = _hyphen(pattern, at, inside, out)
    return "".join(out)


def _hyphen(pattern: str, at: int, inside: bool, out: list[str]) -> int:
    """Escape the hyphen after a class escape: it is no range, in Java too."""
    if inside and pattern.startswith("-", at):
        out.append(r"\-")
        return at + 1
    return at


def matcher(pattern: str) -> Callable[[str], bool] | None:
    """
    Compile a pattern, or give None where it cannot be translated.

    A value longer than BOUND does not match, unless the pattern is one class
    repeated, which is linear.
    """
    translated = translate(pattern)
    if translated is None:
        return None
    try:
        compiled = re.compile(translated, re.ASCII)
    except (re.error, OverflowError):
        return None
    if _LINEAR.match(pattern):
        return lambda value: compiled.fullmatch(value) is not None
    return lambda value: len(value) <= BOUND and compiled.fullmatch(value) is not None
