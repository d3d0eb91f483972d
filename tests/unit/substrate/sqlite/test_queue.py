"""Laws of queues."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from casemate.substrate.ports import FullError
from casemate.substrate.sqlite import Limits
from store_stand import ALICE, BOB, SetClock, store_at


def test_a_message_is_claimed_once_and_acknowledged(tmp_path: Path) -> None:
    """Under a lease nobody else gets it; acknowledged, it never comes back."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            queue = store.queue
            name = await queue.send(ALICE, "q", b"body", attributes={"a": "é"})
            (message,) = await queue.claim(ALICE, "q", limit=10)
            assert (message.id, message.body) == (name, b"body")
            assert (dict(message.attributes), message.receive_count) == ({"a": "é"}, 1)
            assert await queue.claim(ALICE, "q") == []
            assert queue.depth(ALICE, "q") == (0, 1, 0)
            assert await queue.acknowledge(ALICE, "q", message.lease)
            assert not await queue.acknowledge(ALICE, "q", message.lease)
            assert queue.depth(ALICE, "q") == (0, 0, 0)

    asyncio.run(law())


def test_concurrent_claims_share_no_message(tmp_path: Path) -> None:
    """Of a hundred messages, ten claimers get a hundred different ones."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            await asyncio.gather(
                *(store.queue.send(ALICE, "q", b"%d" % n) for n in range(100))
            )
            claims = await asyncio.gather(
                *(store.queue.claim(ALICE, "q", limit=10) for _ in range(10))
            )
            bodies = [message.body for claim in claims for message in claim]
            assert bodies == [b"%d" % n for n in range(100)]

    asyncio.run(law())


def test_a_lease_that_ended_is_worth_nothing(tmp_path: Path) -> None:
    """The message goes to the next; the old lease neither extends nor acknowledges."""

    async def law() -> None:
        clock = SetClock()
        async with store_at(tmp_path, clock=clock) as store:
            queue = store.queue
            await queue.send(ALICE, "q", b"")
            (first,) = await queue.claim(ALICE, "q", lease=30)
            clock.forward(30)
            assert not await queue.acknowledge(ALICE, "q", first.lease)
            (second,) = await queue.claim(ALICE, "q", lease=30)
            assert second.receive_count == 2
            assert not await queue.extend(ALICE, "q", first.lease, 60)
            assert await queue.extend(ALICE, "q", second.lease, 60)
            clock.forward(59)
            assert await queue.claim(ALICE, "q") == []
            assert await queue.extend(ALICE, "q", second.lease, 0)
            assert queue.depth(ALICE, "q") == (1, 0, 0)

    asyncio.run(law())


def test_a_lease_is_good_for_its_own_queue_only(tmp_path: Path) -> None:
    """Forged, or of another queue or account: refused alike."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            queue = store.queue
            await queue.send(ALICE, "q", b"")
            (message,) = await queue.claim(ALICE, "q")
            for account, name, lease in (
                (ALICE, "other", message.lease),
                (BOB, "q", message.lease),
                (ALICE, "q", message.lease[:-1]),
                (ALICE, "q", "\ud800"),
                (ALICE, "q", ""),
            ):
                assert not await queue.acknowledge(account, name, lease)
                assert not await queue.extend(account, name, lease, 60)
            assert await queue.acknowledge(ALICE, "q", message.lease)

    asyncio.run(law())


def test_a_delayed_message_comes_when_it_is_due(tmp_path: Path) -> None:
    """Not before, and then in the order of their times."""

    async def law() -> None:
        clock = SetClock()
        async with store_at(tmp_path, clock=clock) as store:
            queue = store.queue
            await queue.send(ALICE, "q", b"late", delay=20)
            await queue.send(ALICE, "q", b"soon", delay=10)
            assert queue.depth(ALICE, "q") == (0, 0, 2)
            assert await queue.claim(ALICE, "q") == []
            clock.forward(20)
            claimed = await queue.claim(ALICE, "q", limit=2)
            assert [message.body for message in claimed] == [b"soon", b"late"]

    asyncio.run(law())


def test_claims_survive_a_restart(tmp_path: Path) -> None:
    """A lease given before a restart still holds after it."""

    async def law() -> None:
        clock = SetClock()
        async with store_at(tmp_path, clock=clock) as store:
            await store.queue.send(ALICE, "q", b"")
            (message,) = await store.queue.claim(ALICE, "q")
        async with store_at(tmp_path, clock=clock) as store:
            assert await store.queue.claim(ALICE, "q") == []
            assert await store.queue.acknowledge(ALICE, "q", message.lease)

    asyncio.run(law())


def test_o7_a_clock_that_jumps_loses_nothing(tmp_path: Path) -> None:
    """O7: an hour on or back, what was acknowledged stays so, the rest comes."""

    async def law() -> None:
        clock = SetClock()
        async with store_at(tmp_path, clock=clock) as store:
            queue = store.queue
            await queue.send(ALICE, "q", b"done")
            await queue.send(ALICE, "q", b"open")
            done, _open = await queue.claim(ALICE, "q", limit=2)
            assert await queue.acknowledge(ALICE, "q", done.lease)
            clock.wall -= 3600
            assert await queue.claim(ALICE, "q") == []
            clock.running += 31
            (again,) = await queue.claim(ALICE, "q")
            assert again.body == b"open"
            clock.wall += 7200
            (third,) = await queue.claim(ALICE, "q")
            assert third.body == b"open"

    asyncio.run(law())


def test_a_queue_has_so_many_messages(tmp_path: Path) -> None:
    """One more is refused by name, and there is room again after one is done."""

    async def law() -> None:
        limits = Limits(reserve_bytes=0, messages=2)
        async with store_at(tmp_path, limits=limits) as store:
            await store.queue.send(ALICE, "q", b"")
            await store.queue.send(ALICE, "q", b"")
            with pytest.raises(FullError, match="2 messages"):
                await store.queue.send(ALICE, "q", b"")
            await store.queue.send(ALICE, "other", b"")
            (message,) = await store.queue.claim(ALICE, "q")
            await store.queue.acknowledge(ALICE, "q", message.lease)
            await store.queue.send(ALICE, "q", b"")

    asyncio.run(law())
