"""Laws of the driver: real store, virtual time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import cast

import pytest

from casemate.core.errors import (
    Denied,
    NotFound,
    Refusal,
    Throttled,
    TooLarge,
    Unavailable,
)
from casemate.core.event import HOPS, AsyncEvent
from casemate.road.dispatch.events.driver import LEASE, LOOK
from casemate.road.dispatch.events.envelope import LONGEST
from casemate.road.dispatch.events.intake import Bounds, queue_of
from casemate.road.dispatch.events.lanes import Workers
from casemate.road.dispatch.events.life import LONGEST_WAIT, Response
from casemate.road.dispatch.events.ports import Parcel
from casemate.road.dispatch.events.quarantine import Quarantine
from casemate.road.sandbox.frames import RESPONSE_LIMIT
from casemate.substrate.ports import FullError, Queue, Records
from casemate.substrate.sqlite import Limits
from store_stand import ALICE, BOB, SMALL, SetClock, store_at
from unit.road.dispatch.events_world import (
    ERROR,
    QUEUE,
    WELL,
    Told,
    event,
    stand,
    standing,
    target,
)
from unit.services.calls import law, refused


def times(ran: list[tuple[str, float]], start: float) -> list[float]:
    return [round(at - start, 3) for _, at in ran]


@law
async def test_an_event_runs_once_and_is_gone(tmp_path: Path) -> None:
    """Durable before it is acknowledged, out of the queue when it has ended."""
    async with stand(tmp_path) as s:
        await s.accept(event(1))
        assert (s.depth(), s.intake.waiting()) == (1, 1)
        await s.turn()
        assert [event(1).id] == [identifier for identifier, _ in s.told.ran]
        assert (s.depth(), s.intake.waiting()) == (0, 0)
        await s.until_still()
        assert 0 == len(s.lanes)


@law
async def test_a_failing_function_runs_at_one_and_three_minutes(tmp_path: Path) -> None:
    """To the second; the same request id each time; then it is in quarantine."""
    async with stand(tmp_path) as s:
        s.told.answer = lambda _: ERROR
        start = s.clock.now()
        await s.accept(event(1))
        await s.until_still()
        assert [0, 60, 180] == times(s.told.ran, start)
        assert {event(1).id} == {identifier for identifier, _ in s.told.ran}
        (summary,) = s.quarantine.page(ALICE, after="", limit=9)
        assert (summary.condition, summary.runs) == ("RetriesExhausted", 3)
        assert s.told.aside == [(event(1).id, summary.reason)]
        assert 0 == s.depth()


@law
async def test_what_finds_no_room_is_tried_until_its_age_ends(tmp_path: Path) -> None:
    """Back-off from a second to five minutes, and no run after the age."""
    async with stand(tmp_path) as s:

        def full(_: AsyncEvent) -> Response:
            raise Throttled("no room")

        s.told.answer = full
        s.told.set(max_age=3_600)
        start = s.clock.now()
        await s.accept(event(1))
        await s.until_still()
        seen = times(s.told.ran, start)
        gaps = [b - a for a, b in pairwise(seen)]
        assert seen[-1] < 3_600
        assert all(1 <= gap <= 300 for gap in gaps)
        assert gaps == sorted(gaps)
        (summary,) = s.quarantine.page(ALICE, after="", limit=9)
        assert (summary.condition, summary.runs) == ("EventAgeExceeded", 0)


@law
async def test_a_destination_is_told_in_awss_words(tmp_path: Path) -> None:
    async with stand(tmp_path) as s:
        s.told.set(on_success=QUEUE)
        await s.accept(event(7))
        await s.turn()
        (parcel,) = s.told.parcels
        assert (parcel.target, dict(parcel.attributes)) == (QUEUE, {})
        told = json.loads(parcel.body)
        assert told.pop("timestamp") == "2023-11-14T22:13:20.000Z"
        assert told == {
            "version": "1.0",
            "requestContext": {
                "requestId": event(7).id,
                "functionArn": target(),
                "condition": "Success",
                "approximateInvokeCount": 1,
            },
            "requestPayload": {"n": 7},
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
            "responsePayload": "well",
        }


@law
async def test_failure_is_told_to_both_with_what_each_knows(tmp_path: Path) -> None:
    """The raw event and three attributes to the queue, the record to the other."""
    async with stand(tmp_path) as s:
        s.told.answer = lambda _: ERROR
        other = target("g").removesuffix(":$LATEST")
        s.told.set(retries=0, dead_letter=QUEUE, on_failure=other)
        await s.accept(event(7))
        await s.turn()
        dead, record = s.told.parcels
        assert dead.body == event(7).payload
        assert dead.attributes == {
            "RequestID": ("String", event(7).id),
            "ErrorCode": ("Number", "200"),
            "ErrorMessage": ("String", "no"),
        }
        told: Mapping[str, Mapping[str, object]] = json.loads(record.body)
        assert record.target == other
        assert told["requestContext"]["condition"] == "RetriesExhausted"
        assert told["responseContext"]["functionError"] == "Unhandled"
        assert [] == s.quarantine.page(ALICE, after="", limit=9)


@law
async def test_an_event_too_old_tells_no_response(tmp_path: Path) -> None:
    """A function that never ran has answered nothing."""
    async with stand(tmp_path) as s:
        s.told.set(max_age=60, on_failure=QUEUE, dead_letter=QUEUE)
        await s.accept(event(1))
        s.clock.forward(60)
        await s.turn()
        assert [] == s.told.ran
        dead, record = s.told.parcels
        told = json.loads(record.body)
        assert told["requestContext"]["condition"] == "EventAgeExceeded"
        assert "responseContext" not in told
        assert "older than 60 seconds" in dead.attributes["ErrorMessage"][1]


@law
async def test_dead_letters_of_what_never_found_room_say_so(tmp_path: Path) -> None:
    """The code is that of the refusal, the message its reason."""
    async with stand(tmp_path) as s:

        def full(_: AsyncEvent) -> Response:
            raise Throttled("no room")

        s.told.answer = full
        s.told.set(max_age=60, dead_letter=QUEUE)
        await s.accept(event(1))
        await s.until_still()
        (dead,) = s.told.parcels
        assert dead.attributes["ErrorCode"] == ("Number", "429")
        assert "no room" in dead.attributes["ErrorMessage"][1]


@law
async def test_a_delivery_that_fails_is_tried_and_then_set_aside(
    tmp_path: Path,
) -> None:
    """Eight times in two minutes, then quarantine; a redrive delivers, and no more."""
    async with stand(tmp_path) as s:

        def shut(_: Parcel) -> None:
            tries.append(s.clock.now() - start)
            raise Denied("the role may not")

        tries: list[float] = []
        s.told.post = shut
        s.told.set(on_success=QUEUE)
        start = s.clock.now()
        await s.accept(event(1))
        await s.until_still()
        assert [0, 1, 3, 7, 15, 31, 63, 127] == [round(at) for at in tries]
        (summary,) = s.quarantine.page(ALICE, after="", limit=9)
        assert "AccessDeniedException: the role may not" in summary.reason
        s.told.post = lambda _: None
        assert await s.intake.redrive(ALICE, summary.id, 0)
        await s.turn()
        assert (1, 1) == (len(s.told.ran), len(s.told.parcels))
        assert 0 == s.quarantine.count(ALICE)


@pytest.mark.parametrize("size", [600_000, 1_100_000])
def test_a_record_too_large_is_set_aside_with_its_reason(
    tmp_path: Path, size: int
) -> None:
    """A record of more than a destination takes is not tried again."""

    @law
    async def large() -> None:
        async with stand(tmp_path) as s:
            body = b'"%s"' % (b"x" * size)
            s.told.answer = lambda _: Response(version="1", payload=body)
            s.told.set(on_success=QUEUE)
            await s.accept(event(1))
            await s.until_still()
            aside = s.quarantine.page(ALICE, after="", limit=9)
            fits = size < 1_000_000
            assert (len(s.told.parcels), len(aside)) == ((1, 0) if fits else (0, 1))
            assert all("takes 1048576" in summary.reason for summary in aside)

    large()


LARGEST = b'{"errorMessage":"%s"}' % (b"x" * (RESPONSE_LIMIT - 19))
"""The longest answer that a function can give."""


def largest(number: int) -> AsyncEvent:
    """Give an event of all the bytes that one may have."""
    return replace(event(number), payload=b'"%s"' % (b"x" * (LONGEST - 2)))


@pytest.mark.parametrize("limits", [SMALL, replace(SMALL, letter_bytes=4_194_304)])
def test_a_large_answer_makes_no_event_run_again(
    tmp_path: Path, limits: Limits
) -> None:
    """
    With its answer the largest event waits for a delivery like any other.

    In a queue that could not keep it, it is set aside at once.
    """

    @law
    async def large() -> None:
        clock = SetClock()
        async with store_at(tmp_path, clock=clock, limits=limits) as store:
            s = standing(store, clock, Told(clock))

            def denied(_: Parcel) -> None:
                tries.append(clock.now())
                raise Denied("the role may not")

            tries: list[float] = []
            s.told.answer = lambda _: Response(error="Unhandled", payload=LARGEST)
            s.told.post = denied
            s.told.set(retries=0, dead_letter=QUEUE)
            await s.accept(largest(1))
            await s.until_still()
            assert (1, 0) == (len(s.told.ran), s.depth())
            assert len(tries) == (8 if limits is SMALL else 1)
            (summary,) = s.quarantine.page(ALICE, after="", limit=9)
            assert s.told.aside == [(summary.id, summary.reason)]
            assert limits is SMALL or "the queue cannot keep it" in summary.reason

    large()


@law
async def test_a_large_success_is_redriven_or_stays_with_its_reason(
    tmp_path: Path,
) -> None:
    """It is delivered and not run again; too large for the queue, it is refused."""
    clock = SetClock()
    async with store_at(tmp_path, clock=clock) as store:
        s = standing(store, clock, Told(clock))
        s.told.answer = lambda _: Response(payload=LARGEST)
        s.told.set(on_success=QUEUE)
        await s.accept(largest(1))
        await s.until_still()
        assert await s.intake.redrive(ALICE, event(1).id, 0)
        await s.until_still()
        assert (1, 1) == (len(s.told.ran), s.quarantine.count(ALICE))
    small = replace(SMALL, letter_bytes=4_194_304)
    async with store_at(tmp_path, clock=clock, limits=small) as store:
        s = standing(store, clock, s.told)
        refusal = await refused(s.intake.redrive(ALICE, event(1).id, 0))
        assert isinstance(refusal, TooLarge)
        assert (0, 1) == (s.intake.waiting(), s.quarantine.count(ALICE))


@law
async def test_an_answer_too_large_to_keep_is_let_go_and_said_so(
    tmp_path: Path,
) -> None:
    """The event is in quarantine all the same."""
    clock, limits = SetClock(), replace(SMALL, value_bytes=1_000_000)
    async with store_at(tmp_path, clock=clock, limits=limits) as store:
        s = standing(store, clock, Told(clock))
        s.told.answer = lambda _: Response(error="Unhandled", payload=LARGEST)
        s.told.set(retries=0)
        await s.accept(event(1))
        await s.until_still()
        (summary,) = s.quarantine.page(ALICE, after="", limit=9)
        assert "too large to keep" in summary.reason
        assert (1, 0) == (len(s.told.ran), s.depth())


@law
async def test_answers_fill_no_quarantine(tmp_path: Path) -> None:
    """Past a bound an event is kept without its answer, and says so; none is lost."""
    clock = SetClock()
    async with store_at(tmp_path, clock=clock) as store:
        quarantine = Quarantine(store.records, answered=50_000)
        s = standing(store, clock, Told(clock), quarantine=quarantine)
        long = b'"%b"' % (b"x" * 30_000)
        s.told.answer = lambda _: Response(error="Unhandled", payload=long)
        s.told.set(retries=0)
        await s.accept(*(event(number) for number in range(4)))
        await s.until_still()
        kept = s.quarantine.page(ALICE, after="", limit=9)
        without = ["too much is kept here" in summary.reason for summary in kept]
        assert (4, 3) == (len(kept), sum(without))
        assert s.quarantine.bytes(ALICE) < 50_000
        for summary in kept:
            assert await s.intake.dispose(ALICE, summary.id)
        assert (0, 0) == (s.quarantine.count(ALICE), s.quarantine.bytes(ALICE))


class Failing:
    """The store's queue or records, which a test may break and mend."""

    def __init__(self, real: object, *names: str) -> None:
        self.real, self.names, self.left = real, names, 0

    def __getattr__(self, name: str) -> object:
        if name in self.names and self.left:
            self.left -= 1
            raise FullError("the disk is full")
        return getattr(self.real, name)


@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("name", ["put_back", "acknowledge", "commit"])
def test_what_cannot_be_written_yet_does_not_run_again(
    tmp_path: Path, retries: int, name: str
) -> None:
    """The step that was made is written once the disk has room."""

    @law
    async def full() -> None:
        async with stand(tmp_path) as s:
            s.told.answer = lambda _: ERROR
            s.told.set(retries=retries)
            await s.accept(event(1))
            queue = Failing(s.store.queue, "put_back", "acknowledge")
            records = Failing(s.store.records, "commit")
            broken = records if name == "commit" else queue
            broken.names, broken.left = (name,), 90
            s.driver.queue = cast("Queue", queue)
            s.quarantine._records = cast("Records", records)
            await s.until_still()
            assert len(s.told.ran) == retries + 1
            met = name != "put_back" or retries
            assert s.driver.counts.unwritten == (90 if met else 0)
            assert (1, 1) == (s.quarantine.count(ALICE), len(s.told.aside))
            assert (0, 0) == (s.depth(), s.intake.waiting())

    full()


@law
async def test_what_cannot_be_read_is_set_aside_and_told_once(tmp_path: Path) -> None:
    """Its bytes are kept as they were, and go back to the queue by a redrive."""
    async with stand(tmp_path) as s:
        await s.store.queue.send(ALICE, queue_of(target()), b"of another release")
        await s.driver.recover([ALICE])
        await s.until_still()
        assert (1, 0, 0) == (s.driver.counts.unreadable, s.depth(), s.intake.waiting())
        (summary,) = s.quarantine.page(ALICE, after="", limit=9)
        assert s.told.aside == [(summary.id, "the event cannot be read")]
        found = s.quarantine.find(ALICE, summary.id)
        assert found is not None
        assert found[1] == b"of another release"
        assert await s.intake.redrive(ALICE, summary.id, 0)
        await s.until_still()
        assert (2, 1) == (s.driver.counts.unreadable, s.quarantine.count(ALICE))
        (again,) = s.quarantine.page(ALICE, after="", limit=9)
        assert await s.intake.dispose(ALICE, again.id)
        assert [] == s.told.ran


@law
async def test_a_share_of_nothing_ends_an_event_without_a_retry(
    tmp_path: Path,
) -> None:
    """It goes where failures go, at once, and says that it never ran."""
    async with stand(tmp_path) as s:

        def none_reserved(_: AsyncEvent) -> Response:
            raise Throttled("nothing is reserved", final=True)

        s.told.answer = none_reserved
        s.told.set(on_failure=QUEUE, dead_letter=QUEUE)
        await s.accept(event(1))
        await s.turn()
        assert (1, 0) == (len(s.told.ran), s.depth())
        dead, record = s.told.parcels
        assert dead.attributes["ErrorCode"] == ("Number", "429")
        told = json.loads(record.body)
        assert told["requestContext"]["condition"] == "RetriesExhausted"
        assert told["requestContext"]["approximateInvokeCount"] == 0
        assert "responseContext" not in told


@law
async def test_a_function_that_is_gone_leaves_its_events_aside(tmp_path: Path) -> None:
    async with stand(tmp_path) as s:

        def gone(_: AsyncEvent) -> Response:
            raise NotFound("Function not found")

        s.told.answer = gone
        await s.accept(event(1), event(2, "g"))
        s.told.plans[target("g")] = None
        await s.turn()
        reasons = {one.reason for one in s.quarantine.page(ALICE, after="", limit=9)}
        assert reasons == {
            "Function not found",
            "the function does not exist any more",
        }


@law
async def test_a_lineage_ends_after_sixteen_hops(tmp_path: Path) -> None:
    async with stand(tmp_path) as s:
        await s.accept(event(1, hops=HOPS), event(2, hops=HOPS + 1))
        await s.turn()
        assert [event(1).id] == [identifier for identifier, _ in s.told.ran]
        (summary,) = s.quarantine.page(ALICE, after="", limit=9)
        assert (summary.id, summary.condition) == (event(2).id, "RecursionStopped")
        # Who decides that it goes on begins another lineage.
        assert await s.intake.redrive(ALICE, event(2).id, 0)
        await s.turn()
        assert event(2).id == s.told.ran[-1][0]


@law
async def test_a_redrive_goes_on_from_the_hops_of_who_decides(tmp_path: Path) -> None:
    """A function that redrives what was stopped is no way around the count."""
    async with stand(tmp_path) as s:
        await s.accept(event(1, hops=HOPS + 1))
        await s.turn()
        for hops in (HOPS + 1, HOPS):
            assert [] == s.told.ran
            (summary,) = s.quarantine.page(ALICE, after="", limit=9)
            assert await s.intake.redrive(ALICE, summary.id, hops)
            await s.turn()
        assert [event(1).id] == [identifier for identifier, _ in s.told.ran]


@law
async def test_a_function_that_may_recurs_past_sixteen_hops(tmp_path: Path) -> None:
    """Its events run, however many hops led to them."""
    async with stand(tmp_path) as s:
        s.told.set(recursive=True)
        await s.accept(event(1, hops=HOPS + 1), event(2, hops=100 * HOPS))
        await s.turn()
        assert {event(1).id, event(2).id} == {
            identifier for identifier, _ in s.told.ran
        }


@law
async def test_what_the_platform_broke_itself_is_met_again(tmp_path: Path) -> None:
    """A fault of ours is counted, and costs a lease; it loses nothing."""
    async with stand(tmp_path) as s:
        faults = [RuntimeError("ours")]

        def broken(_: AsyncEvent) -> Response:
            if faults:
                raise faults.pop()
            return WELL

        s.told.answer = broken
        await s.accept(event(1))
        await s.until_still()
        assert (2, 1) == (len(s.told.ran), s.driver.counts.failed)
        assert 0 == s.depth()


@law
async def test_too_many_bytes_are_said_to_be_that(tmp_path: Path) -> None:
    """An account's queues have a bound in bytes; it is no full disk."""
    clock = SetClock()
    limits = replace(SMALL, message_bytes=2_000)
    async with store_at(tmp_path, clock=clock, limits=limits) as store:
        s = standing(store, clock, Told(clock))
        with pytest.raises(Throttled, match="bytes"):
            await s.accept(*(event(number) for number in range(9)))
        assert s.intake.waiting() == s.depth() > 0


@law
async def test_what_an_account_may_leave_waiting_is_bounded(tmp_path: Path) -> None:
    """Past it new events are refused, and none that was taken is lost."""
    async with stand(tmp_path, bounds=Bounds(waiting=3, quarantined=2)) as s:
        await s.accept(event(1), event(2), event(3))
        refusal = await refused(s.intake.accept(event(4)))
        assert (refusal.http_status, refusal.code) == (429, "TooManyRequestsException")
        await s.intake.accept(event(5, account=BOB))
        s.told.answer = lambda _: ERROR
        s.told.set(retries=0)
        await s.turn()
        assert 3 == s.quarantine.count(ALICE)
        refusal = await refused(s.intake.accept(event(4)))
        assert "quarantine" in refusal.reason
        for number in (1, 2):
            assert await s.intake.dispose(ALICE, event(number).id)
        await s.intake.accept(event(4))


@law
async def test_decisions_are_on_what_is_there(tmp_path: Path) -> None:
    """Twice, or of another account, there is nothing to decide."""
    async with stand(tmp_path) as s:
        s.told.answer = lambda _: ERROR
        s.told.set(retries=0)
        await s.accept(event(1), event(2))
        await s.turn()
        assert not await s.intake.redrive(BOB, event(1).id, 0)
        assert not await s.intake.dispose(BOB, event(1).id)
        both = await asyncio.gather(
            *(s.intake.redrive(ALICE, event(1).id, 0) for _ in range(2))
        )
        assert [False, True] == sorted(both)
        assert await s.intake.dispose(ALICE, event(2).id)
        assert not await s.intake.dispose(ALICE, event(2).id)
        assert (1, 0) == (s.depth(), s.quarantine.count(ALICE))


@law
async def test_workers_are_bounded_and_shared(tmp_path: Path) -> None:
    """In all, of an account and of a function; the small account is not kept."""
    workers = Workers(most=10, account=6, lane=4, kept=2, floor=2)
    async with stand(tmp_path, workers) as s:
        s.told.gate = asyncio.Event()
        await s.accept(*(event(n, f"f{n % 3}") for n in range(90)))
        await s.accept(event(900, "g", BOB), event(901, "g", BOB))
        await s.driver.turn()
        await s.told.begun(8)
        assert (s.told.inside[ALICE], s.told.inside[BOB]) == (6, 2)
        s.told.gate.set()
        await s.driver.idle()
        await s.until_still()
        assert 92 == len(s.told.ran)
        assert s.told.most["all"] <= 8
        assert s.told.most[ALICE] <= 6
        assert all(s.told.most[target(f"f{n}")] <= 4 for n in range(3))


@law
async def test_a_crash_gives_the_event_to_the_next_once_its_lease_ends(
    tmp_path: Path,
) -> None:
    """At least once: what was worked on runs again, what was not is not later."""
    async with stand(tmp_path) as s:
        s.told.gate = asyncio.Event()
        await s.accept(event(1))
        await s.driver.turn()
        await s.told.begun()
        for task in tuple(s.driver._work):
            task.cancel()
        await s.driver.idle()
        again = standing(s.store, s.clock, s.told)
        s.told.gate.set()
        await again.driver.recover([ALICE])
        await again.turn()
        assert 1 == len(s.told.ran)
        s.clock.forward(LEASE)
        await again.until_still()
        assert 2 == len(s.told.ran)
        assert (0, 0) == (s.depth(), again.intake.waiting())


@law
async def test_a_lease_is_renewed_while_it_is_worked_on(tmp_path: Path) -> None:
    """A function may run for many leases, and runs once."""
    async with stand(tmp_path) as s:
        s.told.gate = asyncio.Event()
        await s.accept(event(1))
        await s.driver.turn()
        for _ in range(9):
            s.clock.forward(LEASE / 3)
            await s.driver.renew()
            await s.driver.turn()
        s.told.gate.set()
        await s.driver.idle()
        assert (1, 0) == (len(s.told.ran), s.depth())


@law
async def test_a_lease_that_a_clock_ended_does_not_run_the_event_twice(
    tmp_path: Path,
) -> None:
    """Claimed again by the very process that works on it, it is held on to."""
    async with stand(tmp_path) as s:
        s.told.gate = asyncio.Event()
        await s.accept(event(1))
        await s.driver.turn()
        s.clock.forward(10 * LEASE)
        await s.driver.turn()
        s.told.gate.set()
        await s.driver.idle()
        assert (1, 0) == (len(s.told.ran), s.depth())


@pytest.mark.parametrize("jump", [-30 * 86_400.0, 30 * 86_400.0])
def test_a_restart_with_a_clock_that_jumped_delays_nothing(
    tmp_path: Path, jump: float
) -> None:
    """Set back: due within five minutes.  Set forward: aged, as by a long stop."""

    @law
    async def jumped() -> None:
        async with stand(tmp_path) as s:
            s.told.answer = lambda _: ERROR
            await s.accept(event(1))
            await s.turn()
        s.clock.wall += jump
        async with store_at(tmp_path, clock=s.clock) as store:
            again = standing(store, s.clock, s.told)
            await again.driver.recover([ALICE])
            start = s.clock.running
            await again.turn()
            if jump > 0:
                assert 1 == len(s.told.ran)
                (summary,) = again.quarantine.page(ALICE, after="", limit=9)
                assert summary.condition == "EventAgeExceeded"
                return
            while len(s.told.ran) < 2:
                s.clock.forward(LOOK)
                await again.turn()
                assert s.clock.running - start <= LONGEST_WAIT + LOOK
            await again.until_still()
            assert 3 == len(s.told.ran)

    jumped()


@law
async def test_a_clock_set_back_while_it_runs_delays_nothing(tmp_path: Path) -> None:
    async with stand(tmp_path) as s:
        s.told.answer = lambda _: ERROR
        await s.accept(event(1))
        await s.turn()
        s.clock.wall -= 1e7
        start = s.clock.running
        while len(s.told.ran) < 2:
            s.clock.forward(LOOK)
            await s.turn()
            assert s.clock.running - start <= LONGEST_WAIT + LOOK


@law
async def test_draining_gives_back_what_is_not_done(tmp_path: Path) -> None:
    """What is given back is due at once, for the next start."""
    async with stand(tmp_path) as s:
        s.told.gate = asyncio.Event()
        await s.driver.start([])
        await s.accept(event(1))
        await s.told.begun()
        await s.driver.drain(0.0)
        await s.intake.accept(event(2))
        s.told.gate.set()
        again = standing(s.store, s.clock, s.told)
        await again.driver.recover([ALICE])
        await again.turn()
        assert 3 == len(s.told.ran)
        assert 0 == s.depth()


@law
async def test_draining_waits_for_what_ends_in_time(tmp_path: Path) -> None:
    async with stand(tmp_path) as s:
        s.told.gate = asyncio.Event()
        await s.driver.start([])
        await s.accept(event(1))
        await s.told.begun()
        draining = asyncio.create_task(s.driver.drain(60.0))
        s.told.gate.set()
        await draining
        assert (1, 0) == (len(s.told.ran), s.depth())


@pytest.mark.parametrize(
    "refusal",
    [Unavailable("no"), Denied("no"), Throttled("no"), TooLarge("no")],
)
def test_any_refusal_of_a_run_is_a_back_off(tmp_path: Path, refusal: Refusal) -> None:
    """Only a function that is gone ends an event by itself."""

    @law
    async def backs_off() -> None:
        async with stand(tmp_path) as s:
            answers = [refusal]

            def once(_: AsyncEvent) -> Response:
                if answers:
                    raise answers.pop()
                return WELL

            s.told.answer = once
            await s.accept(event(1))
            await s.until_still()
            assert 2 == len(s.told.ran)
            assert 0 == s.quarantine.count(ALICE)

    backs_off()
