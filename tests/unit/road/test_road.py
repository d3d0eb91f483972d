"""The road: one order, and a record that closes on every ending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from casemate.core.call import Admitted, Allowed, Arrival, Known, Outcome, Sound
from casemate.core.errors import Denied, Invalid, Refusal, Unavailable
from casemate.core.operation import Operation, anything
from casemate.road.road import Abandoned, Crash, Road
from unit.services.calls import admitted, law


async def _nothing(_call: object) -> dict[str, object]:
    return {}


OPERATION = Operation(
    service="test",
    name="Do",
    action="test:Do",
    resource=anything,
    accepts=(),
    mutates=False,
    method=_nothing,
)
CALL = admitted(OPERATION)
Step = Callable[[], Awaitable[None]]


@dataclass
class Rooms:
    """Rooms that write down their names, and fail where they are told to."""

    walked: list[str] = field(default_factory=list)
    endings: list[object] = field(default_factory=list)
    failing: dict[str, BaseException] = field(default_factory=dict)
    dispatching: Step | None = None

    def step(self, name: str) -> None:
        self.walked.append(name)
        if name in self.failing:
            raise self.failing[name]

    # An entry of the record.
    def known(self, _known: Known) -> None:
        self.walked.append("known")

    def allowed(self, _allowed: Allowed) -> None:
        self.walked.append("allowed")

    def passed(self, room: str) -> None:
        self.walked.append(f"left {room}")

    async def close(self, ending: object) -> None:
        self.endings.append(ending)
        self.step("close")

    # The rooms.
    def record(self, _arrival: Arrival) -> Rooms:
        self.step("record")
        return self

    async def authn(self, _arrival: Arrival) -> Known:
        self.step("authn")
        return CALL.known

    async def authz(self, _known: Known) -> Allowed:
        self.step("authz")
        return CALL.sound.allowed

    def validate(self, _allowed: Allowed) -> Sound:
        self.step("validate")
        return CALL.sound

    @asynccontextmanager
    async def admit(self, _sound: Sound) -> AsyncIterator[Admitted]:
        self.step("admit")
        try:
            yield CALL
        finally:
            self.walked.append("place given back")

    async def dispatch(self, _admitted: Admitted) -> Outcome:
        self.step("dispatch")
        if self.dispatching:
            await self.dispatching()
        return Outcome(result={"Done": True})

    def road(self) -> Road:
        return Road(
            record=self.record,
            authn=self.authn,
            authz=self.authz,
            validate=self.validate,
            admit=self.admit,
            dispatch=self.dispatch,
        )


@law
async def test_the_rooms_stand_in_one_order() -> None:
    """Record opens, then authn, authz, validate, admit, dispatch; record closes."""
    rooms = Rooms()
    outcome = await rooms.road()(CALL.arrival)

    assert [
        "record",
        "authn",
        "known",
        "left authn",
        "authz",
        "allowed",
        "left authz",
        "validate",
        "left validate",
        "admit",
        "left admit",
        "dispatch",
        "place given back",
        "left dispatch",
        "close",
    ] == rooms.walked
    assert [outcome] == rooms.endings


@pytest.mark.parametrize("room", ["authn", "authz", "validate", "admit", "dispatch"])
@pytest.mark.parametrize("refusal", [Denied("no"), Invalid("no")])
def test_a_refusal_ends_the_road_and_is_recorded(room: str, refusal: Refusal) -> None:
    """No later room sees a refused call, and the record closes with the refusal."""
    rooms = Rooms(failing={room: refusal})

    with pytest.raises(type(refusal)):
        asyncio.run(_travel(rooms))

    order = ["authn", "authz", "validate", "admit", "dispatch"]
    later = order[order.index(room) + 1 :]
    assert [] == [name for name in later if name in rooms.walked]
    assert [refusal] == rooms.endings


@pytest.mark.parametrize("room", ["authn", "authz", "validate", "admit", "dispatch"])
def test_a_crash_in_a_room_is_a_denial(room: str) -> None:
    """An internal error refuses the call; its cause goes to the record alone."""
    cause = RuntimeError("secret detail")
    rooms = Rooms(failing={room: cause})

    with pytest.raises(Unavailable) as caught:
        asyncio.run(_travel(rooms))

    assert "secret detail" not in caught.value.reason
    assert 500 == caught.value.http_status
    assert [Crash(cause)] == rooms.endings


def test_what_cannot_be_recorded_does_not_run() -> None:
    """A record that does not open stops the call before any room."""
    rooms = Rooms(failing={"record": Unavailable("full")})

    with pytest.raises(Unavailable):
        asyncio.run(_travel(rooms))

    assert ["record"] == rooms.walked


def test_an_outcome_that_cannot_be_recorded_is_not_told() -> None:
    """A record that does not close refuses the call's outcome."""
    rooms = Rooms(failing={"close": Unavailable("full")})

    with pytest.raises(Unavailable):
        asyncio.run(_travel(rooms))


@law
async def test_a_caller_who_leaves_is_recorded() -> None:
    """A cancelled call closes its entry, and gives its place back."""
    started = asyncio.Event()

    async def stay() -> None:
        started.set()
        await asyncio.Event().wait()

    rooms = Rooms(dispatching=stay)
    task: asyncio.Task[Any] = asyncio.ensure_future(rooms.road()(CALL.arrival))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [Abandoned()] == rooms.endings
    assert "place given back" in rooms.walked


async def _travel(rooms: Rooms) -> Outcome:
    return await rooms.road()(CALL.arrival)
