"""
One connection to a cell's Runtime API: bytes in, whole requests out, answers back.

Whoever speaks here is the tenant's code, or a page that it was tricked into
fetching; so what a browser or a proxy would send is refused (DESIGN, section
5), and everything is bounded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, cast, final

import httptools

from casemate.road.sandbox.frames import ERROR_LIMIT, RESPONSE_LIMIT

HEAD_LIMIT: Final = (1 << 20) + (1 << 16)
"""Bytes of headers: official clients send up to 1 MiB in one, an error's cause."""
HEADERS_LIMIT: Final = 64
TARGET_LIMIT: Final = 512
HOSTS: Final = frozenset({"127.0.0.1:9001", "localhost:9001", "127.0.0.1", "localhost"})
# `origin` and `sec-fetch-*` come from browsers, the rest from proxies.
FOREIGN: Final = frozenset(
    {
        "forwarded",
        "origin",
        "referer",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
    }
)
_PHRASES: Final = {
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    413: "Payload Too Large",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
}


@final
@dataclass(slots=True)
class Ask:
    """One whole request.  headers: names in lower case."""

    method: str = ""
    target: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


Answered = Callable[["Exchange", Ask], None]


@final
class Exchange(asyncio.Protocol):
    """Parses one connection and hands each request to the Runtime API."""

    def __init__(
        self,
        asked: Answered,
        closed: Callable[[Exchange], None],
        refused: Callable[[], None],
    ) -> None:
        """
        Speak with one client.

        asked: gets each request that is in bounds.  closed: hears the end.
        refused: hears of each request that was refused.
        """
        self._asked = asked
        self._closed = closed
        self._refused = refused
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._ask = Ask()
        self._target = bytearray()
        self._body = bytearray()
        self._head_bytes = 0
        self._in_head = True
        self._fault: tuple[int, str, str] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to answer."""
        # uvloop's transports are none of asyncio's classes; they only act alike.
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        """Read no further while answers lie unread: they would pile up here."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on: the answers are being read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that nobody is there any more."""
        del exc
        self._transport = None
        self._closed(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes; anything that is not plain HTTP ends the connection."""
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_LIMIT + RESPONSE_LIMIT:
                self.hang_up()
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, UnicodeDecodeError):
            self.refuse(400, "InvalidRequest", "the request is not HTTP/1.1")
            self.hang_up()

    # What httptools calls.

    def on_message_begin(self) -> None:
        """Start a request."""
        self._ask = Ask()
        self._target.clear()
        self._body.clear()
        self._fault = None
        self._in_head = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        self._target += url
        if len(self._target) > TARGET_LIMIT:
            raise httptools.HttpParserError("the target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; trailers come here as well and mean nothing."""
        if not self._in_head:
            return
        key = name.decode("ascii").lower()
        headers = self._ask.headers
        self._head_bytes += len(name) + len(value)
        if len(headers) >= HEADERS_LIMIT or self._head_bytes > HEAD_LIMIT:
            raise httptools.HttpParserError("the headers are too large")
        if key in headers and key in ("host", "content-length", "content-type"):
            self._fault = (400, "InvalidRequest", f"`{key}` is there twice")
        headers[key] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Judge the head before the body is read."""
        self._in_head = False
        ask = self._ask
        ask.method = self._parser.get_method().decode("ascii")
        ask.target = self._target.decode("ascii")
        foreign = sorted(FOREIGN & ask.headers.keys())
        if ask.headers.get("host") not in HOSTS:
            self._fault = (403, "Forbidden", "the Host is not this cell's loopback")
        elif foreign:
            self._fault = (403, "Forbidden", f"`{foreign[0]}` is not taken here")
        elif not ask.target.startswith("/"):
            self._fault = (400, "InvalidRequest", "the target must be a path")
        elif "upgrade" in ask.headers:
            self._fault = (400, "InvalidRequest", "there is nothing to upgrade to")
        if ask.headers.get("expect", "").lower() == "100-continue" and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body, up to the limit; the rest is read and dropped."""
        limit = ERROR_LIMIT if self._ask.target.endswith("/error") else RESPONSE_LIMIT
        if len(self._body) + len(body) > limit:
            if self._fault is None:
                message = f"Exceeded maximum allowed payload size ({limit} bytes)."
                self._fault = (413, "RequestEntityTooLarge", message)
            return
        self._body += body

    def on_message_complete(self) -> None:
        """Hand the request on, or refuse it."""
        self._ask.body = bytes(self._body)
        self._body.clear()
        if self._fault is not None and self._fault[0] != 413:  # noqa: PLR2004 — HTTP
            self.refuse(*self._fault)
            self.hang_up()
            return
        self._asked(self, self._ask)

    @property
    def too_large(self) -> bool:
        """Say whether the body of this request was past its limit."""
        return self._fault is not None and self._fault[0] == 413  # noqa: PLR2004 — HTTP

    def refuse(self, status: int, kind: str, message: str) -> None:
        """Answer with an error in the Runtime API's form."""
        text = json.dumps({"errorMessage": message, "errorType": kind})
        self.answer(status, text.encode())
        self._refused()

    def answer(
        self, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        """Answer the request.  Header values hold no control characters."""
        if self._transport is None:
            return
        lines = [f"HTTP/1.1 {status} {_PHRASES[status]}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
        head = "\r\n".join(lines) + "\r\n\r\n"
        self._transport.write(head.encode("utf-8") + body)

    def hang_up(self) -> None:
        """Close once the answer is out."""
        if self._transport is not None:
            self._transport.close()

    @property
    def alive(self) -> bool:
        """Say whether somebody is still there."""
        return self._transport is not None and not self._transport.is_closing()
