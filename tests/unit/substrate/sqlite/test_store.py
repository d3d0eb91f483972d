"""Laws of opening a store: keys, damage, one owner, schema."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import apsw
import pytest

from casemate.core.clock import SystemClock
from casemate.seal.envelope import Envelope
from casemate.substrate.ports import (
    Blobs,
    Counters,
    DamagedError,
    Log,
    NewEntry,
    Put,
    Queue,
    Records,
    Signals,
)
from casemate.substrate.sqlite import (
    InUseError,
    NewerSchemaError,
    WrongKeyError,
    open_store,
)
from casemate.substrate.sqlite.file import connect
from casemate.substrate.sqlite.schema import MIGRATIONS, Migration, migrate, version_of
from store_stand import ALICE, BOB, FILE_KEY, Keys, SetClock, opened, store_at


def put(key: str, value: bytes, account: str = ALICE) -> Put:
    return Put(account=account, table="t", key=key, value=value)


async def filled(folder: Path, count: int = 50) -> None:
    async with store_at(folder) as store:
        await store.records.commit(*(put(f"k{n}", bytes(900)) for n in range(count)))


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    """The wrong key is refused by name, and the right one still opens."""
    asyncio.run(filled(tmp_path))

    with pytest.raises(WrongKeyError, match="another key"):
        open_store(
            tmp_path,
            file_key=bytes(32),
            keyring=Keys(),
            envelope=Envelope(os.urandom),
            clock=SystemClock(),
            randomness=os.urandom,
        )
    asyncio.run(filled(tmp_path))


def test_a_store_has_one_owner(tmp_path: Path) -> None:
    """A second process on the same folder is refused; after close it is not."""

    async def law() -> None:
        async with store_at(tmp_path):
            with pytest.raises(InUseError, match="stop it first"):
                opened(tmp_path)
        async with store_at(tmp_path):
            pass

    asyncio.run(law())


@pytest.mark.parametrize("page", [0, 1, 3, 5])
def test_a_damaged_file_is_refused_at_the_start(tmp_path: Path, page: int) -> None:
    """One flipped bit anywhere in the file is a named error, never an answer."""
    asyncio.run(filled(tmp_path))
    path = tmp_path / "state.db"
    data = bytearray(path.read_bytes())
    data[page * 4096 + 500] ^= 1
    path.write_bytes(data)

    with pytest.raises(DamagedError, match="damaged"):
        opened(tmp_path)


def test_a_cut_file_is_refused_at_the_start(tmp_path: Path) -> None:
    """A file that lost its end is damaged."""
    asyncio.run(filled(tmp_path))
    path = tmp_path / "state.db"
    os.truncate(path, path.stat().st_size // 2)

    with pytest.raises(DamagedError, match="damaged"):
        opened(tmp_path)


def test_the_store_keeps_the_ports(tmp_path: Path) -> None:
    """Each part is its port, by type as well."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            ports: tuple[Records, Log, Blobs, Queue, Counters, Signals] = (
                store.records,
                store.log,
                store.blobs,
                store.queue,
                store.counters,
                store.signals,
            )
            assert len(set(map(id, ports))) == 6

    asyncio.run(law())


def test_a_commit_is_on_the_disk_and_encrypted(tmp_path: Path) -> None:
    """FULL, write-ahead, ChaCha20-Poly1305: what the promises rest on is in force."""
    asyncio.run(filled(tmp_path))
    connection = raw(tmp_path)

    assert connection.pragma("synchronous") == 2
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("cipher") == "chacha20"
    assert connection.pragma("auto_vacuum") == 2
    # 16 bytes of nonce and 16 of tag are set apart in each page.
    assert (tmp_path / "state.db").read_bytes()[20] == 32
    connection.close()


def raw(folder: Path) -> apsw.Connection:
    return connect(folder / "state.db", FILE_KEY, writes=True)


def test_a_value_moved_within_the_file_does_not_open(tmp_path: Path) -> None:
    """Whoever can write the file cannot pass one tenant's value for another's."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            await store.records.commit(
                put("a", b"alice"), put("a", b"bob", BOB), put("b", b"x")
            )
            await store.records.commit(put("b", b"y"))
        connection = raw(tmp_path)
        connection.execute(
            "UPDATE records SET value = (SELECT value FROM records"
            " WHERE account = ? AND key = 'a') WHERE account = ?",
            (ALICE, BOB),
        )
        connection.execute("UPDATE records SET revision = 7 WHERE key = 'b'")
        connection.close()
        async with store_at(tmp_path) as store:
            assert store.records.get(ALICE, "t", "a") is not None
            for account, key in ((BOB, "a"), (ALICE, "b")):
                with pytest.raises(DamagedError):
                    store.records.get(account, "t", key)

    asyncio.run(law())


def test_an_entry_moved_within_the_file_does_not_open(tmp_path: Path) -> None:
    """A log entry is sealed with its stream, position and time, and so is a run."""

    async def law() -> None:
        entries = [NewEntry(at=1, kind="k", data=b"%d" % n) for n in range(3)]
        async with store_at(tmp_path) as store:
            for entry in entries:
                await store.log.append(ALICE, "s", [entry])
            await store.log.append(ALICE, "run", entries)
            await store.queue.send(ALICE, "q", b"body")
        connection = raw(tmp_path)
        connection.execute("UPDATE entries SET at = 2 WHERE position = 3")
        connection.execute("UPDATE messages SET queue = 'other'")
        connection.close()
        async with store_at(tmp_path) as store:
            assert len(store.log.read(ALICE, "s", limit=2)) == 2
            for stream in ("s", "run"):
                with pytest.raises(DamagedError):
                    store.log.read(ALICE, stream)
            assert await store.queue.claim(ALICE, "other") == []
            assert store.health().damaged == 1

    asyncio.run(law())


def test_a_message_with_a_broken_seal_is_met_ever_more_rarely(tmp_path: Path) -> None:
    """Twice as long each time, up to an hour; it is counted, and stays."""

    async def law() -> None:
        clock = SetClock()
        async with store_at(tmp_path, clock=clock) as store:
            await store.queue.send(ALICE, "q", b"body")
        connection = raw(tmp_path)
        connection.execute("UPDATE messages SET queue = 'other'")
        connection.close()
        waits: list[float] = []
        async with store_at(tmp_path, clock=clock) as store:
            for lease in (30.0, 30.0, 0.0, 30.0, 30.0, 30.0, 30.0, 30.0, 30.0):
                assert await store.queue.claim(ALICE, "other", lease=lease) == []
                waits.append(store.queue.due_in(ALICE, "other") or 0.0)
                clock.forward(waits[-1])
            assert waits == [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]
            assert store.health().damaged == len(waits)
            assert sum(store.queue.depth(ALICE, "other")) == 1

    asyncio.run(law())


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    """Every file is 0600, every folder 0700."""

    async def law() -> None:
        async with store_at(tmp_path / "node") as store:
            await store.records.commit(put("a", b""))
            await store.blobs.put(ALICE, b"blob")
            for path in (tmp_path / "node").rglob("*"):
                assert path.stat().st_mode & 0o077 == 0, path

    asyncio.run(law())


def test_a_newer_schema_is_refused_by_name(tmp_path: Path) -> None:
    """Older code leaves newer data alone."""
    asyncio.run(filled(tmp_path))
    connection = raw(tmp_path)
    connection.execute("INSERT INTO schema_version VALUES (99, 'future', 0)")
    connection.close()

    with pytest.raises(NewerSchemaError, match="schema 99"):
        opened(tmp_path)


def test_migrations_go_forward_from_any_version(tmp_path: Path) -> None:
    """Each older schema is brought up, step by step, and is noted."""
    for version in range(len(MIGRATIONS) + 1):
        folder = tmp_path / str(version)
        folder.mkdir()
        (folder / "state.db").touch()
        connection = raw(folder)
        if version:
            migrate(connection, 0.0, MIGRATIONS[:version])
        assert version_of(connection) == version
        connection.close()
        asyncio.run(filled(folder))
        connection = raw(folder)
        assert version_of(connection) == len(MIGRATIONS)
        connection.close()


def died(*_values: object) -> int:
    os._exit(9)


def lived(*_values: object) -> int:
    return 1


def test_a_migration_killed_in_the_middle_is_done_again(tmp_path: Path) -> None:
    """A process that dies within a step leaves the one before; the next goes on."""
    asyncio.run(filled(tmp_path))
    step = Migration(
        version=len(MIGRATIONS) + 1,
        name="more",
        sql="CREATE TABLE more (a) ; INSERT INTO more VALUES (die()) ;",
    )
    child = os.fork()
    if child == 0:
        connection = raw(tmp_path)
        connection.create_scalar_function("die", died)
        migrate(connection, 0.0, (*MIGRATIONS, step))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9

    connection = raw(tmp_path)
    assert version_of(connection) == len(MIGRATIONS)
    connection.create_scalar_function("die", lived)
    assert migrate(connection, 0.0, (*MIGRATIONS, step)) == len(MIGRATIONS) + 1
    assert connection.execute("SELECT a FROM more").fetchall() == [(1,)]
    connection.close()


def test_migrations_are_numbered_without_gaps() -> None:
    """Versions count from 1."""
    assert [m.version for m in MIGRATIONS] == list(range(1, len(MIGRATIONS) + 1))


def test_health_tells_facts(tmp_path: Path) -> None:
    """Sizes, free space, backlog: numbers an operator can act on."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            await store.records.commit(put("a", bytes(10_000)))
            health = store.health()
            assert health.schema == len(MIGRATIONS)
            assert health.wal_bytes > 10_000
            assert health.free_bytes > 0
            assert health.reserve_whole
            assert health.failed is None
        assert not (tmp_path / "state.db-wal").exists()

    asyncio.run(law())
