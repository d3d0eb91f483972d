"""
Query strings and forms: pairs of texts, decoded once, to a bound.

`a.b.1=x` becomes a tree of mappings; an index is a name like any other until
its list is read, so a huge one allocates nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from casemate.wire.trouble import UnreadableError

FIELDS = 2_000
DEPTH = 32

Pairs = tuple[tuple[str, str], ...]
Tree = dict[str, "Tree | str"]

_BROKEN = re.compile("%(?![0-9A-Fa-f]{2})")

SIGNATURE = frozenset(
    {
        "X-Amz-Algorithm",
        "X-Amz-Content-Sha256",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-Security-Token",
        "X-Amz-Signature",
        "X-Amz-SignedHeaders",
    }
)
"""What a presigned URL carries beside its parameters; read by authn alone."""


def decode_percent(text: str) -> str:
    """Decode percent escapes exactly once, as UTF-8.  Raises UnreadableError."""
    if "%" not in text:
        if text.isascii():
            return text
        raise UnreadableError("the request has raw bytes where escapes are expected")
    if _BROKEN.search(text) or not text.isascii():
        raise UnreadableError("the request has a broken percent escape")
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError("the request has an escape that is not UTF-8") from error


def read_pairs(text: str) -> Pairs:
    """Read `a=b&c=d`; a name alone has an empty value; `+` is a space."""
    if not text:
        return ()
    if text.count("&") >= FIELDS:
        raise UnreadableError(f"the request has more than {FIELDS} parameters")
    pairs: list[tuple[str, str]] = []
    for part in text.split("&"):
        if part:
            name, _, value = part.replace("+", " ").partition("=")
            pairs.append((decode_percent(name), decode_percent(value)))
    return tuple(pairs)


def read_body(body: bytes) -> Pairs:
    """Read a form's bytes, which are ASCII once they are percent-encoded."""
    try:
        return read_pairs(body.decode("ascii"))
    except UnicodeDecodeError as error:
        raise UnreadableError("the form has bytes that are not ASCII") from error


def once(pairs: Pairs) -> Mapping[str, str]:
    """Give the pairs as a mapping.  A name that comes twice is refused."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise UnreadableError("the request names a parameter twice")
    return found


def tree(pairs: Pairs) -> Tree:
    """Split dotted names into a tree.  Raises UnreadableError for a conflict."""
    root: Tree = {}
    for dotted, value in pairs:
        *way, last = dotted.split(".", DEPTH)
        if len(way) >= DEPTH:
            raise UnreadableError(f"a parameter is nested deeper than {DEPTH} levels")
        node = root
        for name in way:
            below = node.setdefault(name, {})
            if isinstance(below, str):
                raise UnreadableError(
                    f"`{dotted[:64]}` is both a value and a structure"
                )
            node = below
        if last in node:
            raise UnreadableError(f"`{dotted[:64]}` is there twice")
        node[last] = value
    return root
