"""Members that travel in HTTP headers, and what no header may hold."""

from __future__ import annotations

import re
from collections.abc import Callable

from casemate.wire.model import Shape
from casemate.wire.scalar import text_reader, text_writer
from casemate.wire.trouble import (
    UnreadableError,
    UnsupportedProtocolError,
    WrongOutputError,
)

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_ELEMENT = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^",]*))\s*(?:,|\Z)')
_ITEMS = 1_000


def header(name: str, value: str) -> tuple[str, str]:
    """
    Make a header that cannot split an answer.

    Raises WrongOutputError for a name that is no token, and for a value with a
    control character or one outside of latin-1.
    """
    if not _NAME.match(name) or not _VALUE.match(value):
        raise WrongOutputError(f"`{name[:64]!r}` cannot be sent as a header")
    return name, value


def header_reader(shape: Shape) -> Callable[[str], object]:
    """Make the reader of a member in a header."""
    if shape.traits.get("jsonvalue"):
        raise UnsupportedProtocolError("JSON in a header is not spoken here")
    if shape.type != "list":
        return text_reader(shape, "rfc822")
    item = text_reader(shape.member, "rfc822")
    return lambda value: [item(element) for element in _elements(value)]


def _elements(value: str) -> list[str]:
    """Split a list at its commas, but not those in quotes (RFC 9110, 5.6.1)."""
    if value.count(",") > _ITEMS:
        raise UnreadableError(f"has more than {_ITEMS} elements")
    found: list[str] = []
    at = 0
    while at < len(value):
        element = _ELEMENT.match(value, at)
        if element is None or element.end() == at:
            raise UnreadableError("is not a list")
        quoted, plain = element[1], element[2]
        found.append(plain.strip() if quoted is None else quoted.replace('\\"', '"'))
        at = element.end()
    return found


def header_writer(shape: Shape) -> Callable[[object], str]:
    """Make the writer of a member in a header."""
    if shape.traits.get("jsonvalue"):
        raise UnsupportedProtocolError("JSON in a header is not spoken here")
    if shape.type != "list":
        return text_writer(shape, "rfc822")
    item = text_writer(shape.member, "rfc822")

    def write(value: object) -> str:
        if not isinstance(value, list | tuple):
            raise WrongOutputError(f"`{shape.name}` is written from a list")
        return ", ".join(item(element) for element in value)

    return write
