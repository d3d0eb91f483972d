"""
One connection of a client: requests in, answers out, one at a time, in order.

Bytes that come while a request is being answered wait, to a bound; then the
socket is no longer read.  Every state but answering has a deadline, and the
front looks at deadlines a few times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol, cast, final

from casemate.core.call import Request
from casemate.core.clock import Clock
from casemate.core.http_chunks import BodyTooLargeError, ChunkError, Chunks
from casemate.road.ingress.answer import (
    CONTINUE,
    AnswerError,
    Response,
    bodiless,
    constant,
    write_head,
)
from casemate.road.ingress.head import HEAD_END, Head, HeadError, Headers, read_head

Handler = Callable[[Request], Awaitable[Response]]
Admission = Callable[[str, str, Headers], int]
"""Tells, from method, path and headers, how many bytes a body may have."""

READ_AHEAD = 65_536
_SUSPECT = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|[^\r]\n|\r[^\n]")
_NEVER = float("inf")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FrontLimits:
    """
    What a client may take.

    Times are seconds.  body_rate, write_rate: bytes a second that a client must
    keep up, beyond body_seconds and write_seconds, to send and to read.
    connections, per_peer: from outside, and of one client there.  cells,
    per_account, per_cell: from cells, counted apart, so that no tenant's code can
    shut the door on anybody outside.  few_cells: of those of one account, that find
    a place in the half that is kept for such accounts; 256 cells are all there are.
    held_bytes: of all bodies that are under way together; held_by_one: of one
    client's or one account's cells'.  small: bytes of one's bodies that find room
    in the quarter that is kept for such clients.  held_by_strangers: of all bodies
    together that come with no credential of anybody who is known here.
    discard_bytes: read and thrown away after a refusal, so that the refusal can be
    read.
    """

    connections: int = 2_048
    per_peer: int = 512
    cells: int = 2_048
    per_account: int = 512
    per_cell: int = 64
    few_cells: int = 4
    head_bytes: int = 32_768
    held_bytes: int = 256 * 1_048_576
    held_by_one: int = 128 * 1_048_576
    held_by_strangers: int = 64 * 1_048_576
    small: int = 8 * 1_048_576
    handshake_seconds: float = 10.0
    head_seconds: float = 15.0
    idle_seconds: float = 75.0
    body_seconds: float = 20.0
    body_rate: int = 32_768
    write_seconds: float = 30.0
    write_rate: int = 32_768
    discard_seconds: float = 3.0
    discard_bytes: int = 96 * 1_048_576


class Keeper(Protocol):
    """What a connection needs of the front."""

    handler: Handler
    admit: Admission
    limits: FrontLimits
    clock: Clock
    draining: bool

    def refused(self, peer: str, reason: str) -> None: ...
    def crashed(self, error: Exception) -> None: ...
    def gone(self, connection: Connection) -> None: ...
    def ends_with_caller(self, task: asyncio.Task[None]) -> bool:
        """Tell whether a request only waits for something to come."""
        ...

    def knows(self, query: str, headers: Headers) -> bool:
        """Tell whether a head names a credential of somebody who is known here."""
        ...

    def hold(self, whose: str, count: int, *, stranger: bool) -> bool:
        """Count bytes of somebody's bodies in; False if they are too many."""
        ...


class _At(Enum):
    """What a connection is doing."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    DISCARD = auto()
    GONE = auto()


class Connection(asyncio.Protocol):
    """The protocol of one connection."""

    def __init__(
        self, keeper: Keeper, peer: str, cell: str | None, *, whose: str
    ) -> None:
        """Serve one client.  whose: who its bodies are counted against."""
        self.peer = peer
        self._whose = whose
        self.made = False
        self._keeper = keeper
        self._limits = keeper.limits
        self._cell = cell
        self._transport: asyncio.Transport | None = None
        self._at = _At.IDLE
        self._deadline = keeper.clock.monotonic() + self._limits.head_seconds
        self._in = bytearray()
        self._scanned = 0
        self._head: Head | None = None
        self._chunks: Chunks | None = None
        self._body = bytearray()
        self._missing = 0
        self._limit = 0
        self._received = 0
        self._held = 0
        self._stranger = False
        self._began = 0.0
        self._discarded = 0
        self._paused = False
        self._task: asyncio.Task[None] | None = None
        self._sending = False
        self._writable: asyncio.Future[None] | None = None

    # --- what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start."""
        self.made = True
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, _exc: Exception | None) -> None:
        """End; a request that was sent whole goes on without its answer (H22)."""
        self._at = _At.GONE
        self._in.clear()
        if self._task is None:
            self._forget_body()
        else:
            # Its body counts on, or a client that leaves at once could have any
            # number of bodies under way; its place is the account's.
            self._task.add_done_callback(lambda _: self._forget_body())
            if self._sending or self._keeper.ends_with_caller(self._task):
                self._task.cancel()
        self._keeper.gone(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if self._at is _At.DISCARD:
            self._discard(len(data))
            return
        self._in += data
        if self._at is not _At.ANSWER:
            self._advance()
        if self._at is _At.ANSWER and len(self._in) > READ_AHEAD:
            self._pause()

    def eof_received(self) -> bool:
        """Close: half a connection is not served."""
        return False

    def pause_writing(self) -> None:
        """Stop: the client does not read."""
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Go on: the client reads again."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # --- what the front calls

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._at not in (_At.IDLE, _At.GONE, _At.DISCARD)

    def expire(self, now: float) -> None:
        """End what has taken longer than it may."""
        if now < self._deadline:
            return
        if self._at is _At.HEAD or self._at is _At.BODY:
            self._refuse(408, "too slow")
        elif self._at is _At.IDLE:
            self.close()
        else:
            self.abort()

    def close(self) -> None:
        """Close once what was written is sent."""
        self._deadline = self._now() + self._limits.discard_seconds
        self._at = _At.DISCARD if self._at is not _At.GONE else _At.GONE
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Drop the connection."""
        self._deadline = _NEVER
        if self._transport is not None:
            self._transport.abort()

    # --- reading

    def _now(self) -> float:
        return self._keeper.clock.monotonic()

    def _advance(self) -> None:
        """Read as far as the bytes go."""
        try:
            while self._at in (_At.IDLE, _At.HEAD, _At.BODY) and self._step():
                pass
        except HeadError as error:
            self._refuse(error.status, error.reason)
        except ChunkError as error:
            self._refuse(400, str(error))
        except BodyTooLargeError:
            self._refuse(413, "a body that is too large")
        except Exception as error:  # noqa: BLE001 — the event loop's edge; it is reported
            self._keeper.crashed(error)
            self._refuse(500, "the platform failed on a head")

    def _step(self) -> bool:
        if self._at is _At.BODY:
            return self._take_body()
        return bool(self._in) and self._take_head()

    def _take_head(self) -> bool:
        end = self._in.find(HEAD_END, max(0, self._scanned - 3))
        if end < 0 or end > self._limits.head_bytes:
            self._await_head()
            return False
        head = read_head(bytes(self._in[:end]))
        del self._in[: end + 4]
        self._scanned = 0
        self._limit = self._keeper.admit(head.method, head.path, head.headers)
        if head.length is not None and head.length > self._limit:
            raise BodyTooLargeError
        self._head = head
        self._at = _At.BODY
        self._received = 0
        self._began = 0.0
        self._chunks = Chunks(self._limit) if head.length is None else None
        self._missing = head.length or 0
        if head.expects and head.length != 0 and not self._in:
            self._write(CONTINUE)
        return True

    def _await_head(self) -> None:
        """Look at the start of a head: what cannot become one is not waited for."""
        if self._at is _At.IDLE:
            self._at = _At.HEAD
            self._deadline = self._now() + self._limits.head_seconds
        if len(self._in) > self._limits.head_bytes:
            raise HeadError(431, "a head that is too large")
        first = self._in[0]
        if not ord("A") <= first <= ord("Z") or _SUSPECT.search(
            self._in, max(0, self._scanned - 1)
        ):
            raise HeadError(400, "the head is not HTTP/1.1")
        self._scanned = len(self._in)

    def _take_body(self) -> bool:
        whole = self._take_chunks() if self._chunks else self._take_length()
        if whole is None:
            self._began = self._began or self._now()
            self._await_body()
            return False
        self._start(whole)
        return False

    def _take_length(self) -> bytes | None:
        if not self._body and len(self._in) >= self._missing:
            body = bytes(self._in[: self._missing])
            del self._in[: self._missing]
            return body
        part = bytes(self._in[: self._missing])
        del self._in[: len(part)]
        self._count(len(part))
        self._missing -= len(part)
        self._body += part
        return None if self._missing else bytes(self._body)

    def _take_chunks(self) -> bytes | None:
        chunks = cast("Chunks", self._chunks)
        self._count(chunks.feed(self._in))
        return chunks.body() if chunks.done else None

    def _count(self, count: int) -> None:
        """Hold bytes of a body against the bound of all bodies together."""
        if not self._held and self._cell is None:
            head = cast("Head", self._head)
            self._stranger = not self._keeper.knows(head.query, head.headers)
        self._received += count
        self._held += count
        if not self._keeper.hold(self._whose, count, stranger=self._stranger):
            raise HeadError(503, "too many bytes of bodies under way")

    def _await_body(self) -> None:
        limits = self._limits
        earned = self._received / limits.body_rate
        self._deadline = self._began + limits.body_seconds + earned

    def _forget_body(self) -> None:
        if self._held:
            self._keeper.hold(self._whose, -self._held, stranger=self._stranger)
            self._held = 0
        self._body = bytearray()
        self._chunks = None
        self._head = None

    def _pause(self) -> None:
        if not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()

    # --- refusing

    def _refuse(self, status: int, reason: str) -> None:
        """
        Answer with a constant, and close.

        A client that is still sending would be reset before it has read the
        answer, so for a while what it sends is thrown away.
        """
        self._keeper.refused(self.peer, reason)
        sending = self._at is _At.BODY or status in (413, 431)
        self._in.clear()
        self._forget_body()
        self._write(constant(status))
        if sending:
            self._at = _At.DISCARD
            self._deadline = self._now() + self._limits.discard_seconds
        else:
            self.close()

    def _discard(self, count: int) -> None:
        self._discarded += count
        if self._discarded > self._limits.discard_bytes:
            self.abort()

    # --- answering

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _start(self, body: bytes) -> None:
        head = cast("Head", self._head)
        self._at = _At.ANSWER
        self._deadline = _NEVER
        request = Request(
            method=head.method,
            path=head.path,
            query=head.query,
            headers=head.headers,
            body=body,
            peer=self.peer,
            cell=self._cell,
        )
        self._body = bytearray()
        self._chunks = None
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._answer(request, close=head.close))

    async def _answer(self, request: Request, *, close: bool) -> None:
        """Have the request answered.  The one place where a failure ends."""
        begun = False
        response: Response | None = None
        try:
            response = await self._keeper.handler(request)
            if self._at is _At.GONE:
                return
            close = close or self._keeper.draining
            data = write_head(response, close=close, now=self._keeper.clock.now())
            begun = self._sending = True
            await self._send(request.method, response, data)
        except Exception as error:  # noqa: BLE001 — the task ends here; it is reported
            self._keeper.crashed(error)
            self._crash(begun=begun)
            return
        finally:
            self._task = None
            self._sending = False
            if response is not None and not isinstance(response.body, bytes):
                await _close(response.body)
        self._next(close=close)

    def _crash(self, *, begun: bool) -> None:
        if begun:
            # Half an answer must not look like a whole one.
            self.abort()
        else:
            self._write(constant(500))
            self.close()

    async def _send(self, method: str, response: Response, data: bytes) -> None:
        body = response.body
        if not isinstance(body, bytes):
            silent = method == "HEAD" or bodiless(response.status)
            await self._stream(data, body, silent=silent)
            return
        if method == "HEAD" or bodiless(response.status):
            body = b""
        if len(body) <= READ_AHEAD:
            self._write(data + body)
        else:
            self._write(data)
            self._write(body)
        if self._writable is not None:
            await self._drained(len(body))

    async def _stream(
        self, data: bytes, body: AsyncIterator[bytes], *, silent: bool
    ) -> None:
        """Send a stream in chunks, as fast as the client reads."""
        self._write(data)
        if silent:
            return
        async for part in body:
            if part:
                self._write(b"%x\r\n%b\r\n" % (len(part), part))
                if self._writable is not None:
                    await self._drained(len(part))
        self._write(b"0\r\n\r\n")

    async def _drained(self, count: int) -> None:
        """Wait until the client has read; the deadline falls if it does not."""
        limits = self._limits
        allowed = limits.write_seconds + count / limits.write_rate
        self._deadline = self._now() + allowed
        while self._writable is not None:
            await asyncio.shield(self._writable)
        self._deadline = _NEVER

    def _next(self, *, close: bool) -> None:
        """Go on to the next request, or close."""
        self._forget_body()
        if self._at is _At.GONE:
            return
        if close or self._keeper.draining:
            self.close()
            return
        self._at = _At.IDLE
        self._deadline = self._now() + self._limits.idle_seconds
        self._resume()
        if self._in:
            self._advance()


async def _close(body: AsyncIterator[bytes]) -> None:
    """Let go of a body, sent or not: who makes it waits for that."""
    closing = getattr(body, "aclose", None)
    if closing is not None:
        with contextlib.suppress(RuntimeError):
            await closing()


__all__ = ["Admission", "AnswerError", "Connection", "FrontLimits", "Handler", "Keeper"]
