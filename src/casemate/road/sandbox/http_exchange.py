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
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, cast, final

from casemate.core.http_chunks import ChunkError, Chunks
from casemate.core.http_head import (
    HEAD_END,
    Head,
    HeadError,
    Rules,
    grammar,
    read_head,
)
from casemate.road.sandbox.frames import ERROR_LIMIT, RESPONSE_LIMIT
from casemate.road.sandbox.inflow import Inflow

HEAD_LIMIT: Final = (1 << 20) + (1 << 16)
"""Bytes of headers: official clients send up to 1 MiB in one, an error's cause."""
HEADERS_LIMIT: Final = 64
TARGET_LIMIT: Final = 512
TRAILERS_LIMIT: Final = 1 << 16
"""Bytes of trailers, which Go's client announces at every answer; they mean nothing
but at the end of a stream."""
STREAM_TRAILERS_LIMIT: Final = ERROR_LIMIT * 4 // 3 + 4096
"""Bytes of trailers at the end of a stream: an error document in Base64."""
CHUNKS_AT_ONCE: Final = 256
"""Chunks of a stream that are read before it is seen whether it has to wait."""
READ_AHEAD: Final = 1 << 16
"""Bytes that are read while a request waits for its answer."""
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
_RULES: Final = Rules(
    # Clients in Go and C++ write an error's cause into a header as it is, in UTF-8.
    grammar=grammar(beyond_ascii=True),
    headers=HEADERS_LIMIT,
    once=frozenset({"content-type", "expect"}),
)
_ENDLESS: Final = 1 << 62
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
@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """
    One whole request.

    headers, trailers: names in lower case.  too_large: the body was past its
    limit, and is left out.  announced: the trailers that the head promised, as it
    listed them.  Of a streamed body nothing is here but its end.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    too_large: bool
    trailers: tuple[tuple[str, str], ...] = ()
    announced: str = ""


Opened = Callable[["Exchange", Head], Inflow | None]
Answered = Callable[["Exchange", Ask], None]


class _At(Enum):
    """What a connection is doing."""

    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    GONE = auto()


@final
class Exchange(asyncio.Protocol):
    """Reads one connection and hands each request to the Runtime API, in turn."""

    def __init__(
        self,
        opened: Opened,
        asked: Answered,
        closed: Callable[[Exchange], None],
        refused: Callable[[], None],
    ) -> None:
        """
        Speak with one client.

        opened: gets each head that is in bounds, and says where the body goes as
        it comes, if it is not to be kept.  asked: gets each request that is in
        bounds.  closed: hears the end.  refused: hears of each request that was
        refused.
        """
        self._opened = opened
        self._asked = asked
        self._closed = closed
        self._refused = refused
        self._transport: asyncio.Transport | None = None
        self._at = _At.HEAD
        self._in = bytearray()
        self._scanned = 0
        self._head: Head | None = None
        self._body = bytearray()
        self._missing = 0
        self._limit = 0
        self._chunks: Chunks | None = None
        self._inflow: Inflow | None = None
        self._too_large = False
        self._advancing = False
        self._choked = False
        self._held = False
        self._paused = False
        self._left = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where to answer."""
        # uvloop's transports are none of asyncio's classes; they only act alike.
        self._transport = cast("asyncio.Transport", transport)

    def pause_writing(self) -> None:
        """Read no further while answers lie unread: they would pile up here."""
        self._choked = True
        self._regulate()

    def resume_writing(self) -> None:
        """Go on: the answers are being read again."""
        self._choked = False
        self._advance()

    def hold(self) -> None:
        """Read no further while a streamed body cannot go on."""
        self._held = True
        self._regulate()

    def release(self) -> None:
        """Go on: it can again."""
        self._held = False
        self._advance()

    def eof_received(self) -> None:
        """Tell at once: what comes next may come on another connection."""
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell that nobody is there any more."""
        del exc
        self._transport = None
        self._leave()

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self._at = _At.GONE
            self._in.clear()
            self._body.clear()
            self._closed(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes; anything that is not plain HTTP ends the connection."""
        if self._at is not _At.GONE:
            self._in += data
            self._advance()

    # Reading.

    def _advance(self) -> None:
        """Read as far as the bytes go; a request at a time, so answers have order."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._in and not (self._choked or self._held) and self._step():
                pass
        except (HeadError, ChunkError) as error:
            status = getattr(error, "status", 400)
            told = f"the request is not taken: {error}"
            self.refuse(status if status in _PHRASES else 400, "InvalidRequest", told)
            self.hang_up()
        finally:
            self._advancing = False
        self._regulate()

    def _step(self) -> bool:
        if self._at is _At.HEAD:
            return self._take_head()
        return self._at is _At.BODY and self._take_body()

    def _take_head(self) -> bool:
        end = self._in.find(HEAD_END, max(0, self._scanned - len(HEAD_END) + 1))
        if (len(self._in) if end < 0 else end) > HEAD_LIMIT:
            raise HeadError(431, "its head is too large")
        if end < 0:
            self._scanned = len(self._in)
            return False
        head = read_head(bytes(self._in[:end]), _RULES)
        del self._in[: end + len(HEAD_END)]
        self._scanned = 0
        if (fault := _fault(head)) is not None:
            self.refuse(*fault)
            self.hang_up()
            return False
        self._head = head
        self._at = _At.BODY
        self._limit = ERROR_LIMIT if head.target.endswith("/error") else RESPONSE_LIMIT
        self._missing = head.length or 0
        self._inflow = self._opened(self, head)
        self._too_large = self._inflow is None and self._missing > self._limit
        self._chunks = None
        if head.length is None:
            streams = self._inflow is not None
            trailers = STREAM_TRAILERS_LIMIT if streams else TRAILERS_LIMIT
            self._chunks = Chunks(_ENDLESS, trailers=trailers, crumbs=streams)
        elif not self._missing:
            self._hand_on(b"")
            return True
        if head.expects and not self._in:
            self._write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _take_body(self) -> bool:
        """Keep a piece of the body, up to the limit; the rest is read and dropped."""
        if self._chunks is not None:
            return self._take_chunks(self._chunks)
        part = self._in[: self._missing]
        del self._in[: len(part)]
        self._missing -= len(part)
        if self._inflow is not None:
            self._too_large = not self._inflow.take(bytes(part), chunks=1)
        elif not self._too_large:
            self._body += part
        if not self._missing or (self._inflow is not None and self._too_large):
            self._hand_on(bytes(self._body))
        return True

    def _take_chunks(self, chunks: Chunks) -> bool:
        if self._inflow is not None:
            return self._pass_chunks(chunks, self._inflow)
        chunks.feed(self._in)
        if chunks.received > self._limit:
            self._too_large = True
            chunks.drop()
        if chunks.done:
            self._hand_on(chunks.body())
        return chunks.done

    def _pass_chunks(self, chunks: Chunks, inflow: Inflow) -> bool:
        """Pass on what came of a stream, small chunks together."""
        before, begun = len(self._in), chunks.count
        try:
            chunks.feed(self._in, chunks=CHUNKS_AT_ONCE)
        finally:
            # What came before a fault came.
            came = chunks.count - begun
            self._too_large = not inflow.take(chunks.take(), chunks=came)
        if chunks.done or self._too_large:
            self._hand_on(b"", tuple(chunks.told))
        return len(self._in) < before

    def _hand_on(self, body: bytes, trailers: tuple[tuple[str, str], ...] = ()) -> None:
        head = cast("Head", self._head)
        self._at = _At.ANSWER
        self._body.clear()
        self._chunks = self._inflow = None
        ask = Ask(
            method=head.method,
            target=head.target,
            headers=head.known,
            body=body,
            too_large=self._too_large,
            trailers=trailers,
            announced=",".join(v for name, v in head.headers if name == "trailer"),
        )
        self._asked(self, ask)

    def _regulate(self) -> None:
        """Read only what there is a use for."""
        ahead = self._at is _At.ANSWER and len(self._in) > READ_AHEAD
        pause = self._choked or self._held or ahead
        if pause is self._paused or not self.alive:
            return
        self._paused = pause
        transport = cast("asyncio.Transport", self._transport)
        (transport.pause_reading if pause else transport.resume_reading)()

    # Answering.

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
        self._write(head.encode("utf-8") + body)
        if self._at is not _At.ANSWER:
            return
        self._at = _At.HEAD
        if self._head is not None and self._head.close:
            self.hang_up()
        elif not self._advancing:
            self._advance()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def hang_up(self) -> None:
        """Close once the answer is out."""
        self._at = _At.GONE
        self._in.clear()
        if self._transport is not None:
            self._transport.close()

    @property
    def alive(self) -> bool:
        """Say whether somebody is still there."""
        return self._transport is not None and not self._transport.is_closing()


def _fault(head: Head) -> tuple[int, str, str] | None:
    """Judge a head before its body is read; give status, kind and message."""
    foreign = sorted(FOREIGN & head.known.keys())
    if head.known.get("host") not in HOSTS:
        return 403, "Forbidden", "the Host is not this cell's loopback"
    if foreign:
        return 403, "Forbidden", f"`{foreign[0]}` is not taken here"
    if not head.target.startswith("/"):
        return 400, "InvalidRequest", "the target must be a path"
    if len(head.target) > TARGET_LIMIT:
        return 400, "InvalidRequest", "the target is too long"
    return None
