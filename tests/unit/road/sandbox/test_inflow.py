"""Laws of the way out of a cell, without a socket."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.clock import SystemClock
from casemate.core.flow import Flow
from casemate.road.sandbox.frames import RESPONSE_LIMIT
from casemate.road.sandbox.inflow import Inflow, Pace, StreamLimits
from unit.services.calls import law

LIMITS = StreamLimits(most=100, burst=30, rate=10)


class Tap:
    """Tells whether it runs."""

    def __init__(self) -> None:
        self.runs = True
        self.released = asyncio.Event()

    def hold(self) -> None:
        self.runs = False

    def release(self) -> None:
        self.runs = True
        self.released.set()


class SetClock:
    def __init__(self) -> None:
        self.at = 100.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


def test_the_limits_are_lambda_s() -> None:
    """200 MB, the first 6 MB as they come, then 2 MB a second."""
    limits = StreamLimits()
    assert (limits.most, limits.burst, limits.rate) == (200 << 20, 6 << 20, 2 << 20)


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(0, 5)), max_size=30))
def test_a_pace_is_never_outrun(steps: list[tuple[int, float]]) -> None:
    """Whoever waits as told has, at any time, no more than burst and rate allow."""
    pace, now, began, sent = Pace(LIMITS), 0.0, None, 0
    for count, idle in steps:
        now += idle
        sent += count
        wait = pace.wait(count, now)
        if sent > LIMITS.burst and began is None:
            began = now
        now += wait
        if began is not None:
            allowed = LIMITS.burst + LIMITS.rate * (now - began)
            assert sent <= allowed + 1e-6
        else:
            assert wait == 0


def test_idleness_earns_nothing() -> None:
    """A minute of silence is not made up for by a minute's worth at once."""
    pace = Pace(LIMITS)
    assert pace.wait(30, 0) == 0
    assert pace.wait(10, 60) == pytest.approx(1)


@law
async def test_a_stream_has_an_end() -> None:
    """What fits goes through to the last byte; one more is too much."""
    flow = Flow(room=1000)
    inflow = Inflow(flow, LIMITS, SystemClock())
    inflow.open(Tap())
    assert flow.begun
    assert inflow.take(b"x" * 99, chunks=1)
    assert not inflow.take(b"yz", chunks=1)
    inflow.close()
    assert await flow.take(1000) == b"x" * 99 + b"y"


def test_without_a_sink_it_is_an_answer_like_others() -> None:
    """Gathered whole, under the limit of a buffered answer, at any speed."""
    inflow, tap = Inflow(None, LIMITS, SetClock()), Tap()
    inflow.open(tap)
    assert inflow.take(bytes(RESPONSE_LIMIT - 1), chunks=1)
    assert inflow.take(b"x", chunks=1)
    assert tap.runs
    assert not inflow.take(b"x", chunks=1)
    assert len(inflow.close()) == RESPONSE_LIMIT


@law
async def test_the_reader_holds_the_cell_back() -> None:
    """While there is no room; a reader who leaves holds nothing back."""
    flow, tap = Flow(room=10), Tap()
    inflow = Inflow(flow, StreamLimits(), SystemClock())
    inflow.open(tap)
    inflow.take(b"x" * 5, chunks=1)
    assert tap.runs
    inflow.take(b"x" * 5, chunks=1)
    assert not tap.runs
    await flow.take(1)
    assert tap.runs
    inflow.take(b"x" * 5, chunks=1)
    assert not tap.runs
    flow.leave()
    assert tap.runs
    inflow.take(b"x" * 50, chunks=1)
    assert tap.runs


@law
async def test_the_pace_holds_the_cell_back() -> None:
    """After the burst; the tap runs again by itself, and not after the end."""
    flow, tap = Flow(room=10_000), Tap()
    limits = StreamLimits(most=10_000, burst=600, rate=10_000)
    inflow = Inflow(flow, limits, SystemClock())
    inflow.open(tap)
    inflow.take(b"x" * 600, chunks=1)
    assert tap.runs
    inflow.take(b"x" * 600, chunks=1)
    assert not tap.runs
    await asyncio.wait_for(tap.released.wait(), 5)
    assert tap.runs
    inflow.take(b"x" * 600, chunks=1)
    inflow.close()
    assert not tap.runs


@law
async def test_crumbs_count_for_what_they_cost() -> None:
    """Chunks of one byte are paced as if each had 512."""
    flow, tap = Flow(), Tap()
    inflow = Inflow(flow, StreamLimits(burst=512 * 100), SystemClock())
    inflow.open(tap)
    inflow.take(b"x" * 100, chunks=100)
    assert tap.runs
    inflow.take(b"x", chunks=1)
    assert not tap.runs
    inflow.close()
