"""
The streams of the log, as the writer's thread knows them.

A stream's last position and size are kept in memory and written once a group,
not once an append.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import apsw
import msgspec

from casemate.substrate.ports import FullError
from casemate.substrate.sqlite.limits import Limits

_FIND = "SELECT id, last, entries, bytes FROM streams WHERE account = ? AND name = ?"
_MAKE = "INSERT INTO streams VALUES (NULL, ?, ?, 0, 0, 0)"
_COUNT = "SELECT count(*) FROM streams WHERE account = ?"
_UPDATE = """
UPDATE streams SET last = new.value ->> 1, entries = new.value ->> 2,
                   bytes = new.value ->> 3
FROM json_each(?) AS new WHERE streams.id = new.value ->> 0
"""
_REMEMBERED = 20_000


@final
@dataclass(slots=True, kw_only=True)
class Stream:
    """
    One stream.  id: never used twice.  last: the position given last.

    entries, size: what it holds now; size in bytes as sealed.
    """

    id: int
    last: int
    entries: int
    size: int


@final
class Streams:
    """The writer's memory of streams; a `writer.Memory`."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._known: dict[tuple[str, str], Stream] = {}
        self._changed: dict[int, Stream] = {}
        self._counts: dict[str, int] = {}

    def find(self, connection: apsw.Connection, name: tuple[str, str]) -> Stream | None:
        """Give the stream of an account and a name, if it is there."""
        stream = self._known.get(name)
        if stream is None:
            rows = connection.execute(_FIND, name).fetchall()
            if not rows:
                return None
            number, last, entries, size = (int(str(value)) for value in rows[0])
            stream = Stream(id=number, last=last, entries=entries, size=size)
            self._known[name] = stream
        return stream

    def make(self, connection: apsw.Connection, name: tuple[str, str]) -> Stream:
        """Give the stream, made if need be.  Raises FullError past the limit."""
        stream = self.find(connection, name)
        if stream is not None:
            return stream
        account = name[0]
        if account not in self._counts:
            rows = connection.execute(_COUNT, (account,)).fetchall()
            self._counts[account] = int(str(rows[0][0]))
        if self._counts[account] >= self._limits.streams:
            raise FullError(f"an account has at most {self._limits.streams} streams")
        connection.execute(_MAKE, name)
        self._counts[account] += 1
        number = connection.last_insert_rowid()
        stream = self._known[name] = Stream(id=number, last=0, entries=0, size=0)
        return stream

    def changed(self, stream: Stream) -> None:
        """Have the stream written with the group."""
        self._changed[stream.id] = stream

    def forget(self, name: tuple[str, str]) -> None:
        """Say that the stream was deleted."""
        stream = self._known.pop(name, None)
        if stream is not None:
            self._changed.pop(stream.id, None)
        self._counts.pop(name[0], None)

    def before_commit(self, connection: apsw.Connection) -> None:
        """Write the streams that the group has changed."""
        if self._changed:
            rows = [(s.id, s.last, s.entries, s.size) for s in self._changed.values()]
            connection.execute(_UPDATE, (msgspec.json.encode(rows).decode(),))
            self._changed.clear()
        if len(self._known) > _REMEMBERED:
            self._known.clear()

    def rolled_back(self) -> None:
        """Forget everything; the file knows."""
        self._known.clear()
        self._changed.clear()
        self._counts.clear()
