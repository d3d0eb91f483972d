"""
A process that takes and works on events until it is killed.

    events_victim.py FOLDER HOURS EVENTS-AT-ONCE

HOURS: how far its clock is ahead, so that a lease of the one before has ended.
It writes `taken ID` once an event is acknowledged, `ran ID` when its function
runs, `told ID` when its destination is told, `aside ID` for quarantine, and
`still` once nothing waits; with 0 at once it takes none, and works off what is left.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

from casemate.core.event import AsyncEvent
from casemate.core.identifier import request_id
from casemate.road.dispatch.events.life import Response
from casemate.road.dispatch.events.ports import Parcel
from store_stand import ALICE, BOB, SetClock, opened
from unit.road.dispatch.events_world import (
    ERROR,
    QUEUE,
    WELL,
    Stand,
    Told,
    event,
    standing,
    target,
)

FUNCTIONS = ("glad", "sad", "plain")
LANES = 8


@dataclass(frozen=True, slots=True)
class AheadClock:
    """The host's clock, some hours ahead."""

    hours: float

    def now(self) -> float:
        return time.time() + self.hours * 3600

    def monotonic(self) -> float:
        return time.monotonic()


def said(line: str) -> None:
    os.write(1, line.encode() + b"\n")


@dataclass
class Saying(Told):
    """Says what is run and told, before it is known to be done."""

    async def run(self, event: AsyncEvent) -> Response:
        said(f"ran {event.id}")
        await asyncio.sleep(0)
        return ERROR if ":sad:" in event.target else WELL

    async def deliver(self, parcel: Parcel) -> None:
        said(f"told {parcel.event.id}")


async def take(stand: Stand, lane: int) -> None:
    """Take events one after the other, for ever."""
    number = 0
    while True:
        number += 1
        identifier = request_id(time.time(), os.urandom)
        one = event(0, FUNCTIONS[number % 3], (ALICE, BOB)[lane % 2])
        await stand.intake.accept(replace(one, id=identifier))
        said(f"taken {identifier} {one.target}")


async def run(folder: Path, hours: float, lanes: int) -> None:
    clock = AheadClock(hours)
    store = opened(folder, clock=clock)
    told = Saying(SetClock())
    for name in FUNCTIONS:
        told.set(name, retries=0)
    told.set("glad", on_success=QUEUE)
    told.plans[target("glad", BOB)] = told.plans[target("glad")]
    told.plans[target("sad", BOB)] = told.plans[target("sad")]
    stand = standing(store, clock, told)
    await stand.driver.start([ALICE, BOB])
    taking = [asyncio.create_task(take(stand, lane)) for lane in range(lanes)]
    if taking:
        await asyncio.gather(*taking)
    while stand.intake.waiting():  # noqa: ASYNC110 — this process does nothing else
        await asyncio.sleep(0.01)
    for account in (ALICE, BOB):
        for summary in stand.quarantine.page(account, after="", limit=100_000):
            said(f"aside {summary.id}")
    said("still")
    await stand.driver.drain(1.0)
    await store.close()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
