"""
The tables, as numbered steps forward.

Each step runs in one transaction together with the note that it was done, so a
process killed in the middle of one begins it again.  Nothing goes backward: a
file from newer code is refused by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import apsw

from casemate.substrate.ports import SubstrateError

_NOTES = """
CREATE TABLE IF NOT EXISTS schema_version (
    version INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at REAL NOT NULL
)
"""


class NewerSchemaError(SubstrateError):
    """The file was written by newer code."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step.  version counts from 1; sql: statements, run in order."""

    version: int
    name: str
    sql: str


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        version=1,
        name="records",
        sql="""
        CREATE TABLE records (
            account TEXT NOT NULL, tbl TEXT NOT NULL, key TEXT NOT NULL,
            revision INTEGER NOT NULL, expires REAL, value BLOB NOT NULL,
            PRIMARY KEY (account, tbl, key)
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX records_expiring ON records (expires)
            WHERE expires IS NOT NULL;
        """,
    ),
    Migration(
        version=2,
        name="log",
        # A dropped stream's id is never used again, so its entries, sealed with
        # the id, cannot be put into a later stream of the same name.
        #
        # Entries lie in the order they were written, whatever their stream, and
        # one index finds them again.  Dropped: the table as its own index
        # (WITHOUT ROWID).  A row past a quarter of a page, as records of calls
        # are, took pages of its own, and each stream dirtied a page a group: 100
        # to 115 µs of the writer a call against 35 to 50.  The time is in the
        # index so that `trim` need not read the rows that stay.
        sql="""
        CREATE TABLE streams (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            account TEXT NOT NULL, name TEXT NOT NULL,
            last INTEGER NOT NULL, entries INTEGER NOT NULL, bytes INTEGER NOT NULL,
            UNIQUE (account, name)
        ) STRICT;
        CREATE TABLE entries (
            stream INTEGER NOT NULL, position INTEGER NOT NULL,
            at INTEGER NOT NULL, kind TEXT NOT NULL, data BLOB NOT NULL
        ) STRICT;
        CREATE UNIQUE INDEX entries_in_order ON entries (stream, position, at);
        CREATE TABLE doomed (stream INTEGER PRIMARY KEY) STRICT;
        """,
    ),
    Migration(
        version=3,
        name="queues and counters",
        sql="""
        CREATE TABLE messages (
            id INTEGER PRIMARY KEY,
            account TEXT NOT NULL, queue TEXT NOT NULL, name TEXT NOT NULL,
            sent_at REAL NOT NULL, visible_at REAL NOT NULL,
            received INTEGER NOT NULL, lease BLOB, body BLOB NOT NULL
        ) STRICT;
        CREATE INDEX messages_due ON messages (account, queue, visible_at, id);
        CREATE INDEX messages_leased ON messages (lease) WHERE lease IS NOT NULL;
        CREATE TABLE counters (
            account TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL,
            PRIMARY KEY (account, name)
        ) WITHOUT ROWID, STRICT;
        """,
    ),
    Migration(
        version=4,
        name="runs of log entries",
        # A row may hold the entries of one append (`runs`).  `low` is their
        # earliest time, and NULL for an entry alone, as all were before; both
        # times are in the index, so that `trim` reads no row that stays.
        sql="""
        ALTER TABLE entries ADD COLUMN low INTEGER;
        ALTER TABLE entries ADD COLUMN held INTEGER NOT NULL DEFAULT 1;
        DROP INDEX entries_in_order;
        CREATE UNIQUE INDEX entries_in_order ON entries (stream, position, at, low);
        """,
    ),
    Migration(
        version=5,
        name="queues with memory",
        # first_at: when it was claimed first.  claimed_at: by the latest claim.
        # before: claims that it had when it came to the queue it is in.
        sql="""
        ALTER TABLE messages ADD COLUMN first_at REAL;
        ALTER TABLE messages ADD COLUMN claimed_at REAL;
        ALTER TABLE messages ADD COLUMN before INTEGER NOT NULL DEFAULT 0;
        CREATE INDEX messages_sent ON messages (account, queue, sent_at);
        """,
    ),
)


def version_of(connection: apsw.Connection) -> int:
    """Give the version of the file; 0 for an empty one."""
    connection.execute(_NOTES)
    found = connection.execute("SELECT max(version) FROM schema_version").fetchall()
    return int(found[0][0] or 0)


def migrate(
    connection: apsw.Connection,
    now: float,
    migrations: Sequence[Migration] = MIGRATIONS,
) -> int:
    """Bring the file up to this code; give its version.  Raises NewerSchemaError."""
    version, newest = version_of(connection), migrations[-1].version
    if version > newest:
        raise NewerSchemaError(
            f"the data has schema {version}, this code knows {newest};"
            f" start the newer Casemate that wrote it"
        )
    for migration in migrations:
        if migration.version > version:
            _step(connection, migration, now)
    return newest


def _step(connection: apsw.Connection, migration: Migration, now: float) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.execute(migration.sql)
        connection.execute(
            "INSERT INTO schema_version VALUES (?, ?, ?)",
            (migration.version, migration.name, now),
        )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
