"""Log entries that wait for the next group, without anybody waiting for them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import final

from casemate.substrate.ports import SHARED, NewEntry
from casemate.substrate.sqlite.limits import Limits

Name = tuple[str, str]
"""Account and stream."""

_ENTRY_OVERHEAD = 100
_TOLD_APART = 10_000


@final
class Backlog:
    """
    What waits, and what was dropped.  Any thread may use it.

    An account may fill a quarter of it, so that a flood of one tenant drops
    nobody else's entries before its own.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._waiting: dict[Name, list[NewEntry]] = {}
        self._bytes_of: dict[str, int] = {}
        self._dropped_of: dict[Name, int] = {}
        self.bytes = 0
        self.entries = 0
        self.dropped = 0

    def add(self, name: Name, entries: Sequence[NewEntry]) -> bool:
        """Keep all of the entries, or drop and count them; False if dropped."""
        size = sum(len(e.data) + len(e.kind) + _ENTRY_OVERHEAD for e in entries)
        with self._lock:
            if not self._room(name[0], size, len(entries)):
                self._drop(name, len(entries))
                return False
            self._waiting.setdefault(name, []).extend(entries)
            self._bytes_of[name[0]] = self._bytes_of.get(name[0], 0) + size
            self.bytes += size
            self.entries += len(entries)
            return True

    def take(self) -> dict[Name, list[NewEntry]]:
        """Give all that waits, and begin anew."""
        if not self._waiting:
            return {}
        with self._lock:
            taken, self._waiting = self._waiting, {}
            self._bytes_of.clear()
            self.bytes = self.entries = 0
            return taken

    def drop(self, name: Name, count: int) -> None:
        """Count entries that could not be written."""
        with self._lock:
            self._drop(name, count)

    def take_dropped(self) -> dict[Name, int]:
        """
        Give how many entries each stream has lost since the last call.

        At most 10,000 streams are told apart; `dropped` counts them all.
        """
        with self._lock:
            taken, self._dropped_of = self._dropped_of, {}
            return taken

    def _room(self, account: str, size: int, count: int) -> bool:
        most = self._limits.backlog_bytes
        share = most if account == SHARED else most // 4
        return (
            self.bytes + size <= most
            and self.entries + count <= self._limits.backlog_entries
            and self._bytes_of.get(account, 0) + size <= share
        )

    def _drop(self, name: Name, count: int) -> None:
        self.dropped += count
        if name in self._dropped_of or len(self._dropped_of) < _TOLD_APART:
            self._dropped_of[name] = self._dropped_of.get(name, 0) + count
