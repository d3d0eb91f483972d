"""
What queues hold, counted in memory on the writer's thread.

Counted once from the file, when first asked, and kept up from then on; a
rollback forgets all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

import apsw

from casemate.substrate.ports import QueueFullError
from casemate.substrate.sqlite.limits import Limits

_COUNT = "SELECT count(*) FROM messages WHERE account = ? AND queue = ?"
_HELD = "SELECT coalesce(sum(length(body)), 0) FROM messages WHERE account = ?"
_LATELY: Final = 1.0
"""Seconds for which a count of what is claimed is not made again."""

Place = tuple[str, str]
"""Account and queue."""


@final
class Tally:
    """Messages of each queue, bytes of each account, claims of each queue."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._messages: dict[Place, int] = {}
        self._bytes: dict[str, int] = {}
        self._flying: dict[Place, int] = {}
        self._counted: dict[Place, float] = {}

    def clear(self) -> None:
        """Forget everything."""
        for counts in (self._messages, self._bytes, self._flying, self._counted):
            counts.clear()

    def take_in(self, connection: apsw.Connection, place: Place, size: int) -> None:
        """Count a message that is about to be written.  Raises QueueFullError."""
        if not self.has_room(connection, place):
            most = self._limits.messages
            raise QueueFullError(f"a queue has at most {most} messages")
        account = place[0]
        if account not in self._bytes:
            rows = connection.execute(_HELD, (account,)).fetchall()
            self._bytes[account] = int(str(rows[0][0]))
        if self._bytes[account] + size > self._limits.message_bytes:
            most = self._limits.message_bytes
            raise QueueFullError(f"an account's messages have at most {most} bytes")
        self._messages[place] += 1
        self._bytes[account] += size

    def has_room(self, connection: apsw.Connection, place: Place) -> bool:
        """Tell whether a queue may have one message more."""
        if place not in self._messages:
            rows = connection.execute(_COUNT, place).fetchall()
            self._messages[place] = int(str(rows[0][0]))
        return self._messages[place] < self._limits.messages

    def let_go(self, place: Place, sizes: Sequence[int]) -> None:
        """Take out messages that were deleted, by their bytes."""
        if place in self._messages:
            self._messages[place] -= len(sizes)
            if not self._messages[place]:
                # Queues come and go; one that is empty is counted in no time.
                del self._messages[place]
                self._flying.pop(place, None)
                self._counted.pop(place, None)
        if place[0] in self._bytes:
            self._bytes[place[0]] -= sum(sizes)

    def resized(self, account: str, more: int) -> None:
        """Note that a message that is there already became longer, or shorter."""
        if account in self._bytes:
            self._bytes[account] += more

    def moved(self, place: Place, target: Place, grown: int) -> None:
        """Take a message, grown by some bytes, into another queue of its account."""
        if place in self._messages:
            self._messages[place] -= 1
        if target in self._messages:
            self._messages[target] += 1
        if place[0] in self._bytes:
            self._bytes[place[0]] += grown

    def flew(self, place: Place, count: int) -> None:
        """Count claims."""
        self._flying[place] = self.flying_at_most(place) + count

    def flying_at_most(self, place: Place) -> int:
        """Give a bound of what is claimed: claims that have ended are in it."""
        return self._flying.get(place, self._unknown(place))

    def counted(self, place: Place, flying: int, now: float) -> None:
        """Take the number that the file gives."""
        self._flying[place] = flying
        self._counted[place] = now

    def counted_lately(self, place: Place, now: float) -> bool:
        """Tell whether the file was asked a moment ago."""
        at = self._counted.get(place)
        return at is not None and now - at < _LATELY

    def _unknown(self, place: Place) -> int:
        # Nothing was claimed since the start, but claims may be older than that.
        return self._messages.get(place, self._limits.messages)
