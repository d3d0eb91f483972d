"""HTTP answers as bytes."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import final

_LINES = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*\Z")
_FRAMING = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that the front alone writes (H14)."""

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_LOWEST, _HIGHEST = 200, 599
NO_CONTENT, NOT_MODIFIED = 204, 304

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PLAINTEXT = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 28\r\n"
    b"Connection: close\r\n\r\nthis port speaks HTTPS only\n"
)


class AnswerError(Exception):
    """An answer cannot be sent as it is."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """
    An answer.

    headers: names and values in latin-1; those that frame a message are the
    front's own and dropped here.  body: bytes, or a stream that is sent in
    chunks as fast as the client reads.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes | AsyncIterator[bytes]


def write_head(response: Response, *, close: bool, now: float) -> bytes:
    """
    Write the status line and the headers.

    Raises AnswerError for a status that ends no request, or a header that
    would split the answer (H13).
    """
    status = response.status
    if not _LOWEST <= status <= _HIGHEST:
        raise AnswerError(f"{status} is not the status of an answer")
    told = [
        f"{name}: {value}\r\n"
        for name, value in response.headers
        if name.lower() not in _FRAMING
    ]
    lines = "".join(told)
    # A value with a whole line in it would match: there are as many as were told.
    if not _LINES.match(lines) or lines.count("\n") != len(told):
        raise AnswerError("a header that cannot be sent")
    framing = "" if bodiless(status) else _framing(response.body)
    tail = "Connection: close\r\n" if close else ""
    return (
        f"HTTP/1.1 {status} {_PHRASES.get(status, 'Status')}\r\n{lines}{framing}"
        f"Date: {_date(int(now))}\r\n{tail}\r\n"
    ).encode("latin-1")


def _framing(body: bytes | AsyncIterator[bytes]) -> str:
    if isinstance(body, bytes):
        return f"Content-Length: {len(body)}\r\n"
    return "Transfer-Encoding: chunked\r\n"


def bodiless(status: int) -> bool:
    """Tell whether an answer of this status has no body by definition."""
    return status in (NO_CONTENT, NOT_MODIFIED)


_dates: dict[int, str] = {}


def _date(second: int) -> str:
    """Write the date; clients correct their clocks by it.  One is kept."""
    known = _dates.get(second)
    if known is None:
        _dates.clear()
        known = _dates[second] = formatdate(second, usegmt=True)
    return known


_TOO_LARGE = (
    '{"__type":"RequestTooLargeException",'
    '"message":"the request is larger than its operation takes"}\n'
)
_TOO_LARGE_KIND = (
    "Content-Type: application/json\r\nx-amzn-ErrorType: RequestTooLargeException\r\n"
)


def constant(status: int) -> bytes:
    """Give the small answer to what was refused before it was a request."""
    phrase = _PHRASES.get(status, "Refused")
    body, kind = f"{status} {phrase}\n", "Content-Type: text/plain\r\n"
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # Clients do meet this one, with a payload or a package too many.
        body, kind = _TOO_LARGE, _TOO_LARGE_KIND
    return (
        f"HTTP/1.1 {status} {phrase}\r\n{kind}"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}"
    ).encode("ascii")
