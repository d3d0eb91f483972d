"""Laws of counters."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from casemate.substrate.ports import FullError
from casemate.substrate.sqlite import Limits
from store_stand import ALICE, BOB, store_at


def test_a_counter_counts_at_once_and_survives(tmp_path: Path) -> None:
    """Every addition is seen by the next, and all of them after a restart."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            assert [store.counters.add(ALICE, "n") for _ in range(3)] == [1, 2, 3]
            assert store.counters.add(ALICE, "n", -10) == -7
            assert store.counters.read(BOB, "n") == 0
        async with store_at(tmp_path) as store:
            assert store.counters.read(ALICE, "n") == -7

    asyncio.run(law())


def test_threads_lose_no_count(tmp_path: Path) -> None:
    """Four threads that count together count every time."""

    async def law() -> None:
        async with store_at(tmp_path) as store:

            def counts() -> None:
                for _ in range(2000):
                    store.counters.add(ALICE, "n")

            await asyncio.gather(*(asyncio.to_thread(counts) for _ in range(4)))
            assert store.counters.read(ALICE, "n") == 8000

    asyncio.run(law())


def test_an_account_has_so_many_counters(tmp_path: Path) -> None:
    """One more is refused; the ones there are count on."""

    async def law() -> None:
        limits = Limits(reserve_bytes=0, counters=2)
        async with store_at(tmp_path, limits=limits) as store:
            store.counters.add(ALICE, "a")
            store.counters.add(ALICE, "b")
            with pytest.raises(FullError, match="2 counters"):
                store.counters.add(ALICE, "c")
            assert store.counters.read(ALICE, "c") == 0
            assert store.counters.add(ALICE, "a") == 2
            with pytest.raises(OverflowError):
                store.counters.add(ALICE, "a", 2**63)

    asyncio.run(law())
