"""
How fast and how far one reader goes, so that others have their turn.

Events may have 256 KB each, so entries alone bound nothing: bytes are counted as
well, and the next chunk is as long as about one megabyte of what came before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, final
from weakref import WeakValueDictionary

from casemate.substrate.ports import Entry

_FIRST: Final = 16
_LEAST: Final = 4
_CHUNK_BYTES: Final = 1_048_576
_AT_ONCE: Final = 2
"""Readers of one account that read in turn with everybody; its others wait."""


@final
@dataclass(slots=True, kw_only=True)
class Pace:
    """
    What one call has read.

    most_bytes: after which it has read enough and gives a token.
    """

    most_bytes: int
    entries: int = 0
    bytes: int = 0
    _turned: int = 0

    def chunk(self, most: int) -> int:
        """Say how many entries to read next, `most` at the most."""
        if not self.entries:
            return min(_FIRST, most)
        average = max(1, self.bytes // self.entries)
        return min(max(_LEAST, _CHUNK_BYTES // average), most)

    def note(self, entries: Sequence[Entry]) -> None:
        """Count what was read."""
        self.entries += len(entries)
        self.bytes += sum(len(entry.data) for entry in entries)

    @property
    def is_spent(self) -> bool:
        """Tell whether the call has read enough."""
        return self.bytes >= self.most_bytes

    async def turn(self) -> None:
        """Let others have their turn after each megabyte."""
        if self.bytes - self._turned >= _CHUNK_BYTES:
            self._turned = self.bytes
            await asyncio.sleep(0)


@final
@dataclass(slots=True)
class Seats:
    """Who may read now: a bounded number of calls of each account."""

    _of: WeakValueDictionary[str, asyncio.Semaphore] = field(
        default_factory=WeakValueDictionary
    )

    def of(self, account: str) -> asyncio.Semaphore:
        """Give what an account's reader has to hold."""
        return self._of.setdefault(account, asyncio.Semaphore(_AT_ONCE))
