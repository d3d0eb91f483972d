"""
The warden's verbs, as the node calls them.

One SEQPACKET socket; a message is one JSON object and may carry descriptors.
Answers come in any order and find their question by its number.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

MESSAGE_LIMIT = 200 * 1024
FDS_LIMIT = 16
ANSWER_SECONDS = 30.0


class WardenError(Exception):
    """The warden says no; `code` is its word."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class WardenGoneError(Exception):
    """The warden hung up, broke its framing, or does not answer."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a verb gave; the caller owns the descriptors."""

    ok: dict[str, object]
    descriptors: tuple[int, ...]


class Warden:
    """The node's end of the socket to the warden."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected SEQPACKET socket."""
        self._socket = connection
        self._socket.setblocking(False)
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._unsent: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._next = 1
        self._gone: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closings: set[asyncio.Task[None]] = set()
        self.late = 0
        """Answers that came after their question was given up."""

    def start(self) -> None:
        """Listen on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def stop(self) -> None:
        """Stop listening and close; questions under way fail."""
        self._fail("the node has let go of the warden")

    async def ask(
        self,
        verb: str,
        /,
        *,
        descriptors: Sequence[int] = (),
        seconds: float = ANSWER_SECONDS,
        **words: object,
    ) -> Answer:
        """
        Ask and await the answer.

        Descriptors are duplicated on the way, so the caller keeps its own.
        Raises WardenError, WardenGoneError.
        """
        if self._gone is not None or self._loop is None:
            raise WardenGoneError(self._gone or "the warden's client is not started")
        number = self._next
        self._next += 1
        message = json.dumps({"id": number, "verb": verb, **words}).encode()
        if len(message) > MESSAGE_LIMIT:
            raise WardenError("TooLarge", f"`{verb}` is larger than a message")
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[number] = future
        kept = tuple(os.dup(descriptor) for descriptor in descriptors)
        self._unsent.append((message, kept))
        self._flush()
        try:
            async with asyncio.timeout(seconds):
                return await future
        except TimeoutError as error:
            raise WardenGoneError(
                f"the warden has not answered `{verb}` in {seconds:g} s"
            ) from error
        finally:
            self._waiting.pop(number, None)

    def _flush(self) -> None:
        loop = self._loop
        if loop is None or self._gone is not None:
            return
        while self._unsent:
            message, descriptors = self._unsent[0]
            try:
                socket.send_fds(self._socket, [message], list(descriptors))
            except (BlockingIOError, InterruptedError):
                loop.add_writer(self._socket.fileno(), self._writable)
                return
            except OSError as error:
                self._fail(f"the warden hung up: {error}")
                return
            self._unsent.popleft()
            _close_all(descriptors)

    def _writable(self) -> None:
        if self._loop is not None and self._gone is None:
            self._loop.remove_writer(self._socket.fileno())
            self._flush()

    def _readable(self) -> None:
        while self._gone is None:
            try:
                data, ancillary, flags, _ = self._socket.recvmsg(
                    MESSAGE_LIMIT,
                    socket.CMSG_LEN(FDS_LIMIT * 4),
                    socket.MSG_CMSG_CLOEXEC,
                )
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._fail(f"the warden hung up: {error}")
                return
            descriptors = _descriptors(ancillary)
            if not data or flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
                _close_all(descriptors)
                self._fail("the warden hung up" if not data else "a message was cut")
                return
            self._heard(data, descriptors)

    def _heard(self, data: bytes, descriptors: tuple[int, ...]) -> None:
        message = json.loads(data)
        future = self._waiting.pop(message.get("id"), None)
        if future is None or future.done():
            self._too_late(message, descriptors)
        elif "error" in message:
            _close_all(descriptors)
            error = message["error"]
            future.set_exception(WardenError(str(error["code"]), str(error["reason"])))
        else:
            future.set_result(Answer(ok=message["ok"], descriptors=descriptors))

    def _too_late(
        self, message: dict[str, object], descriptors: tuple[int, ...]
    ) -> None:
        """Drop an answer that nobody awaits; a cell that it opened is closed."""
        self.late += 1
        _close_all(descriptors)
        ok = message.get("ok")
        if descriptors and isinstance(ok, dict) and "cell" in ok and self._loop:
            task = self._loop.create_task(self._close_orphan(str(ok["cell"])))
            self._closings.add(task)
            task.add_done_callback(self._closings.discard)

    async def _close_orphan(self, cell: str) -> None:
        try:
            await self.ask("close", cell=cell)
        except (WardenError, WardenGoneError):
            self.late += 1

    def _fail(self, reason: str) -> None:
        if self._gone is not None:
            return
        self._gone = reason
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for _message, descriptors in self._unsent:
            _close_all(descriptors)
        self._unsent.clear()
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(WardenGoneError(reason))
        self._waiting.clear()


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> tuple[int, ...]:
    found = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            usable = len(content) - len(content) % found.itemsize
            found.frombytes(content[:usable])
    return tuple(found)


def _close_all(descriptors: Sequence[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
