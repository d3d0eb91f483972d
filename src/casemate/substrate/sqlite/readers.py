"""Connections that only read, one for each thread that asks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import final

import apsw

from casemate.substrate.sqlite.file import turned
from casemate.substrate.sqlite.limits import ClosedError

Value = None | int | float | str | bytes
"""What SQLite stores in a column."""

Row = tuple[Value, ...]


@final
class Readers:
    """
    Gives each thread its own connection, and closes them all.

    Every statement sees the last commit, and holds no snapshot once it is read
    to its end, so the writer's log can always be folded back.
    """

    def __init__(self, connect: Callable[[], apsw.Connection]) -> None:
        self._connect = connect
        self._mine = threading.local()
        self._all: list[apsw.Connection] = []
        self._closed = False

    def rows(self, sql: str, values: Sequence[Value]) -> list[Row]:
        """Read all rows of a statement.  Raises SubstrateError, DamagedError."""
        try:
            return self._connection().execute(sql, values).fetchall()
        except apsw.Error as error:
            raise turned(error) from error

    def close(self) -> None:
        """Close every connection; no thread may be reading any more."""
        self._closed = True
        for connection in self._all:
            connection.close()
        self._all.clear()

    def _connection(self) -> apsw.Connection:
        if self._closed:
            raise ClosedError("the store is closed")
        connection: apsw.Connection | None = getattr(self._mine, "connection", None)
        if connection is None:
            connection = self._mine.connection = self._connect()
            self._all.append(connection)
        return connection
