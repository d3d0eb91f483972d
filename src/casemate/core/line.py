"""
A line to another process: questions by number, answers in any order.

A question is `{"id": N, "verb": "...", ...}`, its answer `{"id": N, "ok": {...}}`
or `{"id": N, "error": {"code": "...", "reason": "..."}}`, with descriptors
beside.  An answer that is not as agreed ends the line: what cannot be
understood is not believed.  There is nothing to fall back on; whoever asks
refuses its own caller.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from casemate.core.packets import (
    LARGEST,
    MOST_DESCRIPTORS,
    EndedError,
    Packet,
    PacketError,
    close_all,
    encode,
    receive,
)

_AT_ONCE: Final = 32
"""Answers read before others have their turn."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a question gave; the asker owns the descriptors."""

    ok: dict[str, object]
    descriptors: tuple[int, ...] = ()


Late = Callable[[Answer], None]
"""Told of an answer whose question was given up; owns its descriptors."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """
    Who is at the other end, and how it fails.

    name: for people, as in `the warden`.  refused: makes the error of a code
    and a reason; gone: of a reason.  late: hears what comes too late.
    waiting: questions under way at once; past it the asker is throttled here.
    descriptors: that an answer may bring.
    """

    name: str
    refused: Callable[[str, str], Exception]
    gone: Callable[[str], Exception]
    late: Late = field(default=lambda answer: close_all(answer.descriptors))
    waiting: int = 4_096
    descriptors: int = MOST_DESCRIPTORS


@final
class Line:
    """One end of a socket to another process.  For one event loop."""

    def __init__(self, sock: socket.socket, peer: Peer) -> None:
        """Take a connected socket over; nothing is read before `start`."""
        sock.setblocking(False)
        self._socket = sock
        self._peer = peer
        self._next = 0
        self._waiting: dict[int, asyncio.Future[Answer]] = {}
        self._unsent: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self._gone: str | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Listen on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._readable)

    async def ask(
        self,
        verb: str,
        members: dict[str, object],
        *,
        seconds: float,
        descriptors: Sequence[int] = (),
    ) -> Answer:
        """
        Ask, and wait for the answer.

        Descriptors are duplicated on the way, so the caller keeps its own.
        Raises what the peer's `refused` and `gone` make.
        """
        if self._gone is not None or self._loop is None:
            raise self._peer.gone(self._gone or "nobody listens on this line yet")
        if len(self._waiting) >= self._peer.waiting:
            raise self._peer.refused(
                "Throttled", f"too much waits for {self._peer.name}"
            )
        number = self._next
        data = encode({"id": number, "verb": verb, **members})
        if len(data) > LARGEST:
            raise self._peer.refused("TooLarge", f"`{verb}` is larger than a packet")
        self._next += 1
        answered: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[number] = answered
        try:
            self._unsent.append((data, tuple(os.dup(one) for one in descriptors)))
            if len(self._unsent) == 1:
                self._flush()
            async with asyncio.timeout(seconds):
                return await answered
        except TimeoutError as error:
            raise self._peer.gone(
                f"{self._peer.name} has not answered `{verb}` in {seconds:g} s"
            ) from error
        finally:
            self._waiting.pop(number, None)

    def end(self, why: str) -> None:
        """Hang up; what waits, and what is asked from now on, is told why."""
        if self._gone is not None:
            return
        self._gone = why
        if self._loop is not None:
            self._loop.remove_reader(self._socket.fileno())
            self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for _data, descriptors in self._unsent:
            close_all(descriptors)
        self._unsent.clear()
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(self._peer.gone(why))

    def _flush(self) -> None:
        """Send what waits, in order; a packet goes whole or not at all."""
        loop = self._loop
        if loop is None or self._gone is not None:
            return
        while self._unsent:
            data, descriptors = self._unsent[0]
            try:
                socket.send_fds(self._socket, [data], descriptors)
            except (BlockingIOError, InterruptedError):
                loop.add_writer(self._socket.fileno(), self._flush)
                return
            except OSError as error:
                self.end(f"{self._peer.name} hung up: {error.strerror}")
                return
            self._unsent.popleft()
            close_all(descriptors)
        loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            if self._gone is not None:
                return
            try:
                self._heard(receive(self._socket, descriptors=self._peer.descriptors))
            except (BlockingIOError, InterruptedError):
                return
            except EndedError:
                self.end(f"{self._peer.name} is gone")
            except PacketError as error:
                self.end(f"{self._peer.name} is incoherent: {error}")

    def _heard(self, packet: Packet) -> None:
        message, descriptors = packet
        number, refused, ok = (message.get(name) for name in ("id", "error", "ok"))
        if type(number) is not int or not 0 <= number < self._next:
            close_all(descriptors)
            raise PacketError("an answer to nothing that was asked")
        if isinstance(ok, dict) and refused is None:
            outcome: Answer | Exception = Answer(ok=ok, descriptors=descriptors)
        else:
            close_all(descriptors)
            if not isinstance(refused, dict):
                raise PacketError("an answer that is neither `ok` nor `error`")
            code, reason = str(refused.get("code")), str(refused.get("reason"))
            outcome = self._peer.refused(code, reason)
        answered = self._waiting.get(number)
        if answered is None or answered.done():
            late = outcome if isinstance(outcome, Answer) else Answer(ok={})
            self._peer.late(late)
        elif isinstance(outcome, Answer):
            answered.set_result(outcome)
        else:
            answered.set_exception(outcome)
