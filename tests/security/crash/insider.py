"""
Somebody with root and every key, while the platform is down.

Opens the store as the platform's own code does: the keyholder of the folder
opens the wrapped keys, and rows are sealed so that the platform reads them.
What he cannot do is sign a checkpoint for another history: the keyholder
remembers.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from casemate.app.keyring import FILE, KeyRing
from casemate.cli.offline import _keyholder
from casemate.seal import chain
from casemate.seal.envelope import Envelope
from casemate.seal.keyholder import Keyholder
from casemate.substrate.ports import SHARED
from casemate.substrate.sqlite.file import connect
from casemate.substrate.sqlite.runs import Runs
from casemate.substrate.sqlite.vault import Vault

AUDIT = "audit"
CHECKPOINTS = "audit-checkpoints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One entry as the platform reads it."""

    position: int
    at: int
    kind: str
    data: bytes

    @property
    def record(self) -> bytes:
        """The audit record without its hash."""
        return self.data[chain.HASH_BYTES :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """One stream of the platform's own log, to read and to rewrite."""

    connection: apsw.Connection
    vault: Vault
    name: str
    number: int

    def rows(self) -> list[Row]:
        """Read all entries."""
        found = self.connection.execute(
            "SELECT position, at, kind, data, low, held FROM entries WHERE stream = ? "
            "ORDER BY position",
            (self.number,),
        ).fetchall()
        return [
            Row(position=one.position, at=one.at, kind=one.kind, data=one.data)
            for row in found
            for one in Runs(self.vault).opened(SHARED, self.name, self.number, row)
        ]

    def write(self, rows: list[Row]) -> None:
        """Put other entries in their place, every seal right."""
        remove = "DELETE FROM entries WHERE stream = ?"
        self.connection.execute(remove, (self.number,))
        for row in rows:
            place = (self.name, self.number, row.position, row.at, row.kind)
            sealed = self.vault.seal(SHARED, row.data, "entry", *place)
            self.connection.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?, NULL, 1)",
                (self.number, row.position, row.at, row.kind, sealed),
            )
        last = rows[-1].position if rows else 0
        self.connection.execute(
            "UPDATE streams SET last = ?, entries = ? WHERE id = ?",
            (last, len(rows), self.number),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Insider:
    """The opened store."""

    connection: apsw.Connection
    vault: Vault

    def stream(self, name: str) -> Stream:
        """Give one of the platform's own streams."""
        found = self.connection.execute(
            "SELECT id FROM streams WHERE account = ? AND name = ?", (SHARED, name)
        ).fetchall()
        return Stream(
            connection=self.connection,
            vault=self.vault,
            name=name,
            number=int(str(found[0][0])),
        )


async def _keys(folder: Path, line: socket.socket) -> KeyRing:
    keyholder = Keyholder(line)
    ring = KeyRing(folder / "keys", keyholder)
    await ring.open()
    keyholder.close()
    return ring


@contextmanager
def inside(data: Path) -> Iterator[Insider]:
    """Open the store of a folder whose platform is down."""
    node = data / "node"
    owner = node.stat()
    with _keyholder(data, None) as line:
        ring = asyncio.run(_keys(node, line))
    connection = connect(node / "state.db", ring.named(FILE), writes=True)
    try:
        yield Insider(connection=connection, vault=Vault(ring, Envelope(os.urandom)))
    finally:
        connection.close()
        for path in node.rglob("*"):
            os.chown(path, owner.st_uid, owner.st_gid)


def recorded(data: Path) -> list[dict[str, Any]]:
    """Give every record of a folder whose platform is down, oldest first."""
    with inside(data) as opened:
        return [json.loads(row.record) for row in opened.stream(AUDIT).rows()]


@contextmanager
def put_back(data: Path, copy: Path) -> Iterator[None]:
    """Undo everything that a block does to a data folder."""
    for part in ("node", "keyholder"):
        copied(data / part, copy / part)
    try:
        yield
    finally:
        for part in ("node", "keyholder"):
            shutil.rmtree(data / part)
            copied(copy / part, data / part)
            shutil.rmtree(copy / part)


def copied(source: Path, target: Path) -> None:
    """Copy a folder with its owners, and without the space that is held back."""
    leave_out = shutil.ignore_patterns("reserve")
    shutil.copytree(source, target, ignore=leave_out)
    owner = source.stat()
    for path in (target, *target.rglob("*")):
        os.chown(path, owner.st_uid, owner.st_gid)


def relinked(rows: list[Row], instance: str) -> list[Row]:
    """Number rows from 1 and give each the hash that fits: a whole history."""
    head, given = chain.start(instance), []
    for position, row in enumerate(rows, 1):
        head = chain.link(head, position=position, at=row.at, data=row.record)
        data = chain.packed(head, row.record)
        given.append(Row(position=position, at=row.at, kind=row.kind, data=data))
    return given


Tampering = Callable[[Insider, str], None]
"""Is given the store and the instance's name."""


def altered(insider: Insider, _instance: str) -> None:
    """Change one letter of one record; its hash stays."""
    audit = insider.stream(AUDIT)
    rows = audit.rows()
    row = rows[7]
    data = row.data.replace(b'"eventName":"', b'"eventName":"X', 1)
    rows[7] = Row(position=row.position, at=row.at, kind=row.kind, data=data)
    audit.write(rows)


def removed(insider: Insider, _instance: str) -> None:
    """Take one record out of the middle."""
    audit = insider.stream(AUDIT)
    rows = audit.rows()
    audit.write(rows[:7] + rows[8:])


def reordered(insider: Insider, _instance: str) -> None:
    """Let two records change their places."""
    audit = insider.stream(AUDIT)
    rows = audit.rows()
    one, other = rows[6], rows[7]
    rows[6] = Row(position=7, at=other.at, kind=other.kind, data=other.data)
    rows[7] = Row(position=8, at=one.at, kind=one.kind, data=one.data)
    audit.write(rows)


def cut(insider: Insider, _instance: str) -> None:
    """Cut the tail."""
    audit = insider.stream(AUDIT)
    audit.write(audit.rows()[:-5])


def cut_with_all(insider: Insider, _instance: str) -> None:
    """Cut the tail, and every checkpoint there is."""
    audit, checkpoints = insider.stream(AUDIT), insider.stream(CHECKPOINTS)
    audit.write(audit.rows()[:-5])
    checkpoints.write([])


def cut_with_checkpoint(insider: Insider, _instance: str) -> None:
    """Cut the tail, and the last checkpoint that knew of it."""
    audit, checkpoints = insider.stream(AUDIT), insider.stream(CHECKPOINTS)
    audit.write(audit.rows()[:-5])
    checkpoints.write(checkpoints.rows()[:-1])


def forked(insider: Insider, instance: str) -> None:
    """Leave a record out, and write a new history with every hash right."""
    audit = insider.stream(AUDIT)
    rows = audit.rows()
    audit.write(relinked(rows[:7] + rows[8:], instance))


def written_anew(insider: Insider, instance: str) -> None:
    """Write a new history as long as the old one, and keep no checkpoint."""
    audit, checkpoints = insider.stream(AUDIT), insider.stream(CHECKPOINTS)
    rows = audit.rows()
    audit.write(relinked([rows[0], rows[0], *rows[2:]], instance))
    checkpoints.write([])


def emptied(insider: Insider, _instance: str) -> None:
    """Leave no record at all."""
    insider.stream(AUDIT).write([])
    insider.stream(CHECKPOINTS).write([])
