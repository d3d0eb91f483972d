"""Documents with revisions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import final

import apsw

from casemate.substrate.ports import (
    Change,
    Put,
    Record,
    RevisionConflictError,
    TooLargeError,
)
from casemate.substrate.sqlite.cache import UNKNOWN, Cache, Name
from casemate.substrate.sqlite.limits import Limits
from casemate.substrate.sqlite.prefix import past
from casemate.substrate.sqlite.readers import Readers, Value
from casemate.substrate.sqlite.vault import Vault
from casemate.substrate.sqlite.writer import Job, Writer

_GET = """
SELECT revision, expires, value FROM records
WHERE account = ? AND tbl = ? AND key = ?
"""
_SCAN = """
SELECT key, revision, expires, value FROM records
WHERE account = ? AND tbl = ? AND key {low} ? {high}
AND (expires IS NULL OR expires > ?) ORDER BY key LIMIT ?
"""
_REVISION = "SELECT revision, expires FROM records WHERE account=? AND tbl=? AND key=?"
_WRITE = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?, ?, ?)"
_DELETE = "DELETE FROM records WHERE account = ? AND tbl = ? AND key = ?"
_SWEEP = """
DELETE FROM records WHERE (account, tbl, key) IN
(SELECT account, tbl, key FROM records WHERE expires <= ? LIMIT 1000)
"""

_Effect = tuple[tuple[int, ...], dict[Name, Record | None]]
"""The revision of each change, and what each record is after all of them."""


@final
class SqliteRecords:
    """The `Records` of one file."""

    def __init__(
        self,
        *,
        writer: Writer,
        readers: Readers,
        vault: Vault,
        limits: Limits,
        now: Callable[[], float],
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._vault = vault
        self._limits = limits
        self._now = now
        self._cache = Cache(limits.cache_bytes)
        self._watchers: dict[str, list[Callable[[str, str], None]]] = {}

    def get(self, account: str, table: str, key: str) -> Record | None:
        """Read one record.  Raises DamagedError, NoKeyError."""
        name = (account, table, key)
        record = self._cache.young.get(name, UNKNOWN)
        if record is UNKNOWN:
            record = self._read(name)
        if record is None or record.expires_at is None:
            return record
        return record if record.expires_at > self._now() else None

    def scan(
        self,
        account: str,
        table: str,
        *,
        prefix: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> Sequence[Record]:
        """Read records in key order.  Raises DamagedError, NoKeyError."""
        low, start = (">", after) if after >= prefix else (">=", prefix)
        end = past(prefix)
        sql = _SCAN.format(low=low, high="" if end is None else "AND key < ?")
        bounds = (start,) if end is None else (start, end)
        rows = self._readers.rows(sql, (account, table, *bounds, self._now(), limit))
        return [self._opened((account, table, str(r[0])), r[1:]) for r in rows]

    async def commit(self, *changes: Change) -> Sequence[int]:
        """
        Apply all changes or none, durably.

        Raises RevisionConflictError, FullError, TooLargeError, NoKeyError.
        """
        for change in changes:
            self._check(change)
        job = Job(
            apply=lambda connection: self._apply(connection, changes),
            grows=any(isinstance(change, Put) for change in changes),
            committed=lambda effect: self._cache.committed(effect[1]),
            heard=self._heard,
        )
        effect: _Effect = await self._writer.run(job)
        return effect[0]

    def watch(self, table: str, changed: Callable[[str, str], None]) -> None:
        """Call on the committer's loop, before the committer goes on."""
        self._watchers.setdefault(table, []).append(changed)

    async def sweep(self) -> int:
        """Delete expired records, at most 1,000; give their count."""
        now = self._now()

        def apply(connection: apsw.Connection) -> int:
            connection.execute(_SWEEP, (now,))
            return connection.changes()

        count: int = await self._writer.run(Job(apply=apply, grows=False))
        return count

    def _read(self, name: Name) -> Record | None:
        older = self._cache.older(name)
        if older is not UNKNOWN:
            return older
        commits = self._cache.commits()
        rows = self._readers.rows(_GET, name)
        record = self._opened(name, rows[0]) if rows else None
        self._cache.fill(name, record, commits)
        return record

    def _opened(self, name: Name, row: Sequence[Value]) -> Record:
        account, table, key = name
        revision, expires, sealed = row
        assert isinstance(revision, int)  # noqa: S101 — STRICT tables hold these types
        assert isinstance(sealed, bytes)  # noqa: S101
        place = ("record", table, key, revision, _text(expires))
        return Record(
            account=account,
            table=table,
            key=key,
            value=self._vault.open(account, sealed, *place),
            revision=revision,
            expires_at=expires if isinstance(expires, float) else None,
        )

    def _check(self, change: Change) -> None:
        self._limits.check_names(change.account, change.table, change.key)
        self._vault.check(change.account)
        if isinstance(change, Put):
            if len(change.value) > self._limits.value_bytes:
                most = self._limits.value_bytes
                raise TooLargeError(f"a record has at most {most} bytes")
            # SQLite keeps a NaN as NULL, which would mean that it never expires.
            if not math.isfinite(change.expires_at or 0.0):
                raise ValueError("an expiry is a finite number of seconds")
        elif change.expected == 0:
            raise ValueError("what must not exist cannot be deleted")

    def _apply(self, connection: apsw.Connection, changes: Sequence[Change]) -> _Effect:
        """Check every change against the ones before it, then write."""
        now = self._now()
        after: dict[Name, Record | None] = {}
        known: dict[Name, int] = {}
        revisions = []
        for change in changes:
            name = (change.account, change.table, change.key)
            if name not in known:
                known[name] = _revision(connection, name, now)
            if change.expected is not None and change.expected != known[name]:
                raise RevisionConflictError(
                    f"the record has revision {known[name]}, not {change.expected}"
                )
            known[name] = known[name] + 1 if isinstance(change, Put) else 0
            revisions.append(known[name])
            after[name] = _after(change, known[name])
        self._write(connection, after)
        return tuple(revisions), after

    def _write(
        self, connection: apsw.Connection, after: Mapping[Name, Record | None]
    ) -> None:
        # Sealed before the first row is written: a missing key writes nothing.
        rows = [self._row(record) for record in after.values() if record is not None]
        gone = [name for name, record in after.items() if record is None]
        if rows:
            connection.executemany(_WRITE, rows)
        if gone:
            connection.executemany(_DELETE, gone)

    def _row(self, record: Record) -> tuple[Value, ...]:
        expires = record.expires_at
        place = ("record", record.table, record.key, record.revision, _text(expires))
        sealed = self._vault.seal(record.account, record.value, *place)
        name = (record.account, record.table, record.key)
        return (*name, record.revision, expires, sealed)

    def _heard(self, effect: _Effect) -> None:
        failures: list[Exception] = []
        for account, table, key in effect[1]:
            for changed in self._watchers.get(table, ()):
                try:
                    changed(account, key)
                except Exception as error:  # noqa: BLE001 — the next watcher must hear
                    failures.append(error)
        if failures:
            raise ExceptionGroup("watchers failed", failures)


def _after(change: Change, revision: int) -> Record | None:
    if not isinstance(change, Put):
        return None
    expires = change.expires_at
    return Record(
        account=change.account,
        table=change.table,
        key=change.key,
        value=bytes(change.value),
        revision=revision,
        expires_at=None if expires is None else float(expires),
    )


def _revision(connection: apsw.Connection, name: Name, now: float) -> int:
    """Give a record's revision; 0 for one that is not there, or has expired."""
    rows = connection.execute(_REVISION, name).fetchall()
    if not rows:
        return 0
    revision, expires = rows[0]
    assert isinstance(revision, int)  # noqa: S101 — a STRICT table holds this type
    return 0 if isinstance(expires, float) and expires <= now else revision


def _text(expires: object) -> str:
    """Bind the expiry too: nobody who can write the file makes a session longer."""
    return "" if expires is None else repr(expires)
