"""The ledger: a chain without holes, whatever fails."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from casemate.core.identifier import request_id
from casemate.road.record import ledger as ledgers
from casemate.road.record.ledger import (
    CHECKPOINTS,
    STREAM,
    Ledger,
    LedgerFullError,
    UnsignedError,
)
from casemate.road.record.story import Recent, Stories
from casemate.seal import chain
from casemate.substrate.ports import SHARED, Entry, FullError, Log, NewEntry
from casemate.substrate.sqlite.writer import LINGER
from store_stand import SetClock, store_at
from unit.services.calls import law

INSTANCE = "0123456789ab"


async def sign(count: int, link: bytes, at: float) -> tuple[bytes, bytes]:
    return f"{count} {link.hex()} {at}".encode(), bytes(64)


def ledger_on(log: Log, clock: SetClock | None = None, every: int = 1000) -> Ledger:
    return Ledger(
        log=log, instance=INSTANCE, sign=sign, clock=clock or SetClock(), every=every
    )


def is_whole(entries: Sequence[Entry]) -> bool:
    link = chain.start(INSTANCE)
    for entry in entries:
        stored = chain.unpacked(entry.position, entry.at, entry.data)
        link = chain.link(link, position=entry.position, at=entry.at, data=stored.data)
        if link != stored.hash:
            return False
    return True


@law
async def test_records_are_chained_in_the_order_they_came(tmp_path: Path) -> None:
    """Waiting and unwaited records make one chain."""
    async with store_at(tmp_path) as store:
        ledger = ledger_on(store.log)
        ledger.start()
        ledger.append_soon(1, b"one")
        assert 2 == await ledger.append(2, b"two")
        ledger.append_soon(3, b"three")
        await ledger.close()
        entries = store.log.read(SHARED, STREAM)

        assert is_whole(entries)
        assert [b"one", b"two", b"three"] == [e.data[32:] for e in entries]


@law
async def test_a_ledger_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    """The chain continues over a restart."""
    async with store_at(tmp_path) as store:
        for turn in range(3):
            ledger = ledger_on(store.log)
            ledger.start()
            await ledger.append(turn, b"%d" % turn)
            await ledger.close()

        assert is_whole(store.log.read(SHARED, STREAM))
        assert 3 == ledger.head.count


class Failing:
    """A log that is full for a while: the real one behind a door that shuts."""

    def __init__(self, log: Log, *streams: str) -> None:
        self.log = log
        self.streams = streams or (STREAM, CHECKPOINTS)
        self.full = False
        self.appends: list[int] = []
        self.appended = asyncio.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self.log, name)

    async def append(
        self, account: str, stream: str, entries: Sequence[NewEntry]
    ) -> int:
        if self.full and stream in self.streams:
            raise FullError("full")
        last = await self.log.append(account, stream, entries)
        if stream == STREAM:
            self.appends.append(len(entries))
            self.appended.set()
        return last


@law
async def test_a_full_disk_refuses_and_leaves_no_hole(tmp_path: Path) -> None:
    """Who waits is refused, new mutations too (L4); the chain goes on unbroken."""
    async with store_at(tmp_path) as store:
        log = Failing(store.log)
        ledger = ledger_on(log)  # type: ignore[arg-type]  # forwards by getattr
        ledger.start()
        await ledger.append(1, b"before")
        log.full = True
        with pytest.raises(LedgerFullError):
            await ledger.append(2, b"refused")
        with pytest.raises(LedgerFullError):
            ledger.check()
        log.full = False
        await ledger.append(3, b"after")
        ledger.check()
        await ledger.close()
        entries = store.log.read(SHARED, STREAM)

        assert is_whole(entries)
        # The refused call was made all the same, so its record is owed.
        assert [b"before", b"refused", b"after"] == [e.data[32:] for e in entries]


@law
async def test_records_that_nobody_waits_for_share_an_append(tmp_path: Path) -> None:
    """They are held for company, and whoever waits for one ends that at once."""
    async with store_at(tmp_path) as store:
        log = Failing(store.log)
        ledger = ledger_on(log)  # type: ignore[arg-type]  # forwards by getattr
        ledger.start()
        await ledger.append(1, b"a")
        for _ in range(20):
            ledger.append_soon(2, b"b")
            await asyncio.sleep(0)
        assert [1] == log.appends
        assert 22 == await ledger.append(3, b"c")
        assert [1, 21] == log.appends
        await ledger.close()


@law
async def test_held_records_are_durable_within_ten_milliseconds(tmp_path: Path) -> None:
    """Company or not, a record is on its way after the ledger's linger."""
    assert ledgers.LINGER + LINGER < 0.010
    assert ledgers.LINGER < LINGER
    async with store_at(tmp_path) as store:
        log = Failing(store.log)
        ledger = ledger_on(log)  # type: ignore[arg-type]  # forwards by getattr
        ledger.start()
        ledger.append_soon(1, b"alone")
        async with asyncio.timeout(5):
            await log.appended.wait()
        assert 1 == len(store.log.read(SHARED, STREAM))
        await ledger.close()


@law
async def test_who_hurries_does_not_wait_for_company(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A durable record, a seal and the end each take what is held with them."""
    monkeypatch.setattr(ledgers, "LINGER", 3600.0)
    async with store_at(tmp_path) as store, asyncio.timeout(20):
        ledger = ledger_on(store.log)
        ledger.start()
        ledger.append_soon(1, b"held")
        await asyncio.sleep(0.01)
        assert 2 == await ledger.append(1, b"waited for")
        ledger.append_soon(1, b"held")
        await asyncio.sleep(0.01)
        await ledger.seal()
        assert 3 == ledger.head.count
        ledger.append_soon(1, b"held")
        await asyncio.sleep(0.01)
        await ledger.close()
        assert 4 == ledger.head.count


@law
async def test_drafts_are_written_out_with_their_group(tmp_path: Path) -> None:
    """Not before, in their order; past a group, at once, so that none piles up."""
    turns: list[int] = []

    def draft(number: int) -> ledgers.Draft:
        def written() -> bytes:
            turns.append(number)
            return b"%d" % number

        return written

    async with store_at(tmp_path) as store:
        ledger = ledger_on(store.log)
        for number in range(600):
            ledger.append_soon(1, draft(number))
        assert list(range(500, 600)) == turns
        ledger.start()
        await ledger.close()
        entries = store.log.read(SHARED, STREAM)

        assert is_whole(entries)
        assert [b"%d" % n for n in range(600)] == [e.data[32:] for e in entries]
        assert list(range(600)) == sorted(turns)


@law
async def test_a_draft_that_finds_no_room_is_kept_as_it_was_written(
    tmp_path: Path,
) -> None:
    """A full disk holds no call's parameters in memory, and asks for none again."""
    asked: list[None] = []

    def draft() -> bytes:
        asked.append(None)
        return b"drafted"

    async with store_at(tmp_path) as store:
        log = Failing(store.log)
        ledger = ledger_on(log)  # type: ignore[arg-type]  # forwards by getattr
        ledger.start()
        log.full = True
        ledger.append_soon(1, draft)
        with pytest.raises(LedgerFullError):
            await ledger.append(1, b"waited for")
        log.full = False
        await ledger.close()
        entries = store.log.read(SHARED, STREAM)

    assert [b"drafted", b"waited for"] == [e.data[32:] for e in entries]
    assert 1 == len(asked)


@law
async def test_checkpoints_come_by_count_and_by_time(tmp_path: Path) -> None:
    """Every so many records, and a while after the last one, the head is signed."""
    clock = SetClock()
    async with store_at(tmp_path) as store:
        ledger = ledger_on(store.log, clock, every=2)
        ledger.start()
        await ledger.append(1, b"a")
        await ledger.append(1, b"b")
        await ledger.seal()
        # One of the chain as it was found, and one of the two records.
        assert 2 == len(store.log.read(SHARED, CHECKPOINTS))
        await ledger.append(1, b"c")
        clock.forward(61)
        await ledger.append(1, b"d")
        await ledger.close()

        assert 3 <= len(store.log.read(SHARED, CHECKPOINTS))


@law
async def test_a_keyholder_that_does_not_sign_is_told_of(tmp_path: Path) -> None:
    """The record goes on, and says that it is not signed."""

    async def refuse(_count: int, _link: bytes, _at: float) -> tuple[bytes, bytes]:
        raise UnsignedError("it has signed a longer chain")

    async with store_at(tmp_path) as store:
        ledger = Ledger(log=store.log, instance=INSTANCE, sign=refuse, clock=SetClock())
        ledger.start()
        await ledger.append(1, b"a")
        await ledger.seal()
        told = ledger.unsigned
        await ledger.close()

    assert "it has signed a longer chain" == told


@law
async def test_l1_a_chain_that_was_cut_is_not_made_good_by_growing(
    tmp_path: Path,
) -> None:
    """L1: the head is signed as found; once disowned, no later one is asked for."""
    asked: list[int] = []

    async def remembers_five(
        count: int, _link: bytes, _at: float
    ) -> tuple[bytes, bytes]:
        asked.append(count)
        if count < 5:
            raise UnsignedError("RolledBack", disowned=True)
        return b"statement", b"signature"

    async with store_at(tmp_path) as store:
        ledger = Ledger(
            log=store.log, instance=INSTANCE, sign=remembers_five, clock=SetClock()
        )
        ledger.start()
        for _ in range(8):
            await ledger.append(1, b"a")
        await ledger.seal()
        told = ledger.unsigned
        await ledger.close()

    assert "RolledBack" == told
    assert [0] == asked


@law
async def test_q16_a_checkpoint_that_finds_no_room_stops_nothing(
    tmp_path: Path,
) -> None:
    """Q16: records go on where a checkpoint could not be kept; the next one is."""

    async with store_at(tmp_path) as store:
        log = Failing(store.log, CHECKPOINTS)
        ledger = ledger_on(log, every=1)  # type: ignore[arg-type]  # forwards by getattr
        ledger.start()
        await ledger.append(1, b"a")
        log.full = True
        await ledger.append(1, b"b")
        await ledger.append(1, b"c")
        log.full = False
        assert 4 == await ledger.append(1, b"d")
        await ledger.close()
        assert store.log.read(SHARED, CHECKPOINTS)


@law
async def test_a_request_is_found_again_by_its_id_and_account(tmp_path: Path) -> None:
    """An old request is found in the log; a foreign one is not there (Z14)."""
    async with store_at(tmp_path) as store:
        ledger = ledger_on(store.log)
        ledger.start()
        ids = []
        for second in range(300):
            made = request_id(1_700_000_000 + second, os.urandom)
            ids.append(made)
            record = b'{"recipientAccountId":"111122223333","requestID":"%s"}'
            at = (1_700_000_000 + second) * 1000 + 5
            ledger.append_soon(at, record % made.encode())
        await ledger.close()
        stories = Stories(log=store.log, recent=Recent())

        found = [stories.find("111122223333", made) for made in ids]
        assert list(range(1, 301)) == [f.position for f in found if f]
        assert stories.find("444455556666", ids[7]) is None
        absent = request_id(1_700_000_100, os.urandom)
        assert stories.find("111122223333", absent) is None
        assert stories.find("111122223333", "no-id") is None
