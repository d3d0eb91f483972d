"""Numbers, counted in memory and written with the next group."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import final

import apsw

from casemate.substrate.ports import FullError
from casemate.substrate.sqlite.limits import Limits
from casemate.substrate.sqlite.writer import Job, Writer

_WRITE = "INSERT OR REPLACE INTO counters VALUES (?, ?, ?)"
_ALL = "SELECT account, name, value FROM counters"

Name = tuple[str, str]
"""Account and counter."""


@final
class SqliteCounters:
    """The `Counters` of one file; a `writer.Lazy` too.  Any thread may count."""

    def __init__(
        self, *, writer: Writer, limits: Limits, connection: apsw.Connection
    ) -> None:
        """Read all counters; there are few, and they are asked for all the time."""
        self._writer = writer
        self._limits = limits
        self._lock = threading.Lock()
        self._values: dict[Name, int] = {}
        self._in: dict[str, int] = {}
        self._unwritten: set[Name] = set()
        for account, name, value in connection.execute(_ALL).fetchall():
            self._keep((str(account), str(name)), int(str(value)))

    def add(self, account: str, name: str, amount: int = 1) -> int:
        """
        Count, and give the new value.

        Raises FullError for one counter more than an account may have,
        OverflowError past 64 bits.
        """
        key = (account, name)
        with self._lock:
            value = self._values.get(key, 0) + amount
            if not -(2**63) <= value < 2**63:
                raise OverflowError("a counter has 64 bits")
            self._keep(key, value)
            self._unwritten.add(key)
        self._writer.nudge()
        return value

    def read(self, account: str, name: str) -> int:
        """Give the value; 0 for what was never counted."""
        return self._values.get((account, name), 0)

    def take(self) -> Sequence[Job]:
        """Give the writer what has changed."""
        if not self._unwritten:
            return ()
        with self._lock:
            keys, self._unwritten = self._unwritten, set()
            rows = [(*key, self._values[key]) for key in keys]

        def apply(connection: apsw.Connection) -> None:
            connection.executemany(_WRITE, rows)

        return (Job(apply=apply, failed=lambda _error: self._again(keys)),)

    def _again(self, keys: set[Name]) -> None:
        """Keep for the next group what could not be written."""
        with self._lock:
            self._unwritten |= keys

    def _keep(self, key: Name, value: int) -> None:
        if key not in self._values:
            self._limits.check_names(*key)
            if self._in.get(key[0], 0) >= self._limits.counters:
                most = self._limits.counters
                raise FullError(f"an account has at most {most} counters")
            self._in[key[0]] = self._in.get(key[0], 0) + 1
        self._values[key] = value
