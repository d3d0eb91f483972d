"""
JSON from strangers, read with orjson and held to what a shape can mean.

orjson itself refuses NaN, trailing text, a byte order mark, broken UTF-8 and
lone surrogates, never makes an integer of more than 64 bits, and stops at
1,024 levels.  Here the levels are fewer, and an object that names a member
twice is refused: two readers of such bytes may believe different things.
"""

from __future__ import annotations

import orjson

from casemate.wire.trouble import UnreadableError

DEPTH = 64
"""Levels of nesting; the deepest input of AWS that does not recurse has 12."""


def read_json(body: bytes) -> object:
    """Read one JSON text.  Raises UnreadableError."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise UnreadableError("the body is not JSON") from error
    if _measure(document) != _colons(body):
        raise UnreadableError("the body names a member of an object twice")
    return document


def _measure(document: object) -> int:
    """Count the members of all objects, level by level, to a bound of levels."""
    pairs = 0
    level = [document]
    for _ in range(DEPTH):
        below: list[object] = []
        for value in level:
            if type(value) is dict:
                pairs += len(value)
                below += [
                    v for v in value.values() if type(v) is dict or type(v) is list
                ]
            elif type(value) is list:
                below += [v for v in value if type(v) is dict or type(v) is list]
        if not below:
            return pairs
        level = below
    raise UnreadableError(f"the body is nested deeper than {DEPTH} levels")


def _colons(body: bytes) -> int:
    """
    Count the colons outside of texts: one for each member as written.

    The body is known to be JSON.  A run of backslashes starts an escape, so
    taking out pairs from the left, then escaped quotes, leaves only quotes
    that open or close a text.
    """
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return sum(outside.count(b":") for outside in body.split(b'"')[::2])
