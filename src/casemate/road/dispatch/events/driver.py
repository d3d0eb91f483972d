"""
The driver: claims events that are due, runs them, delivers what came of them.

1. Places are given out in turn (`lanes`), then that many events are claimed
   under a lease, so what is claimed is worked on at once.
2. While an event is worked on its lease is renewed; if this process dies, the
   lease ends and the event is claimed again: at least once.
3. What comes next is the state machine's to say (`life`).
4. A step that was made is written before its place is given on: while the store
   cannot be written the event waits in memory, and its function does not run
   again.  What the queue cannot keep at all is set aside.
5. The event leaves the queue last, when nothing of it is left to do.

A bounded number of events is worked on at once; each run and each delivery is
a call on the road, with its own record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar, final

from casemate.core.clock import Clock
from casemate.core.errors import Invalid, NotFound, Refusal, TooLarge, Unimplemented
from casemate.core.event import AsyncEvent
from casemate.road.dispatch.events import envelope, life
from casemate.road.dispatch.events.intake import Intake, queue_of
from casemate.road.dispatch.events.kept import Kept, UnreadableError, read, write
from casemate.road.dispatch.events.lanes import NEVER, Lane, Lanes
from casemate.road.dispatch.events.life import (
    Again,
    Aside,
    Course,
    Deliver,
    Life,
    Run,
    Step,
    Way,
)
from casemate.road.dispatch.events.ports import Deliver as Delivering
from casemate.road.dispatch.events.ports import Parcel, Plans, Tell
from casemate.road.dispatch.events.ports import Run as Running
from casemate.road.dispatch.events.quarantine import Quarantine, Summary
from casemate.substrate.ports import (
    DamagedError,
    Message,
    Queue,
    SubstrateError,
    TooLargeError,
)

_T = TypeVar("_T")

LEASE: Final = 30.0
"""Seconds: after a crash, events that were worked on are late by that much."""
RENEW: Final = 10.0
LOOK: Final = 60.0
"""Seconds after which every lane is looked at again, whatever a clock said."""
PAUSE: Final = 1.0
"""Seconds to wait when the store cannot be asked or written."""
_NO_USE: Final = (Invalid, TooLarge, Unimplemented)
"""Refusals that the same delivery would meet for ever."""


@final
@dataclass(slots=True, eq=False)
class _Claim:
    """An event that is worked on.  lease: the newest one."""

    lane: Lane
    lease: str


@final
@dataclass(slots=True, kw_only=True)
class Counts:
    """
    What was done since the start.

    failed: work that the platform itself broke.  unreadable: messages that are no
    events known here.  unwritten: times that a step could not be written yet.
    """

    runs: int = 0
    retried: int = 0
    delivered: int = 0
    quarantined: int = 0
    failed: int = 0
    unreadable: int = 0
    unwritten: int = 0


@final
@dataclass(slots=True, kw_only=True)
class Driver:
    """
    Works on events until it is told to stop.

    chance: gives numbers in [0, 1).  pause: lets seconds go by.
    """

    intake: Intake
    lanes: Lanes
    queue: Queue
    quarantine: Quarantine
    plans: Plans
    run: Running
    deliver: Delivering
    tell: Tell
    clock: Clock
    chance: Callable[[], float]
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    counts: Counts = field(default_factory=Counts)
    _claims: dict[tuple[str, str], _Claim] = field(default_factory=dict)
    _work: set[asyncio.Task[None]] = field(default_factory=set)
    _own: list[asyncio.Task[None]] = field(default_factory=list)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: bool = False

    async def start(self, accounts: Iterable[str]) -> None:
        """Take up what an earlier run left, and begin."""
        await self.recover(accounts)
        self._own = [
            asyncio.create_task(self._turns()),
            asyncio.create_task(self._renewals()),
        ]

    async def recover(self, accounts: Iterable[str]) -> None:
        """Find what is there, without beginning."""
        self.intake.wake = self._woken.set
        await self.intake.recover(accounts)

    async def turn(self) -> float:
        """Claim what is due and begin it; give the seconds until the next look."""
        while not self._closing:
            given = self.lanes.give(self.clock.monotonic())
            if not given:
                break
            await asyncio.gather(*(self._claim(*gift) for gift in given.items()))
        return self.lanes.next_at() - self.clock.monotonic()

    async def idle(self) -> None:
        """Wait until nothing is worked on."""
        while self._work:
            await asyncio.wait(tuple(self._work))

    def shut(self) -> None:
        """Claim nothing more."""
        self._closing = True
        self._woken.set()

    async def drain(self, grace: float) -> None:
        """
        Claim nothing new, and wait for what is worked on; then give it back.

        What is given back is due at once, for whoever comes next.
        """
        self.shut()
        if self._own:
            await asyncio.wait(self._own[:1])
        if self._work:
            await asyncio.wait(tuple(self._work), timeout=grace)
        left = tuple(self._claims.values())
        for task in (*self._own, *self._work):
            task.cancel()
        await asyncio.gather(*self._own, *self._work, return_exceptions=True)
        self._own.clear()
        for claim in left:
            await self._extended(claim, 0.0)

    def busy(self) -> int:
        """Count the events that are worked on."""
        return len(self._claims)

    async def _turns(self) -> None:
        while not self._closing:
            self._woken.clear()
            try:
                wait = await self.turn()
            except Exception:  # noqa: BLE001 — counted; events of all would wait for one
                self.counts.failed += 1
                wait = PAUSE
            with suppress(TimeoutError):
                async with asyncio.timeout(min(max(wait, 0.0), LOOK)):
                    await self._woken.wait()

    async def _renewals(self) -> None:
        while True:
            await asyncio.sleep(RENEW)
            await self.renew()

    async def renew(self) -> None:
        """Renew the leases of all that is worked on."""
        await asyncio.gather(
            *(self._extended(claim, LEASE) for claim in tuple(self._claims.values()))
        )

    async def _claim(self, lane: Lane, places: int) -> None:
        # (1)
        name = queue_of(lane.target)
        messages: Sequence[Message] = ()
        wait: float | None = PAUSE
        try:
            messages = await self.queue.claim(
                lane.account, name, limit=places, lease=LEASE
            )
            if len(messages) < places:
                wait = self.queue.due_in(lane.account, name)
        except SubstrateError:
            pass
        for message in messages:
            self._begin(lane, message)
        self.lanes.back(lane, places - len(messages))
        if len(messages) < places:
            now = self.clock.monotonic()
            self.lanes.empty(lane, NEVER if wait is None else now + min(wait, LOOK))

    def _begin(self, lane: Lane, message: Message) -> None:
        work: Coroutine[Any, Any, None] = self._worked(lane, message)
        task = asyncio.create_task(work)
        self._work.add(task)

        def ended(done: asyncio.Task[None]) -> None:
            self._work.discard(done)
            if not done.cancelled() and done.exception() is not None:
                self.counts.failed += 1  # its lease ends, and it is met again
            self.lanes.back(lane)
            self.lanes.tidy(lane)
            self._woken.set()

        task.add_done_callback(ended)

    async def _worked(self, lane: Lane, message: Message) -> None:
        """Work on one event until it waits or is gone."""
        kept = _read(message)
        place = (lane.target, kept.event.id if kept else message.id)
        if place in self._claims:
            # Its lease ended while it is worked on here (a clock set forward):
            # (2) holds on with the new one.
            self._claims[place].lease = message.lease
            return
        claim = self._claims[place] = _Claim(lane, message.lease)
        try:
            if kept is None:
                await self._unread(claim, message)
            else:
                await self._settle(claim, kept.event, await self._lived(kept))
        finally:
            del self._claims[place]

    async def _lived(self, kept: Kept) -> Again | Aside | life.Done:
        # (3)
        event = kept.event
        step = life.begin(kept.life, self._course(event), self.clock.now())
        while True:
            if isinstance(step, Run):
                step = await self._run(event, step.life)
            elif isinstance(step, Deliver):
                step = await self._deliver(event, step)
            else:
                return step

    async def _run(self, event: AsyncEvent, now: Life) -> Step:
        self.counts.runs += 1
        try:
            response = await self.run(event)
        except NotFound as refusal:
            return life.gone(now, self.clock.now(), refusal.reason)
        except Refusal as refusal:
            onward = life.shut if refusal.final else life.refused
            return onward(
                now,
                self._course(event),
                self.clock.now(),
                refusal.http_status,
                f"{refusal.code}: {refusal.reason}",
            )
        return life.ran(now, self._course(event), self.clock.now(), response)

    async def _deliver(self, event: AsyncEvent, step: Deliver) -> Step:
        course = self._course(event)
        try:
            await self._sent(event, step, course)
        except Refusal as refusal:
            return life.undelivered(
                step.life,
                self._course(event),
                self.clock.now(),
                f"{refusal.code}: {refusal.reason}",
                final=isinstance(refusal, _NO_USE),
            )
        self.counts.delivered += 1
        return life.delivered(step.life, self._course(event), self.clock.now())

    async def _sent(self, event: AsyncEvent, step: Deliver, course: Course) -> None:
        if course.plan is None:
            raise NotFound("the function does not exist any more")
        if step.way is Way.DEAD_LETTER:
            body = event.payload
            attributes = envelope.dead_letter(event, step.life)
        else:
            body = envelope.record(event, step.life, self.clock.now())
            attributes = {}
        if len(body) > envelope.LONGEST:
            raise TooLarge(
                f"the invocation record has {len(body)} bytes, and a destination "
                f"takes {envelope.LONGEST}"
            )
        await self.deliver(
            Parcel(
                event=event,
                plan=course.plan,
                target=step.target,
                body=body,
                attributes=attributes,
            )
        )

    async def _settle(
        self, claim: _Claim, event: AsyncEvent, step: Again | Aside | life.Done
    ) -> None:
        left: Again | Aside | life.Done | None = step
        if isinstance(step, Again):
            again = step
            left = await self._written(lambda: self._later(claim, event, again))
        if isinstance(left, Aside):
            aside = left
            await self._written(lambda: self._aside(event, aside))
        if left is not None:
            await self._written(lambda: self._end(claim))

    async def _unread(self, claim: _Claim, message: Message) -> None:
        """Set a message aside that is no event known here: an older release's, say."""
        self.counts.unreadable += 1
        lane = claim.lane
        summary = await self._written(
            lambda: self.quarantine.put_unread(
                lane.account, lane.target, message.id, message.body, self.clock.now()
            )
        )
        self._told(lane.account, summary)
        await self._written(lambda: self._end(claim))

    async def _written(self, write: Callable[[], Awaitable[_T]]) -> _T:
        """
        Write, as often as it takes: the disk is full, say.

        The event keeps its place until then, so no more wait in memory than are
        worked on at once; and nothing runs that could not be told of.
        """
        # (4)
        while True:
            try:
                return await write()
            except SubstrateError:
                self.counts.unwritten += 1
                await self.pause(PAUSE)

    async def _later(
        self, claim: _Claim, event: AsyncEvent, step: Again
    ) -> Aside | None:
        """Put an event back; give what is to be done if the queue cannot keep it."""
        lane = claim.lane
        wait = max(0.0, step.at - self.clock.now())
        try:
            await self.queue.put_back(
                lane.account,
                queue_of(lane.target),
                claim.lease,
                write(Kept(event=event, life=step.life)),
                delay=wait,
            )
        except (TooLargeError, DamagedError) as cause:
            return Aside(life=step.life, reason=f"the queue cannot keep it: {cause}")
        self.counts.retried += 1
        self.lanes.look(lane.account, lane.target, self.clock.monotonic() + wait)
        return None

    async def _aside(self, event: AsyncEvent, step: Aside) -> None:
        kept, now = Kept(event=event, life=step.life), self.clock.now()
        try:
            summary = await self.quarantine.put(kept, step.reason, now)
        except TooLargeError:
            bare = Kept(event=event, life=life.unanswered(step.life))
            reason = f"{step.reason} (the function's answer was too large to keep)"
            summary = await self.quarantine.put(bare, reason, now)
        self._told(event.account, summary)

    def _told(self, account: str, summary: Summary) -> None:
        self.counts.quarantined += 1
        self.tell(account, summary)

    async def _end(self, claim: _Claim) -> None:
        # (5)
        lane = claim.lane
        name = queue_of(lane.target)
        if await self.queue.acknowledge(lane.account, name, claim.lease, late=True):
            self.intake.gone(lane.account)

    async def _extended(self, claim: _Claim, seconds: float) -> None:
        """Set a claim's end, if the store can; a lease that ends loses nothing."""
        lane = claim.lane
        with suppress(SubstrateError):
            await self.queue.extend(
                lane.account, queue_of(lane.target), claim.lease, seconds
            )

    def _course(self, event: AsyncEvent) -> Course:
        return Course(
            plan=self.plans.plan(event.target),
            hops=event.trace.hops,
            chance=self.chance(),
        )


def _read(message: Message) -> Kept | None:
    try:
        return read(message.body)
    except UnreadableError:
        return None
