"""Q16: a full disk refuses by name, keeps the record going, and recovers."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from casemate.core.errors import Refusal
from casemate.substrate.ports import SHARED, Delete, FullError, NewEntry, Put
from casemate.substrate.sqlite import Limits
from store_stand import ALICE, SetClock, store_at
from unit.services.calls import Caller
from unit.services.sqs_world import composed, url

MIB = 1_048_576
LIMITS = Limits(reserve_bytes=4 * MIB)
LIBC = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB of its own."""
    size = f"size={24 * MIB}".encode()
    target = os.fsencode(tmp_path)
    if LIBC.mount(b"tmpfs", target, b"tmpfs", 0, size):
        raise OSError(ctypes.get_errno(), "mount")
    yield tmp_path
    LIBC.umount2(target, 2)


def put(key: str, size: int = 100) -> Put:
    return Put(account=ALICE, table="t", key=key, value=bytes(size))


def fill(folder: Path) -> Path:
    """Take every byte that is free."""
    filler = folder / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in (MIB, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


async def until_full(change: Callable[[], Awaitable[object]]) -> int:
    """Make changes until the disk is full; give how many were acknowledged."""
    count = 0
    while True:
        try:
            await change()
        except FullError:
            return count
        count += 1


def entry(number: int, size: int = 400) -> NewEntry:
    return NewEntry(at=number, kind="audit", data=b"%d" % number + bytes(size))


def test_q16_a_full_disk_refuses_and_recovers(small: Path) -> None:
    """
    Q16: filled by somebody else, in the middle of the work.

    Changes are refused with FullError and leave nothing; reads and the
    platform's own log go on; deletions are taken; with space back, so are
    changes, at once; and every acknowledged one is there after a restart.
    """

    async def law() -> None:
        node = small / "node"
        async with store_at(node, limits=LIMITS) as store:
            for n in range(20):
                await store.records.commit(put(f"before{n}", 2000))
            filler = fill(small)

            refused, taken = 0, []
            for n in range(60):
                try:
                    await store.records.commit(put(f"a{n}", 50_000), put(f"b{n}"))
                    taken.append(n)
                except FullError:
                    refused += 1
            assert refused > 0
            for n in range(60):
                there = store.records.get(ALICE, "t", f"a{n}") is not None
                assert there == (n in taken)
                assert there == (store.records.get(ALICE, "t", f"b{n}") is not None)
            with pytest.raises(FullError):
                await store.blobs.put(ALICE, bytes(2 * MIB))
            assert not list((node / "blobs" / "unfinished").iterdir())

            for n in range(1, 501):
                await store.log.append(SHARED, "audit", [entry(n)])
            assert not store.health().reserve_whole
            with pytest.raises(FullError, match="only deletions"):
                await store.records.commit(put("mine"))
            with pytest.raises(FullError, match="only deletions"):
                await store.blobs.put(ALICE, b"small")
            gone = Delete(account=ALICE, table="t", key="before0")
            assert await store.records.commit(gone) == (0,)
            assert store.records.get(ALICE, "t", "before1") is not None

            filler.unlink()
            assert await store.records.commit(put("after")) == (1,)
            assert store.health().reserve_whole
            assert store.health().failed is None
            await store.blobs.put(ALICE, bytes(MIB))
        async with store_at(node, limits=LIMITS) as store:
            assert len(store.log.read(SHARED, "audit")) == 500
            assert store.records.get(ALICE, "t", "after") is not None
            assert store.records.get(ALICE, "t", "before0") is None
            for n in taken:
                assert store.records.get(ALICE, "t", f"a{n}") is not None

    asyncio.run(law())


def test_q16_when_the_reserve_is_used_up_the_record_refuses(small: Path) -> None:
    """Q16, L4: where nothing can be recorded, the append says so, and loses nothing."""

    async def law() -> None:
        node = small / "node"
        async with store_at(node, limits=LIMITS) as store:
            filler = fill(small)
            large = [entry(0, 60_000)]
            position = await until_full(
                lambda: store.log.append(SHARED, "audit", large)
            )
            assert store.health().reserve_bytes == 0
            filler.unlink()
            assert await store.log.append(SHARED, "audit", [entry(0)]) == position + 1
            assert store.health().reserve_whole
        async with store_at(node, limits=LIMITS) as store:
            assert len(store.log.read(SHARED, "audit")) == position + 1

    asyncio.run(law())


def test_q16_filled_by_the_store_itself_deleting_makes_room(small: Path) -> None:
    """Q16: the way back without a shell: delete, and what was freed is usable."""

    async def law() -> None:
        async with store_at(small / "node", limits=LIMITS) as store:
            keys = itertools.count()
            count = await until_full(
                lambda: store.records.commit(put(f"k{next(keys)}", 100_000))
            )
            while store.health().reserve_whole:
                await store.log.append(SHARED, "audit", [entry(1, 100_000)])
            with pytest.raises(FullError):
                await store.records.commit(put("more"))
            for n in range(count):
                await store.records.commit(
                    Delete(account=ALICE, table="t", key=f"k{n}")
                )
            assert await store.records.commit(put("more", 100_000)) == (1,)
            assert store.health().reserve_whole

    asyncio.run(law())


def test_q16_a_store_opens_on_a_full_disk(small: Path) -> None:
    """Q16: the platform starts, reads, and takes changes once there is space."""

    async def law() -> None:
        node = small / "node"
        async with store_at(node, limits=LIMITS) as store:
            await store.records.commit(put("a"))
        filler = fill(small)
        async with store_at(node, limits=LIMITS) as store:
            assert store.records.get(ALICE, "t", "a") is not None
            filler.unlink()
            assert await store.records.commit(put("b")) == (1,)

    asyncio.run(law())


def test_q16_lines_that_find_no_room_are_counted(small: Path) -> None:
    """Q16: a tenant's log lines are dropped and counted, the counters keep."""

    async def law() -> None:
        async with store_at(small / "node", limits=LIMITS) as store:
            filler = fill(small)
            while store.health().reserve_whole:
                await store.log.append(SHARED, "audit", [entry(1, 50_000)])
            store.log.append_soon(ALICE, "s", [entry(1), entry(2)])
            store.counters.add(ALICE, "n", 3)
            await store.log.append(SHARED, "audit", [entry(1)])
            assert store.health().dropped == 2
            filler.unlink()
            store.counters.add(ALICE, "n", 1)
            await store.records.commit(put("a"))
        async with store_at(small / "node", limits=LIMITS) as store:
            assert store.counters.read(ALICE, "n") == 4
            assert store.log.read(ALICE, "s") == []

    asyncio.run(law())


def test_q16_queues_are_emptied_and_deleted_on_a_full_disk(small: Path) -> None:
    """Q16: sends are refused by name; receives, deletions and purges make room."""

    async def law() -> None:
        async with store_at(small / "node", limits=LIMITS) as store:
            service = composed(store, SetClock())
            call = Caller.of(service.operations)
            for name in ("q", "purged", "doomed"):
                await call("CreateQueue", QueueName=name)
                for _ in range(3):
                    given = {"QueueUrl": url(name), "MessageBody": "x" * 100_000}
                    await call("SendMessage", **given)
            filler = fill(small)
            told = None
            while told is None:
                try:
                    await call("SendMessage", QueueUrl=url(), MessageBody="x" * 10_000)
                except Refusal as refusal:
                    told = refusal
            assert ("ServiceUnavailable", 503) == (told.code, told.http_status)
            answer: Any = await call("ReceiveMessage", QueueUrl=url())
            (message,) = answer["Messages"]
            handle = message["ReceiptHandle"]
            await call("DeleteMessage", QueueUrl=url(), ReceiptHandle=handle)
            await call("PurgeQueue", QueueUrl=url("purged"))
            await call("DeleteQueue", QueueUrl=url("doomed"))
            listed: Any = await call("ListQueues")
            assert [url("purged"), url()] == listed["QueueUrls"]
            filler.unlink()
            await call("SendMessage", QueueUrl=url(), MessageBody="x")

    asyncio.run(law())
