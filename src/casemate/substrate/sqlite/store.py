"""
The store of one machine: one encrypted file, a folder of blobs, one writer.

    folder/state.db        records, log, queues, counters (encrypted as a whole)
    folder/state.db-wal    its write-ahead log, encrypted; -shm: page numbers
    folder/state.lock      held while a process has the store open
    folder/reserve         space held back for a full disk
    folder/blobs/          one encrypted file for each blob
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import final

import apsw

from casemate.core.clock import Clock
from casemate.substrate.ports import FullError, SubstrateError
from casemate.substrate.signals import LocalSignals
from casemate.substrate.sqlite.blobs import FileBlobs
from casemate.substrate.sqlite.counters import SqliteCounters
from casemate.substrate.sqlite.file import check, connect, make_file, turned
from casemate.substrate.sqlite.limits import Limits
from casemate.substrate.sqlite.log import SqliteLog
from casemate.substrate.sqlite.queue import SqliteQueue
from casemate.substrate.sqlite.readers import Readers
from casemate.substrate.sqlite.records import SqliteRecords
from casemate.substrate.sqlite.reserve import Reserve
from casemate.substrate.sqlite.schema import migrate
from casemate.substrate.sqlite.steady import SteadyTime
from casemate.substrate.sqlite.vault import Envelope, KeyRing, Vault
from casemate.substrate.sqlite.writer import Writer

KEY_BYTES = 32


class InUseError(SubstrateError):
    """Another process has this store open."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """
    Facts about a store.  Sizes in bytes.

    reserve_bytes: held back now; reserve_whole: False while the disk is full
    and only reserved writes are taken.  dropped: log entries lost since the
    start.  damaged: messages whose seal was broken.  failed: why the store has
    stopped writing, or None.
    """

    schema: int
    file_bytes: int
    wal_bytes: int
    free_bytes: int
    reserve_bytes: int
    reserve_whole: bool
    backlog_entries: int
    backlog_bytes: int
    dropped: int
    damaged: int
    failed: str | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """What a store is made of, and gives back in order."""

    folder: Path
    schema: int
    lock: int
    reserve: Reserve
    readers: Readers
    writer: Writer


@final
class Store:
    """All ports over one folder.  Only `open_store` makes one."""

    def __init__(
        self,
        parts: _Parts,
        *,
        records: SqliteRecords,
        log: SqliteLog,
        blobs: FileBlobs,
        queue: SqliteQueue,
        counters: SqliteCounters,
    ) -> None:
        self._parts = parts
        self._closed = False
        self.records = records
        self.log = log
        self.blobs = blobs
        self.queue = queue
        self.counters = counters
        self.signals = LocalSignals()

    async def close(self) -> None:
        """Commit what is there, and give everything back.  May be called twice."""
        if self._closed:
            return
        self._closed = True
        await self.blobs.close()
        # The readers first: the last connection folds the log into the file.
        self._parts.readers.close()
        await self._parts.writer.close()
        self._parts.reserve.close()
        os.close(self._parts.lock)

    async def sweep(self) -> int:
        """
        Delete what has expired, and finish what was interrupted; give the count.

        To be called from time to time: nothing here runs by itself.
        """
        total = await self.log.sweep()
        while count := await self.records.sweep():
            total += count
        return total

    def health(self) -> Health:
        """Give the facts of now."""
        parts, backlog = self._parts, self.log.backlog
        return Health(
            schema=parts.schema,
            file_bytes=_size(parts.folder / "state.db"),
            wal_bytes=_size(parts.folder / "state.db-wal"),
            free_bytes=parts.reserve.free(),
            reserve_bytes=parts.reserve.held,
            reserve_whole=parts.reserve.whole,
            backlog_entries=backlog.entries,
            backlog_bytes=backlog.bytes,
            dropped=backlog.dropped,
            damaged=self.queue.damaged,
            failed=parts.writer.failed,
        )


def open_store(
    folder: Path,
    *,
    file_key: bytes,
    keyring: KeyRing,
    envelope: Envelope,
    clock: Clock,
    randomness: Callable[[int], bytes],
    limits: Limits | None = None,
) -> Store:
    """
    Open the store of a folder, made if it is not there.

    file_key: 32 bytes.  keyring: the accounts' keys, `SHARED`'s among them.
    randomness: gives that many unpredictable bytes.  Raises InUseError,
    WrongKeyError, DamagedError, NewerSchemaError, SubstrateError.
    """
    if len(file_key) != KEY_BYTES:
        raise ValueError(f"the key of the file has {KEY_BYTES} bytes")
    bounds = limits or Limits()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as undone:
        lock = _locked(folder / "state.lock")
        undone.callback(os.close, lock)
        reserve = Reserve(folder / "reserve", bounds.reserve_bytes)
        undone.callback(reserve.close)
        connection, schema = _opened_with(reserve, folder, file_key, clock)
        undone.callback(connection.close)
        vault = Vault(keyring, envelope)
        blobs = FileBlobs(
            folder / "blobs",
            file_key=file_key,
            vault=vault,
            reserve=reserve,
            randomness=randomness,
        )
        writer = Writer(connection, reserve)
        counters = SqliteCounters(writer=writer, limits=bounds, connection=connection)
        parts = _Parts(
            folder=folder,
            schema=schema,
            lock=lock,
            reserve=reserve,
            readers=Readers(
                lambda: connect(folder / "state.db", file_key, writes=False)
            ),
            writer=writer,
        )
        now = SteadyTime(clock).now
        store = _composed(parts, vault, bounds, now, randomness, blobs, counters)
        undone.pop_all()
    return store


def _composed(
    parts: _Parts,
    vault: Vault,
    limits: Limits,
    now: Callable[[], float],
    randomness: Callable[[int], bytes],
    blobs: FileBlobs,
    counters: SqliteCounters,
) -> Store:
    """Put the ports over their parts, and set the writer to work."""
    writer, readers = parts.writer, parts.readers
    records = SqliteRecords(
        writer=writer, readers=readers, vault=vault, limits=limits, now=now
    )
    log = SqliteLog(writer=writer, readers=readers, vault=vault, limits=limits)
    queue = SqliteQueue(
        writer=writer,
        readers=readers,
        vault=vault,
        limits=limits,
        now=now,
        randomness=randomness,
    )
    writer.start(memories=(log, queue), lazies=(log, counters))
    return Store(
        parts, records=records, log=log, blobs=blobs, queue=queue, counters=counters
    )


def _opened_with(
    reserve: Reserve, folder: Path, file_key: bytes, clock: Clock
) -> tuple[apsw.Connection, int]:
    """Open the file; on a full disk, with space from the reserve."""
    while True:
        try:
            return _opened(folder, file_key, clock)
        except FullError:
            # Opening needs a few pages: a full disk must not keep it closed to
            # whoever comes to make room.
            if not reserve.cut():
                raise


def _opened(folder: Path, file_key: bytes, clock: Clock) -> tuple[apsw.Connection, int]:
    path = folder / "state.db"
    make_file(path)
    connection = connect(path, file_key, writes=True)
    try:
        check(connection, path)
        schema = migrate(connection, clock.now())
    except apsw.Error as error:
        connection.close()
        raise turned(error) from error
    except BaseException:
        connection.close()
        raise
    _synced(folder)
    return connection, schema


def _locked(path: Path) -> int:
    """Hold the store for this process; the kernel lets go when it dies."""
    file = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise InUseError(
            f"another process has `{path.parent}` open; stop it first"
        ) from None
    return file


def _synced(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
