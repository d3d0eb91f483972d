"""
Bytes on their way from one who makes them to one who reads them, with a bound.

The maker never waits: it is told when there is room no more, and calls back when
there is again.  The reader waits.  When the reader leaves, what lies here is let
go and what still comes is counted and dropped; when the maker gives up before the
end, the reader is cut off, so that half of it never looks like the whole.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from typing import Final, final

ROOM: Final = 262_144
"""Bytes that lie here before the maker is asked to stop; one read more may come."""


class Reader(StrEnum):
    """What became of the one who reads."""

    READING = "reading"
    SATISFIED = "satisfied"
    LEFT = "left"


class CutOffError(Exception):
    """The maker has given up before the end."""


@final
class Flow:
    """
    A bounded stream of bytes, for one maker and one reader of the same loop.

    begun: whether the maker has begun, even without a byte yet.  count: bytes that
    came in.  reader: what became of the reader.
    """

    def __init__(self, room: int = ROOM) -> None:
        self.begun = False
        self.count = 0
        self.reader = Reader.READING
        self._room = room
        self._parts: deque[bytes] = deque()
        self._held = 0
        self._ended = self._closed = False
        self._resume: Callable[[], None] | None = None
        self._arrived: asyncio.Future[None] | None = None
        self._parted: asyncio.Future[None] | None = None

    # --- the maker's side

    def begin(self) -> None:
        """Say that bytes will come."""
        self.begun = True

    def put(self, data: bytes) -> None:
        """Take bytes, at once."""
        self.begun = True
        self.count += len(data)
        if data and self.reader is Reader.READING:
            self._parts.append(data)
            self._held += len(data)
            self._tell()

    @property
    def full(self) -> bool:
        """Whether the maker should wait."""
        return self._held >= self._room

    def when_room(self, resume: Callable[[], None]) -> None:
        """Call back once, when there is room again."""
        self._resume = resume

    def end(self) -> None:
        """Say that nothing more comes."""
        self._ended = True
        self._tell()

    def close(self) -> None:
        """Stop making: a reader who has not had the end is cut off."""
        self._closed = True
        self._tell()

    async def parted(self) -> None:
        """Wait until the reader has had everything and the end, or has left."""
        if self.reader is Reader.READING:
            self._parted = asyncio.get_running_loop().create_future()
            await self._parted

    # --- the reader's side

    async def take(self, most: int) -> bytes:
        """
        Give the next bytes, at most so many; none at the end.

        Raises CutOffError.
        """
        while not self._parts:
            if self._ended:
                return b""
            if self._closed:
                raise CutOffError("what was made of it is not the whole")
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        return self._cut(most)

    def satisfied(self) -> None:
        """Say that the reader has had the end."""
        self._part(Reader.SATISFIED)

    def leave(self) -> None:
        """Say that the reader reads no more."""
        self._parts.clear()
        self._held = 0
        self._part(Reader.LEFT)
        self._make_room()

    # --- within

    def _cut(self, most: int) -> bytes:
        """Join small parts and cut large ones, so that each read is worth sending."""
        taken: list[bytes] = []
        size = 0
        while self._parts and size < most:
            part = self._parts.popleft()
            if size + len(part) > most:
                self._parts.appendleft(part[most - size :])
                part = part[: most - size]
            taken.append(part)
            size += len(part)
        self._held -= size
        self._make_room()
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _make_room(self) -> None:
        if self._resume is not None and self._held < self._room:
            resume, self._resume = self._resume, None
            resume()

    def _part(self, reader: Reader) -> None:
        if self.reader is Reader.READING:
            self.reader = reader
            if self._parted is not None and not self._parted.done():
                self._parted.set_result(None)

    def _tell(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
