"""Ordered entries in named streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import final

import apsw

from casemate.substrate.ports import SHARED, Entry, NewEntry, TooLargeError
from casemate.substrate.sqlite.arrivals import Arrivals
from casemate.substrate.sqlite.backlog import Backlog, Name
from casemate.substrate.sqlite.limits import Limits
from casemate.substrate.sqlite.prefix import past
from casemate.substrate.sqlite.readers import Readers, Row
from casemate.substrate.sqlite.runs import Runs, numbered
from casemate.substrate.sqlite.streams import Stream, Streams
from casemate.substrate.sqlite.vault import Vault
from casemate.substrate.sqlite.writer import Job, Writer

_ID = "SELECT id FROM streams WHERE account = ? AND name = ?"
_READ = """
SELECT position, at, kind, data, low, held FROM entries
WHERE stream = ? AND position > ? ORDER BY position LIMIT ?
"""
# The row that holds an entry may have a later one as its last.
_READ_BACK = """
SELECT position, at, kind, data, low, held FROM entries
WHERE stream = ?1 AND position <= coalesce(
    (SELECT min(position) FROM entries WHERE stream = ?1 AND position >= ?2), ?2)
ORDER BY position DESC LIMIT ?3
"""
_BEFORE = """
SELECT position, at, kind, data, low, held FROM entries
WHERE stream = ? AND position < ? ORDER BY position DESC LIMIT ?
"""
_NAMES = """
SELECT name FROM streams WHERE account = ? AND name {low} ? {high}
AND entries > 0 ORDER BY name LIMIT ?
"""
_OLD = """
SELECT position, at, kind, data, low, held FROM entries
WHERE stream = ?1 AND position BETWEEN ?2 AND ?3 AND coalesce(low, at) < ?4
AND at >= ?4 ORDER BY position LIMIT 100
"""
_ALL_OLD = """
SELECT position, length(data), held FROM entries
WHERE stream = ? AND position BETWEEN ? AND ? AND at < ? ORDER BY position LIMIT 5000
"""
_FIRST = """
SELECT position, length(data), held FROM entries WHERE stream = ?
ORDER BY position LIMIT 5000
"""
_START = "SELECT min(position) FROM entries WHERE stream = ?"
_REMOVED = 5000
"""Rows that `_ALL_OLD` and `_FIRST` give at once."""

_THINNED = 100
"""Rows that `_OLD` gives at once: each is opened, and sealed again."""

_STEP = 50_000
"""Positions that `trim` looks at in one turn of the writer: a few milliseconds."""

_CHUNK = 16
"""Rows that are read first: a row may hold as many entries as are asked for."""

_REMOVE = "DELETE FROM entries WHERE stream = ? AND position = ?"
_REPLACE = """
UPDATE entries SET at = ?, kind = ?, data = ?, low = ?, held = ?
WHERE stream = ? AND position = ?
"""
_END = 2**63 - 1


@final
class SqliteLog:
    """
    The `Log` of one file; a `writer.Lazy` and a `writer.Memory` too.

    Streams of `SHARED` are the platform's own record: they may use the space
    held back when the disk is full, and are never cut to a size.
    """

    def __init__(
        self,
        *,
        writer: Writer,
        readers: Readers,
        vault: Vault,
        limits: Limits,
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._vault = vault
        self._runs = Runs(vault)
        self._limits = limits
        self._streams = Streams(limits)
        self._arrivals = Arrivals()
        self.backlog = Backlog(limits)

    async def append(
        self, account: str, stream: str, entries: Sequence[NewEntry]
    ) -> int:
        """
        Append durably; give the last position.

        Raises FullError, TooLargeError, NoKeyError.
        """
        self._check(account, stream, entries)
        job = self._appending((account, stream), entries)
        last: int = await self._writer.run(job)
        return last

    def append_soon(
        self, account: str, stream: str, entries: Sequence[NewEntry]
    ) -> None:
        """Append with the next group.  Raises TooLargeError, NoKeyError."""
        self._check(account, stream, entries)
        if entries and self.backlog.add((account, stream), entries):
            self._writer.nudge()

    def take(self) -> Sequence[Job]:
        """Give the writer what waits: a job for each stream."""
        jobs = []
        for name, entries in self.backlog.take().items():
            job = self._appending(name, entries)
            job.failed = self._dropping(name, len(entries))
            jobs.append(job)
        return jobs

    def read(
        self, account: str, stream: str, *, after: int = 0, limit: int = 1000
    ) -> Sequence[Entry]:
        """Read oldest first.  Raises DamagedError."""
        found: list[Entry] = []
        for entries in self._rows((_READ, _READ), account, stream, after, limit):
            found += [entry for entry in entries if entry.position > after]
            if len(found) >= limit:
                break
        return found[:limit]

    def read_back(
        self, account: str, stream: str, *, before: int | None = None, limit: int = 1000
    ) -> Sequence[Entry]:
        """Read newest first.  Raises DamagedError."""
        end = _END if before is None else before
        found: list[Entry] = []
        for entries in self._rows((_READ_BACK, _BEFORE), account, stream, end, limit):
            found += [entry for entry in reversed(entries) if entry.position < end]
            if len(found) >= limit:
                break
        return found[:limit]

    def streams(
        self, account: str, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """Name the streams that have entries, in order."""
        low, start = (">", after) if after >= prefix else (">=", prefix)
        end = past(prefix)
        sql = _NAMES.format(low=low, high="" if end is None else "AND name < ?")
        bounds = (start,) if end is None else (start, end)
        rows = self._readers.rows(sql, (account, *bounds, limit))
        return [str(row[0]) for row in rows]

    async def trim(self, account: str, stream: str, *, before: int) -> int:
        """
        Delete the entries older than an epoch millisecond; give their count.

        Old ones may stand behind newer ones, so all are looked at; in steps, so
        that nobody waits long behind it.
        """
        total, position = 0, 0
        while True:
            count, following = await self._trimmed((account, stream), position, before)
            total += count
            if following is None:
                return total
            position = following

    async def drop(self, account: str, stream: str) -> None:
        """Delete a stream; at once for readers, then entry by entry."""
        name = (account, stream)

        def apply(connection: apsw.Connection) -> int | None:
            found = self._streams.find(connection, name)
            if found is None:
                return None
            self._arrivals.write(connection)
            # Noted, so that a process killed in the middle goes on later.
            connection.execute("INSERT INTO doomed VALUES (?)", (found.id,))
            connection.execute("DELETE FROM streams WHERE id = ?", (found.id,))
            self._streams.forget(name)
            return found.id

        number: int | None = await self._writer.run(Job(apply=apply, grows=False))
        while number is not None and await self._cleared(number):
            continue

    async def sweep(self) -> int:
        """Go on with deletions that were interrupted; give their count."""
        rows = self._readers.rows("SELECT stream FROM doomed", ())
        for (number,) in rows:
            while await self._cleared(int(str(number))):
                continue
        return len(rows)

    def before_commit(self, connection: apsw.Connection) -> None:
        """Write the entries of the group."""
        self._arrivals.write(connection)
        self._streams.before_commit(connection)

    def rolled_back(self) -> None:
        """Forget the entries of the group, and what was known of the streams."""
        self._arrivals.forget()
        self._streams.rolled_back()

    def _check(self, account: str, stream: str, entries: Sequence[NewEntry]) -> None:
        self._limits.check_names(account, stream)
        self._vault.check(account)
        for entry in entries:
            self._limits.check_names(entry.kind)
            if len(entry.data) > self._limits.entry_bytes:
                most = self._limits.entry_bytes
                raise TooLargeError(f"a log entry has at most {most} bytes")
            if not -(2**63) <= entry.at < 2**63:
                raise ValueError("a time has 64 bits")

    def _appending(self, name: Name, entries: Sequence[NewEntry]) -> Job:
        return Job(
            apply=lambda connection: self._append(connection, name, entries),
            grows=name[0] != SHARED,
        )

    def _dropping(self, name: Name, count: int) -> Callable[[Exception], None]:
        return lambda _error: self.backlog.drop(name, count)

    def _append(
        self, connection: apsw.Connection, name: Name, entries: Sequence[NewEntry]
    ) -> int:
        if not entries:
            found = self._streams.find(connection, name)
            return found.last if found else 0
        # Asked for before the stream is made: nothing is written without a key.
        self._vault.check(name[0])
        stream = self._streams.make(connection, name)
        rows = self._runs.sealed(*name, stream.id, numbered(stream.last, entries))
        self._arrivals.add(rows)
        stream.last += len(entries)
        stream.entries += len(entries)
        stream.size += sum(len(row.data) for row in rows)
        self._streams.changed(stream)
        if name[0] != SHARED:
            self._cut_to_size(connection, stream)
        return stream.last

    def _cut_to_size(self, connection: apsw.Connection, stream: Stream) -> None:
        """Remove the oldest entries of a stream that has grown past its limit."""
        if stream.size > self._limits.stream_bytes:
            self._arrivals.write(connection)
        while stream.size > self._limits.stream_bytes:
            rows = connection.execute(_FIRST, (stream.id,)).fetchall()
            over, gone = stream.size - self._limits.stream_bytes, []
            for row in rows:
                if over <= 0:
                    break
                gone.append(row)
                over -= int(str(row[1]))
            if not self._remove(connection, stream, gone):
                return

    def _remove(
        self, connection: apsw.Connection, stream: Stream, rows: Sequence[Row]
    ) -> int:
        """Remove rows, (position, size, held); give the count of their entries."""
        numbers = [tuple(int(str(value)) for value in row) for row in rows]
        connection.executemany(_REMOVE, [(stream.id, row[0]) for row in numbers])
        count = sum(row[2] for row in numbers)
        stream.entries -= count
        stream.size -= sum(row[1] for row in numbers)
        self._streams.changed(stream)
        return count

    def _thin(
        self,
        connection: apsw.Connection,
        name: Name,
        stream: Stream,
        row: Row,
        before: int,
    ) -> int:
        """Take the old entries out of a run that has newer ones; give their count."""
        entries = self._runs.opened(*name, stream.id, row)
        left = [entry for entry in entries if entry.at >= before]
        run = self._runs.resealed(*name, stream.id, int(str(row[0])), left)
        connection.execute(
            _REPLACE,
            (run.at, run.kind, run.data, run.low, run.held, stream.id, run.position),
        )
        stream.entries -= len(entries) - len(left)
        stream.size += len(run.data) - len(bytes(row[3]))  # type: ignore[arg-type] # STRICT
        self._streams.changed(stream)
        return len(entries) - len(left)

    async def _trimmed(
        self, name: Name, position: int, before: int
    ) -> tuple[int, int | None]:
        """Trim from a position on; give the count, and where to go on (or None)."""

        def apply(connection: apsw.Connection) -> tuple[int, int | None]:
            stream = self._streams.find(connection, name)
            if stream is None:
                return 0, None
            self._arrivals.write(connection)
            start = connection.execute(_START, (stream.id,)).fetchall()[0][0]
            low = max(position, int(str(start or 0)))
            high = low + _STEP - 1
            bounds = (stream.id, low, high, before)
            mixed = connection.execute(_OLD, bounds).fetchall()
            if len(mixed) == _THINNED:
                high = int(str(mixed[-1][0]))
            bounds = (stream.id, low, high, before)
            rows = connection.execute(_ALL_OLD, bounds).fetchall()
            if len(rows) == _REMOVED:
                high = int(str(rows[-1][0]))
            count = sum(
                self._thin(connection, name, stream, row, before)
                for row in mixed
                if int(str(row[0])) <= high
            )
            count += self._remove(connection, stream, rows)
            return count, high + 1 if high < stream.last else None

        found: tuple[int, int | None]
        found = await self._writer.run(Job(apply=apply, grows=False))
        return found

    async def _cleared(self, number: int) -> bool:
        """Delete some entries of a dropped stream; False when none is left."""

        def apply(connection: apsw.Connection) -> bool:
            rows = connection.execute(_FIRST, (number,)).fetchall()
            connection.executemany(_REMOVE, [(number, row[0]) for row in rows])
            if not rows:
                connection.execute("DELETE FROM doomed WHERE stream = ?", (number,))
            return bool(rows)

        more: bool = await self._writer.run(Job(apply=apply, grows=False))
        return more

    def _rows(
        self, sql: tuple[str, str], account: str, stream: str, bound: int, limit: int
    ) -> Iterator[Sequence[Entry]]:
        """
        Open the rows from a bound on, as many as are asked for, in growing bites.

        sql: for the first bite, and for those that follow.
        """
        found = self._readers.rows(_ID, (account, stream))
        if not found or limit < 1:
            return
        number, bite = int(str(found[0][0])), _CHUNK
        ask, following = sql
        while True:
            bite = min(bite, limit)
            rows = self._readers.rows(ask, (number, bound, bite))
            for row in rows:
                yield self._runs.opened(account, stream, number, row)
            if len(rows) < bite:
                return
            ask, bound, bite = following, int(str(rows[-1][0])), bite * 4
