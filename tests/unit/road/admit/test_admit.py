"""Places and rates: held by account, given back, refused with AWS's words."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.bucket import Bucket
from casemate.core.errors import Throttled
from casemate.road.admit.room import Admit, Limits
from store_stand import SetClock
from unit.road.test_road import OPERATION
from unit.services.calls import OTHER_ACCOUNT, admitted, law, session_of

CALL = admitted(OPERATION)
WAIT = admitted(dataclasses.replace(OPERATION, waits=True))
CHANGE = admitted(dataclasses.replace(OPERATION, mutates=True))


@law
async def test_places_are_limited_and_given_back() -> None:
    """The call past the last place is refused; a place left is free again."""
    room = Admit(limits=Limits(places=2), clock=SetClock())

    async with room(CALL.sound), room(CALL.sound):
        with pytest.raises(Throttled) as caught:
            async with room(CALL.sound):
                pass
        assert 2 == room.inside()
    async with room(CALL.sound):
        assert 1 == room.inside()

    assert "ConcurrentInvocationLimitExceeded" == caught.value.members["Reason"]
    assert 429 == caught.value.http_status
    assert 0 == room.inside()


@law
async def test_calls_that_wait_take_no_place_of_calls_that_work() -> None:
    """They have places of their own, as bounded, and given back on every ending."""
    room = Admit(limits=Limits(places=1, waiting=1), clock=SetClock())

    async with room(WAIT.sound), room(CALL.sound):
        for one in (WAIT, CALL):
            with pytest.raises(Throttled):
                async with room(one.sound):
                    pass
        assert (1, 1) == (room.inside(), room.waiting())
    with pytest.raises(RuntimeError):
        async with room(WAIT.sound):
            raise RuntimeError
    async with room(WAIT.sound):
        assert (0, 1) == (room.inside(), room.waiting())

    assert 0 == room.waiting()


@law
async def test_a_failing_call_gives_its_place_back() -> None:
    """An error inside does not cost a place."""
    room = Admit(limits=Limits(places=1), clock=SetClock())
    for _ in range(3):
        with pytest.raises(RuntimeError):
            async with room(CALL.sound):
                raise RuntimeError

    assert 0 == room.inside()


@law
async def test_one_account_takes_no_place_of_another() -> None:
    """Accounts are counted apart."""
    room = Admit(limits=Limits(places=1), clock=SetClock())
    other = admitted(OPERATION, principal=session_of(account=OTHER_ACCOUNT))

    async with room(CALL.sound), room(other.sound):
        assert 2 == room.inside()


@law
async def test_changes_have_a_rate_and_reads_have_none() -> None:
    """Past the burst a change waits; time refills; reading is not counted."""
    clock = SetClock()
    room = Admit(limits=Limits(changes=2.0, burst=3), clock=clock)
    for _ in range(3):
        async with room(CHANGE.sound):
            pass
    with pytest.raises(Throttled) as caught:
        async with room(CHANGE.sound):
            pass
    async with room(CALL.sound):
        pass
    clock.forward(0.5)
    async with room(CHANGE.sound):
        pass

    assert "CallerRateLimitExceeded" == caught.value.members["Reason"]
    assert 1 == caught.value.retry_after


@given(
    steps=st.lists(st.floats(min_value=0, max_value=10), max_size=200),
    rate=st.floats(min_value=0.1, max_value=100),
    burst=st.integers(min_value=1, max_value=50),
)
def test_a_bucket_never_gives_more_than_its_rate(
    steps: list[float], rate: float, burst: int
) -> None:
    """In any time, at most burst plus rate times that time passes."""
    bucket = Bucket(rate=rate, burst=burst, tokens=burst, at=0.0)
    now, passed = 0.0, 0
    for step in steps:
        now += step
        passed += bucket.take(now) == 0.0

    assert passed <= burst + rate * now + 1e-6
