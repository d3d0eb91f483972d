"""Places and rates: held by account, given back, refused with AWS's words."""

from __future__ import annotations

import asyncio
import dataclasses
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.bucket import Bucket
from casemate.core.call import Sound
from casemate.core.errors import Throttled
from casemate.road.admit.room import Admit, Limits, Place
from store_stand import SetClock
from unit.road.test_road import OPERATION
from unit.services.calls import OTHER_ACCOUNT, admitted, law, session_of

CALL = admitted(OPERATION)
WAIT = admitted(dataclasses.replace(OPERATION, waits=True))
CHANGE = admitted(dataclasses.replace(OPERATION, mutates=True))
FUNCTION = "arn:aws:lambda:us-east-1:111122223333:function:f"


@dataclass(frozen=True)
class Share:
    name: str
    most: int


@dataclass
class Shares:
    """What is set aside; a call to a function names it in its parameters."""

    there: dict[str, Share] = field(default_factory=dict)

    def share(self, sound: Sound, /) -> Share | None:
        name = sound.allowed.known.arrival.parameters.get("FunctionName")
        return self.there.get(str(name))

    def places(self, account: str, /) -> int:
        mine = account == CALL.principal.account
        return sum(share.most for share in self.there.values()) if mine else 0


def admit(
    clock: SetClock | None = None, shares: Shares | None = None, **limits: Any
) -> Admit:
    return Admit(
        limits=Limits(**limits), shares=shares or Shares(), clock=clock or SetClock()
    )


def call_of(name: str, account: str = CALL.principal.account) -> Sound:
    who = session_of(account=account)
    return admitted(OPERATION, {"FunctionName": name}, principal=who).sound


async def full(room: Admit, sound: Sound, count: int, stack: AsyncExitStack) -> None:
    """Hold places until there is none; hold that there are `count`."""
    for _ in range(count):
        await stack.enter_async_context(room(sound))
    with pytest.raises(Throttled):
        await stack.enter_async_context(room(sound))


@law
async def test_places_are_limited_and_given_back() -> None:
    """The call past the last place is refused; a place left is free again."""
    room = admit(places=2)

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
    room = admit(places=1, waiting=1)

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
    room = admit(places=1)
    for _ in range(3):
        with pytest.raises(RuntimeError):
            async with room(CALL.sound):
                raise RuntimeError

    assert 0 == room.inside()


@law
async def test_one_account_takes_no_place_of_another() -> None:
    """Accounts are counted apart."""
    room = admit(places=1)
    other = admitted(OPERATION, principal=session_of(account=OTHER_ACCOUNT))

    async with room(CALL.sound), room(other.sound):
        assert 2 == room.inside()


@law
async def test_changes_have_a_rate_and_reads_have_none() -> None:
    """Past the burst a change waits; time refills; reading is not counted."""
    clock = SetClock()
    room = admit(clock, changes=2.0, burst=3)
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


@law
async def test_a_share_is_a_ceiling_with_its_own_words() -> None:
    """The call past it is refused, though the account has places left."""
    room = admit(shares=Shares({"f": Share(FUNCTION, 2)}), places=100)
    async with AsyncExitStack() as stack:
        await full(room, call_of("f"), 2, stack)
        with pytest.raises(Throttled) as caught:
            await stack.enter_async_context(room(call_of("f")))
        await stack.enter_async_context(room(call_of("g")))
    assert not caught.value.final
    reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert reason == caught.value.members["Reason"]
    assert (429, 1) == (caught.value.http_status, caught.value.retry_after)
    assert "TooManyRequestsException" == caught.value.code
    assert 0 == room.inside()


@law
async def test_a_share_of_nothing_throttles_all() -> None:
    """0 is a way to stop a function, and stops nothing else."""
    room = admit(shares=Shares({"f": Share(FUNCTION, 0)}), places=10)
    async with AsyncExitStack() as stack:
        await full(room, call_of("f"), 0, stack)
        with pytest.raises(Throttled) as caught:
            await stack.enter_async_context(room(call_of("f")))
        assert caught.value.final  # no waiting helps
        await full(room, call_of("g"), 10, stack)


@law
async def test_a_flood_takes_no_place_of_a_share() -> None:
    """Q9: what all others have taken together leaves the share whole."""
    room = admit(shares=Shares({"f": Share(FUNCTION, 3)}), places=10)
    async with AsyncExitStack() as stack:
        await full(room, call_of("g"), 7, stack)
        await full(room, CALL.sound, 0, stack)
        await full(room, call_of("f"), 3, stack)
        assert 10 == room.inside()


@law
async def test_a_share_takes_no_place_of_the_others() -> None:
    """Nor does a function that is full spill over into what the account shares."""
    room = admit(shares=Shares({"f": Share(FUNCTION, 3)}), places=10)
    async with AsyncExitStack() as stack:
        await full(room, call_of("f"), 3, stack)
        await full(room, call_of("g"), 7, stack)


@law
async def test_another_account_takes_the_function_s_places_not_its_own() -> None:
    """A share is the function's, whoever calls it."""
    room = admit(shares=Shares({"f": Share(FUNCTION, 2)}), places=10)
    async with AsyncExitStack() as stack:
        await full(room, call_of("f", OTHER_ACCOUNT), 2, stack)
        with pytest.raises(Throttled):
            await stack.enter_async_context(room(call_of("f")))
        await full(room, call_of("g", OTHER_ACCOUNT), 10, stack)


@law
async def test_a_place_goes_back_where_it_was_taken() -> None:
    """Whatever is reserved or given up meanwhile."""
    shares = Shares()
    room = admit(shares=shares, places=10)
    for before, after in (({}, {"f": 1}), ({"f": 1}, {}), ({"f": 1}, {"f": 0})):
        shares.there = {n: Share(FUNCTION, m) for n, m in before.items()}
        async with room(call_of("f")):
            shares.there = {n: Share(FUNCTION, m) for n, m in after.items()}
        assert 0 == room.inside()


@law
async def test_a_caller_who_leaves_gives_the_place_back() -> None:
    """A cancelled call holds none."""
    room = admit(shares=Shares({"f": Share(FUNCTION, 1)}), places=10)
    inside = asyncio.Event()

    async def stay() -> None:
        async with room(call_of("f")):
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.ensure_future(stay())
    await inside.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with room(call_of("f")):
        assert 1 == room.inside()


@given(st.lists(st.tuples(st.sampled_from("fgh"), st.booleans()), max_size=60))
def test_no_walk_breaks_a_bound(steps: list[tuple[str, bool]]) -> None:
    """Shares, the shared places and their sum hold after every entry and ending."""
    shares = Shares({"f": Share(FUNCTION, 2), "g": Share(f"{FUNCTION}g", 1)})
    room = admit(shares=shares, places=6)
    held: dict[str, list[Place]] = {"f": [], "g": [], "h": []}
    most = {"f": 2, "g": 1, "h": 3}
    for name, comes in steps:
        if comes:
            try:
                held[name].append(room.enter(call_of(name)))
            except Throttled:
                assert len(held[name]) == most[name]
        elif held[name]:
            room.leave(held[name].pop())
        assert all(len(held[n]) <= most[n] for n in held)
        assert room.inside() == sum(map(len, held.values())) <= 6
