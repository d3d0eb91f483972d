"""The driver over the real store and a clock that is set, with runs that are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from casemate.core.call import Sender, Trace
from casemate.core.clock import Clock
from casemate.core.event import AsyncEvent, Plan
from casemate.road.dispatch.events.driver import Driver
from casemate.road.dispatch.events.intake import Bounds, Intake
from casemate.road.dispatch.events.lanes import Lanes, Workers
from casemate.road.dispatch.events.life import Response
from casemate.road.dispatch.events.ports import Parcel
from casemate.road.dispatch.events.quarantine import Quarantine
from casemate.substrate.sqlite import Store
from store_stand import ALICE, SetClock, store_at
from unit.services.calls import session_of

QUEUE = f"arn:aws:sqs:us-east-1:{ALICE}:q"
WELL = Response(version="$LATEST", payload=b'"well"')
ERROR = Response(version="$LATEST", error="Unhandled", payload=b'{"errorMessage":"no"}')


def target(name: str = "f", account: str = ALICE) -> str:
    return f"arn:aws:lambda:us-east-1:{account}:function:{name}:$LATEST"


def event(
    number: int, name: str = "f", account: str = ALICE, hops: int = 0
) -> AsyncEvent:
    return AsyncEvent(
        id=f"00000000-0000-7000-8000-{number:012d}",
        account=account,
        target=target(name, account),
        invoked=target(name, account),
        payload=b'{"n":%d}' % number,
        sender=Sender(principal=session_of(account=account), peer="192.0.2.1"),
        trace=Trace(trace_id="0" * 32, span_id="0" * 16, hops=hops),
    )


@dataclass
class Told:
    """Runs, deliveries and plans as a test wants them."""

    clock: SetClock
    answer: Callable[[AsyncEvent], Response] = lambda _: WELL
    post: Callable[[Parcel], None] = lambda _: None
    plans: dict[str, Plan | None] = field(default_factory=dict)
    ran: list[tuple[str, float]] = field(default_factory=list)
    parcels: list[Parcel] = field(default_factory=list)
    gate: asyncio.Event | None = None
    inside: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    aside: list[tuple[str, str]] = field(default_factory=list)
    began: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))

    def plan(self, target: str) -> Plan | None:
        usual = Plan(role_arn=f"arn:aws:iam::{ALICE}:role/r", role_id="AROA")
        return self.plans.get(target, usual)

    async def run(self, event: AsyncEvent) -> Response:
        self.ran.append((event.id, self.clock.now()))
        self.began.release()
        for who in (event.target, event.account, "all"):
            self.inside[who] = self.inside.get(who, 0) + 1
            self.most[who] = max(self.most.get(who, 0), self.inside[who])
        try:
            if self.gate is not None:
                await self.gate.wait()
            return self.answer(event)
        finally:
            for who in (event.target, event.account, "all"):
                self.inside[who] -= 1

    async def deliver(self, parcel: Parcel) -> None:
        self.post(parcel)
        self.parcels.append(parcel)

    async def begun(self, runs: int = 1) -> None:
        """Wait for so many more runs to begin."""
        for _ in range(runs):
            await self.began.acquire()

    def set(self, name: str = "f", **more: object) -> None:
        """Change a function's plan."""
        plan = self.plan(target(name))
        assert plan is not None
        self.plans[target(name)] = replace(plan, **more)  # type: ignore[arg-type]


@dataclass
class Stand:
    """A driver, and what it stands on."""

    store: Store
    told: Told
    driver: Driver
    intake: Intake
    quarantine: Quarantine
    lanes: Lanes

    @property
    def clock(self) -> SetClock:
        """The clock that a test sets."""
        return self.told.clock

    async def accept(self, *events: AsyncEvent) -> None:
        await asyncio.gather(*(self.intake.accept(event) for event in events))

    async def turn(self) -> float:
        """Have one turn, and wait for all that it began."""
        wait = await self.driver.turn()
        await self.driver.idle()
        return wait

    async def until_still(self, seconds: float = 100_000.0) -> None:
        """Let virtual time go by from one due moment to the next."""
        end = self.clock.running + seconds
        while self.clock.running <= end:
            await self.turn()
            due = self.lanes.next_at()
            if due == float("inf"):
                return
            self.clock.forward(max(0.0, due - self.clock.running))
        raise AssertionError("it does not come to rest")

    def depth(self, name: str = "f", account: str = ALICE) -> int:
        queue = f"lambda.events/{target(name, account)}"
        return sum(self.store.queue.depth(account, queue))


def standing(
    store: Store,
    clock: Clock,
    told: Told,
    workers: Workers | None = None,
    bounds: Bounds | None = None,
    quarantine: Quarantine | None = None,
) -> Stand:
    quarantine = quarantine or Quarantine(store.records)
    lanes = Lanes(workers or Workers())
    intake = Intake(
        queue=store.queue,
        quarantine=quarantine,
        lanes=lanes,
        clock=clock,
        bounds=bounds or Bounds(),
    )
    driver = Driver(
        intake=intake,
        lanes=lanes,
        queue=store.queue,
        quarantine=quarantine,
        plans=told,
        run=told.run,
        deliver=told.deliver,
        tell=lambda _, summary: told.aside.append((summary.id, summary.reason)),
        clock=clock,
        chance=lambda: 0.0,
    )

    async def pause(seconds: float) -> None:
        told.clock.forward(seconds)
        await driver.renew()

    driver.pause = pause
    return Stand(
        store=store,
        told=told,
        driver=driver,
        intake=intake,
        quarantine=quarantine,
        lanes=lanes,
    )


@asynccontextmanager
async def stand(
    folder: Path, workers: Workers | None = None, bounds: Bounds | None = None
) -> AsyncIterator[Stand]:
    """Stand on a fresh store."""
    clock = SetClock()
    async with store_at(folder, clock=clock) as store:
        yield standing(store, clock, Told(clock), workers, bounds)
