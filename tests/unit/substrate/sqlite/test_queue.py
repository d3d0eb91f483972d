"""Laws of queues."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from casemate.substrate.ports import (
    ClaimRules,
    DeadLetters,
    FullError,
    InFlightError,
    QueueFullError,
)
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


def test_an_account_has_so_many_bytes_of_messages(tmp_path: Path) -> None:
    """Over all its queues; another account has its own, and room comes back."""

    async def law() -> None:
        limits = Limits(reserve_bytes=0, message_bytes=3000)
        async with store_at(tmp_path, limits=limits) as store:
            queue = store.queue
            await queue.send(ALICE, "one", bytes(1000))
            await queue.send(ALICE, "two", bytes(1000))
            with pytest.raises(QueueFullError, match="3000 bytes"):
                await queue.send(ALICE, "three", bytes(1000))
            await queue.send(BOB, "one", bytes(1000))
            assert 1 == await queue.forget(ALICE, "two", older=0)
            await queue.send(ALICE, "three", bytes(1000))
        async with store_at(tmp_path, limits=limits) as store:
            with pytest.raises(QueueFullError):
                await store.queue.send(ALICE, "three", bytes(1000))

    asyncio.run(law())


def test_so_many_messages_are_in_flight(tmp_path: Path) -> None:
    """One claim more is refused; what is acknowledged or ends makes room."""

    async def law() -> None:
        clock, rules = SetClock(), ClaimRules(in_flight=2)
        async with store_at(tmp_path, clock=clock) as store:
            queue = store.queue
            for _ in range(4):
                await queue.send(ALICE, "q", b"")
            held = await queue.claim(ALICE, "q", limit=10, rules=rules)
            assert 2 == len(held)
            with pytest.raises(InFlightError, match="2 messages"):
                await queue.claim(ALICE, "q", rules=rules)
            await queue.acknowledge(ALICE, "q", held[0].lease)
            clock.forward(1)
            assert 1 == len(await queue.claim(ALICE, "q", limit=10, rules=rules))
            clock.forward(30)
            assert 2 == len(await queue.claim(ALICE, "q", limit=10, rules=rules))

    asyncio.run(law())


def test_dead_letters_without_room_lose_nothing(tmp_path: Path) -> None:
    """What cannot be moved is claimed again where it is."""

    async def law() -> None:
        clock, limits = SetClock(), Limits(reserve_bytes=0, messages=1)
        dead = DeadLetters(queue="dead", receives=1, attributes={})
        async with store_at(tmp_path, clock=clock, limits=limits) as store:
            queue = store.queue
            await queue.send(ALICE, "dead", b"full")
            await queue.send(ALICE, "q", b"poison")
            for received in (1, 2, 3):
                (message,) = await queue.claim(ALICE, "q", rules=ClaimRules(dead=dead))
                assert (message.body, message.receive_count) == (b"poison", received)
                clock.forward(30)
            await queue.forget(ALICE, "dead", older=0)
            assert [] == await queue.claim(ALICE, "q", rules=ClaimRules(dead=dead))
            (message,) = await queue.claim(ALICE, "dead")
            assert (message.body, message.receive_count) == (b"poison", 4)

    asyncio.run(law())


def test_who_watches_hears_of_what_comes(tmp_path: Path) -> None:
    """A message sent, given back, or moved; a claim and its end are no news."""

    async def law() -> None:
        clock, heard = SetClock(), list[tuple[str, str]]()
        dead = DeadLetters(queue="dead", receives=1, attributes={})
        async with store_at(tmp_path, clock=clock) as store:
            queue = store.queue
            queue.watch(lambda account, name: heard.append((account, name)))
            await queue.send(ALICE, "q", b"")
            (message,) = await queue.claim(ALICE, "q", rules=ClaimRules(dead=dead))
            assert [(ALICE, "q")] == heard
            await queue.extend(ALICE, "q", message.lease, 0)
            assert [(ALICE, "q")] * 2 == heard
            await queue.claim(ALICE, "q", rules=ClaimRules(dead=dead))
            assert (ALICE, "dead") == heard[-1]

    asyncio.run(law())


def test_many_messages_are_forgotten(tmp_path: Path) -> None:
    """Claimed ones too, in as many steps as it takes; what comes later stays."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            queue = store.queue
            await asyncio.gather(*(queue.send(ALICE, "q", b"") for _ in range(2500)))
            (message,) = await queue.claim(ALICE, "q")
            assert 2500 == await queue.forget(ALICE, "q", older=0)
            assert None is queue.held(ALICE, "q", message.lease)
            await queue.send(ALICE, "q", b"")
            assert (1, 0, 0) == queue.depth(ALICE, "q")

    asyncio.run(law())


def test_a_message_is_put_back_with_another_body(tmp_path: Path) -> None:
    """In one step: due when it is said, its attributes and its id as they were."""

    async def law() -> None:
        clock = SetClock()
        async with store_at(tmp_path, clock=clock) as store:
            queue = store.queue
            await queue.send(ALICE, "q", b"one", attributes={"a": "b"})
            (first,) = await queue.claim(ALICE, "q")
            assert await queue.put_back(ALICE, "q", first.lease, b"two" * 9, delay=60)
            assert not await queue.put_back(ALICE, "q", first.lease, b"x", delay=0)
            assert not await queue.acknowledge(ALICE, "q", first.lease)
            assert (queue.depth(ALICE, "q"), queue.due_in(ALICE, "q")) == (
                (0, 0, 1),
                60,
            )
            clock.forward(59)
            assert await queue.claim(ALICE, "q") == []
            clock.forward(1)
            (second,) = await queue.claim(ALICE, "q")
            assert (second.id, second.body) == (first.id, b"two" * 9)
            assert dict(second.attributes) == {"a": "b"}

    asyncio.run(law())


def test_a_claim_that_ended_puts_nothing_back(tmp_path: Path) -> None:
    """Whoever claimed it next has it as it was."""

    async def law() -> None:
        clock = SetClock()
        async with store_at(tmp_path, clock=clock) as store:
            queue = store.queue
            await queue.send(ALICE, "q", b"one")
            (first,) = await queue.claim(ALICE, "q", lease=5)
            clock.forward(5)
            assert not await queue.put_back(ALICE, "q", first.lease, b"two", delay=0)
            assert not await queue.put_back(BOB, "q", first.lease, b"two", delay=0)
            (second,) = await queue.claim(ALICE, "q")
            assert second.body == b"one"

    asyncio.run(law())


def test_what_is_put_back_counts_as_it_is(tmp_path: Path) -> None:
    """The bytes of an account are those of what it has, grown or shrunk."""

    async def law() -> None:
        limits = Limits(reserve_bytes=0, message_bytes=3_000)
        async with store_at(tmp_path, limits=limits) as store:
            queue = store.queue
            await queue.send(ALICE, "q", bytes(10))
            (message,) = await queue.claim(ALICE, "q")
            assert await queue.put_back(
                ALICE, "q", message.lease, bytes(2_500), delay=0
            )
            with pytest.raises(QueueFullError):
                await queue.send(ALICE, "q", bytes(1_000))
            (message,) = await queue.claim(ALICE, "q")
            assert await queue.put_back(ALICE, "q", message.lease, b"", delay=0)
            await queue.send(ALICE, "q", bytes(1_000))

    asyncio.run(law())


def test_a_queue_is_hastened_for_a_clock_that_was_set_back(tmp_path: Path) -> None:
    """What is due sooner stays so; nothing is later than was said."""

    async def law() -> None:
        clock = SetClock()
        async with store_at(tmp_path, clock=clock) as store:
            await store.queue.send(ALICE, "q", b"soon")
            await store.queue.send(ALICE, "q", b"late", delay=200)
        clock.wall -= 86_400
        async with store_at(tmp_path, clock=clock) as store:
            queue = store.queue
            assert await queue.hasten(ALICE, "q", 300) == 2
            assert await queue.hasten(ALICE, "q", 300) == 0
            clock.forward(300)
            assert len(await queue.claim(ALICE, "q", limit=9)) == 2

    asyncio.run(law())


def test_queues_are_named_by_prefix(tmp_path: Path) -> None:
    """Those of the account that have messages, and no other."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            queue = store.queue
            for name in ("a/2", "a/1", "a/1", "b/1", "a"):
                await queue.send(ALICE, name, b"")
            await queue.send(BOB, "a/3", b"")
            assert queue.names(ALICE, prefix="a/") == ["a/1", "a/2"]
            assert queue.names(ALICE) == ["a", "a/1", "a/2", "b/1"]
            (message,) = await queue.claim(ALICE, "a/2")
            await queue.acknowledge(ALICE, "a/2", message.lease)
            assert queue.names(ALICE, prefix="a/") == ["a/1"]

    asyncio.run(law())
