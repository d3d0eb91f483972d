"""
What a runtime may say after a streamed answer: that it ended in an error.

Two trailers are known, and both must have been announced when the answer began
(RFC 9110, 6.6.2).  Anything else in their place is refused as a whole: trailers
that come when all is said must not change what was said (R3).

Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html#runtimes-custom-response-streaming
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Sequence
from typing import Final

from casemate.road.sandbox.frames import ERROR_LIMIT

TYPE: Final = "lambda-runtime-function-error-type"
BODY: Final = "lambda-runtime-function-error-body"
_KNOWN: Final = frozenset({TYPE, BODY})
_KIND: Final = re.compile(r"[\x21-\x7e]{1,256}\Z")
_UNKNOWN: Final = "Runtime.Unknown"


class TrailerError(Exception):
    """Trailers that are not taken."""


def error_told(announced: str, trailers: Sequence[tuple[str, str]]) -> bytes | None:
    """
    Give the error document that the trailers bring; None if they bring none.

    announced: what the head's `Trailer` lists.  Empty trailers say that there was
    no error.  Raises TrailerError.
    """
    told = {name: value for name, value in trailers if value}
    names = [name for name, _ in trailers]
    if len(set(names)) != len(names):
        raise TrailerError("a trailer is there twice")
    promised = {name.strip().lower() for name in announced.split(",")}
    for name in names:
        if name not in _KNOWN:
            raise TrailerError(f"`{name[:64]}` is no trailer of a streamed answer")
        if name not in promised:
            raise TrailerError(f"`{name}` was not announced in `Trailer`")
    if not told:
        return None
    kind = told.get(TYPE, "")
    if kind and not _KIND.match(kind):
        raise TrailerError(f"`{TYPE}` is no name of an error")
    return _document(kind, _decoded(told.get(BODY, "")))


def _decoded(value: str) -> bytes:
    try:
        body = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TrailerError(f"`{BODY}` is not Base64") from error
    if len(body) > ERROR_LIMIT:
        raise TrailerError(f"`{BODY}` is larger than {ERROR_LIMIT} bytes")
    return body


def _document(kind: str, body: bytes) -> bytes:
    """Make the document: the runtime's own if it is one, or what it said as one."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        if "errorType" in document or not kind:
            return body
        return json.dumps({**document, "errorType": kind}).encode()
    text = body.decode("utf-8", "replace")
    return json.dumps({"errorType": kind or _UNKNOWN, "errorMessage": text}).encode()
