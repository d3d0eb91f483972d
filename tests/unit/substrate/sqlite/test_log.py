"""Laws of the log."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from casemate.substrate.ports import SHARED, FullError, NewEntry
from casemate.substrate.sqlite import Limits, TooLargeError
from store_stand import ALICE, BOB, opened, store_at


def new(data: bytes, at: int = 1) -> NewEntry:
    return NewEntry(at=at, kind="line", data=data)


def test_positions_have_no_gaps_and_survive(tmp_path: Path) -> None:
    """Many appenders of one stream get 1, 2, 3, ..., each entry where it was told."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            append = store.log.append
            lasts = await asyncio.gather(
                *(append(ALICE, "s", [new(b"%d" % n), new(b"+")]) for n in range(50))
            )
            assert sorted(lasts) == list(range(2, 101, 2))
            assert await append(ALICE, "s", []) == 100
        async with store_at(tmp_path) as store:
            entries = store.log.read(ALICE, "s")
            assert [entry.position for entry in entries] == list(range(1, 101))
            assert entries[lasts[7] - 2].data == b"7"
            assert await store.log.append(ALICE, "s", [new(b"next")]) == 101

    asyncio.run(law())


def test_reading_on_and_back(tmp_path: Path) -> None:
    """`after` reads forward from a position, `before` backward."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            await store.log.append(ALICE, "s", [new(b"%d" % n) for n in range(1, 11)])
            forward = store.log.read(ALICE, "s", after=4, limit=3)
            assert [entry.data for entry in forward] == [b"5", b"6", b"7"]
            back = store.log.read_back(ALICE, "s", limit=2)
            assert [entry.position for entry in back] == [10, 9]
            earlier = store.log.read_back(ALICE, "s", before=3)
            assert [entry.position for entry in earlier] == [2, 1]
            assert store.log.read(BOB, "s") == []

    asyncio.run(law())


def test_appending_soon_keeps_the_order(tmp_path: Path) -> None:
    """What was appended without waiting stands before what came after it."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            for n in range(20):
                store.log.append_soon(ALICE, "s", [new(b"soon %d" % n)])
                await store.log.append(ALICE, "s", [new(b"then %d" % n)])
            found = [entry.data for entry in store.log.read(ALICE, "s")]
            expected = [
                b"%b %d" % (w, n) for n in range(20) for w in (b"soon", b"then")
            ]
            assert found == expected

    asyncio.run(law())


def test_what_was_appended_soon_is_there_after_close(tmp_path: Path) -> None:
    """Closing flushes."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            store.log.append_soon(ALICE, "s", [new(b"x")] * 100)
        async with store_at(tmp_path) as store:
            assert len(store.log.read(ALICE, "s")) == 100

    asyncio.run(law())


def test_a_flood_is_dropped_and_counted_per_account(tmp_path: Path) -> None:
    """One account fills a quarter of the backlog, and another's entry still fits."""

    async def law() -> None:
        limits = Limits(reserve_bytes=0, backlog_bytes=40_000)
        store = opened(tmp_path, limits=limits)
        for _ in range(200):
            store.log.append_soon(ALICE, "s", [new(bytes(900))])
        store.log.append_soon(BOB, "s", [new(b"mine")])
        store.log.append_soon(SHARED, "audit", [new(b"ours")])
        dropped = store.health().dropped
        await store.log.append(BOB, "other", [new(b"")])
        assert 0 < dropped < 200
        assert store.log.backlog.take_dropped() == {(ALICE, "s"): dropped}
        assert len(store.log.read(ALICE, "s")) == 200 - dropped
        assert len(store.log.read(BOB, "s")) == 1
        assert len(store.log.read(SHARED, "audit")) == 1
        assert store.health().backlog_entries == 0
        await store.close()

    asyncio.run(law())


def test_trim_deletes_what_is_older(tmp_path: Path) -> None:
    """Entries older than a time go, also behind newer ones; positions go on."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            times = [10, 30, 20, 40]
            await store.log.append(ALICE, "s", [new(b"", at=at) for at in times])
            assert await store.log.trim(ALICE, "s", before=25) == 2
            assert [e.position for e in store.log.read(ALICE, "s")] == [2, 4]
            assert await store.log.trim(ALICE, "s", before=100) == 2
            assert store.log.streams(ALICE) == []
            assert await store.log.append(ALICE, "s", [new(b"")]) == 5
            assert await store.log.trim(ALICE, "none", before=100) == 0

    asyncio.run(law())


def test_trim_looks_at_all_of_a_long_stream(tmp_path: Path) -> None:
    """Old entries go wherever they stand, over many turns and over gaps."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            count = 120_000
            for start in range(0, count, 10_000):
                ats = [n % 2 if n < 20_000 else n // (count - 1) for n in range(count)]
                chunk = [new(b"", at=1 - at) for at in ats[start : start + 10_000]]
                await store.log.append(ALICE, "s", chunk)
            await store.log.append(ALICE, "s", [new(b"last", at=0)])
            assert await store.log.trim(ALICE, "s", before=1) == 10_002
            kept = store.log.read(ALICE, "s", limit=200_000)
            assert {entry.at for entry in kept} == {1}
            assert len(kept) == count + 1 - 10_002
            assert await store.log.trim(ALICE, "s", before=1) == 0

    asyncio.run(law())


def test_a_dropped_stream_begins_anew(tmp_path: Path) -> None:
    """After drop nothing is there, and the next append is position 1."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            await store.log.append(ALICE, "s", [new(b"old")] * 6000)
            await store.log.drop(ALICE, "s")
            await store.log.drop(ALICE, "s")
            assert store.log.read(ALICE, "s") == []
            assert await store.log.append(ALICE, "s", [new(b"new")]) == 1
            assert await store.sweep() == 0

    asyncio.run(law())


def test_an_interrupted_drop_is_finished_by_the_sweep(tmp_path: Path) -> None:
    """A process that dies in the middle of a drop leaves a note of it."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            await store.log.append(ALICE, "s", [new(b"old")] * 20_000)
            dropping = asyncio.create_task(store.log.drop(ALICE, "s"))
            # The next append is committed after the first step of the drop.
            await asyncio.sleep(0)
            await store.log.append(BOB, "s", [new(b"")])
            dropping.cancel()
            assert store.log.streams(ALICE) == []
        async with store_at(tmp_path) as store:
            assert await store.sweep() == 1
            assert await store.sweep() == 0

    asyncio.run(law())


def test_streams_are_named_in_order(tmp_path: Path) -> None:
    """Prefix, after and limit page through the names of one account."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            for name in ("/aws/b", "/aws/a", "other", "/aws/c"):
                await store.log.append(ALICE, name, [new(b"")])
            await store.log.append(BOB, "/aws/bob", [new(b"")])
            assert store.log.streams(ALICE, prefix="/aws/", limit=2) == [
                "/aws/a",
                "/aws/b",
            ]
            assert store.log.streams(ALICE, prefix="/aws/", after="/aws/b") == [
                "/aws/c"
            ]

    asyncio.run(law())


def test_a_tenants_stream_loses_its_oldest_past_its_size(tmp_path: Path) -> None:
    """A log that nobody trims stays within its limit; the platform's own does not."""

    async def law() -> None:
        limits = Limits(reserve_bytes=0, stream_bytes=50_000)
        async with store_at(tmp_path, limits=limits) as store:
            for _ in range(20):
                await store.log.append(ALICE, "s", [new(bytes(1000))] * 10)
                await store.log.append(SHARED, "audit", [new(bytes(1000))] * 10)
            left = store.log.read(ALICE, "s")
            assert 40 <= len(left) < 50
            assert left[-1].position == 200
            assert len(store.log.read(SHARED, "audit")) == 200

    asyncio.run(law())


def test_an_account_has_so_many_streams(tmp_path: Path) -> None:
    """One more is refused; another account, and the streams there are, go on."""

    async def law() -> None:
        limits = Limits(reserve_bytes=0, streams=3)
        async with store_at(tmp_path, limits=limits) as store:
            for n in range(3):
                await store.log.append(ALICE, f"s{n}", [new(b"")])
            with pytest.raises(FullError, match="3 streams"):
                await store.log.append(ALICE, "s3", [new(b"")])
            await store.log.append(ALICE, "s1", [new(b"")])
            await store.log.append(BOB, "s3", [new(b"")])
            with pytest.raises(TooLargeError):
                await store.log.append(ALICE, "s1", [new(bytes(5_000_000))])

    asyncio.run(law())


def test_entries_of_any_shape_come_back_as_they_were(tmp_path: Path) -> None:
    """Empty and large data, extreme times, kinds with quotes: all in one append."""

    async def law() -> None:
        entries = [
            NewEntry(at=at, kind=kind, data=data)
            for at in (-(2**63), -1, 0, 2**53 + 1, 2**63 - 1)
            for kind in ("", 'a"b\\c', "é\U0010ffff\n")
            for data in (b"", bytes(range(256)), bytes(20_000))
        ]
        async with store_at(tmp_path) as store:
            assert await store.log.append(ALICE, "s", entries) == len(entries)
            found = store.log.read(ALICE, "s")
            told = [NewEntry(at=e.at, kind=e.kind, data=e.data) for e in found]
            assert told == entries

    asyncio.run(law())
