"""
The rows of one group's log entries, written with one statement.

Problem: between any two of SQLite's steps the writer's thread gives the
interpreter's lock away, and on a busy loop gets it back only some 0.1 to 5 ms
later; a statement for each row made a group of a hundred rows take longer than its
fsync by far.  So a group's rows go in as one JSON array, which
SQLite takes apart by itself, without the lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import apsw
import msgspec

from casemate.substrate.sqlite.runs import Run

_TOGETHER = """
INSERT INTO entries
SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, unhex(value ->> 4),
       value ->> 5, value ->> 6
FROM json_each(?)
"""
_ALONE = "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)"

_LARGE = 16_384
"""Bytes from which a row is cheaper bound alone than twice as long in hex."""


@final
class Arrivals:
    """Entries that have their positions, and are not written yet."""

    def __init__(self) -> None:
        self._small: list[tuple[int, int, int, str, str, int | None, int]] = []
        self._large: list[Run] = []

    def add(self, rows: Sequence[Run]) -> None:
        """Have the rows written before the transaction ends."""
        for row in rows:
            if len(row.data) >= _LARGE:
                self._large.append(row)
            else:
                self._small.append((*row[:4], row.data.hex(), row.low, row.held))

    def write(self, connection: apsw.Connection) -> None:
        """Write what was added; to be called before entries are read or deleted."""
        if self._small:
            rows = msgspec.json.encode(self._small).decode()
            connection.execute(_TOGETHER, (rows,))
            self._small.clear()
        if self._large:
            connection.executemany(_ALONE, self._large)
            self._large.clear()

    def forget(self) -> None:
        """Drop what was added: its transaction was rolled back."""
        self._small.clear()
        self._large.clear()
