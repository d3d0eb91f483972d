"""
Taking events: durable first, then acknowledged.

An account may have so many events waiting and so many in quarantine; past
either bound it is told so, and nothing that was taken is dropped for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, final

from casemate.core.clock import Clock
from casemate.core.errors import Throttled, TooLarge, Unavailable
from casemate.core.event import AsyncEvent
from casemate.road.dispatch.events.kept import Kept, UnreadableError, read, write
from casemate.road.dispatch.events.lanes import Lanes
from casemate.road.dispatch.events.life import LONGEST_WAIT, born, redriven
from casemate.road.dispatch.events.quarantine import Quarantine
from casemate.substrate.ports import FullError, Queue, QueueFullError, TooLargeError

PREFIX: Final = "lambda.events/"


def queue_of(target: str) -> str:
    """Name the queue of a function's events."""
    return f"{PREFIX}{target}"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of one account: events that wait, and events in quarantine."""

    waiting: int = 100_000
    quarantined: int = 10_000


@final
class Intake:
    """Takes events of all accounts."""

    def __init__(
        self,
        *,
        queue: Queue,
        quarantine: Quarantine,
        lanes: Lanes,
        clock: Clock,
        bounds: Bounds,
    ) -> None:
        self._queue = queue
        self._quarantine = quarantine
        self._lanes = lanes
        self._clock = clock
        self._bounds = bounds
        self._waiting: dict[str, int] = {}
        self._decided: set[tuple[str, str]] = set()
        self.wake: Callable[[], None] = asyncio.Event().set
        """Called when there may be something to do; the driver puts its own here."""

    async def recover(self, accounts: Iterable[str]) -> None:
        """Find what an earlier run of the platform left."""
        for account in accounts:
            for name in self._queue.names(account, prefix=PREFIX):
                # A clock that was set back while nothing ran must delay nothing.
                await self._queue.hasten(account, name, LONGEST_WAIT)
                self._count(account, sum(self._queue.depth(account, name)))
                self._look(account, name.removeprefix(PREFIX))

    async def accept(self, event: AsyncEvent) -> None:
        """
        Take an event; return once it is durable.

        Raises Throttled when the account has too many, TooLarge, Unavailable.
        """
        self._room(event.account)
        kept = Kept(event=event, life=born(self._clock.now()))
        await self._send(event.account, event.target, write(kept))

    async def redrive(self, account: str, identifier: str, hops: int) -> bool:
        """
        Take an event out of quarantine and begin it again, under its own id.

        Its hops are counted anew, from those that led to the decision: somebody has
        looked at it and wants it to go on, and a function that does so is no way
        around the count.
        False if it is not there.  A crash in between leaves it in both places:
        at least once, as ever.  Raises TooLarge, Throttled, Unavailable; then it
        stays where it is.
        """
        found = self._quarantine.find(account, identifier)
        if found is None:
            return False
        summary, data = found
        with self._deciding(account, identifier) as mine:
            if mine:
                await self._send(account, summary.target, self._redriven(data, hops))
                await self._removed(account, identifier)
        return mine

    def _redriven(self, data: bytes, hops: int) -> bytes:
        """Begin a life again; what cannot be read goes back as it was."""
        try:
            kept = read(data)
        except UnreadableError:
            return data
        life = redriven(kept.life, self._clock.now())
        trace = replace(kept.event.trace, hops=hops)
        return write(Kept(event=replace(kept.event, trace=trace), life=life))

    async def dispose(self, account: str, identifier: str) -> bool:
        """Forget an event in quarantine for good; False if it is not there."""
        if self._quarantine.find(account, identifier) is None:
            return False
        with self._deciding(account, identifier) as mine:
            if mine:
                await self._removed(account, identifier)
        return mine

    @contextmanager
    def _deciding(self, account: str, identifier: str) -> Iterator[bool]:
        """Let one decision at a time be made on an event; False for a second."""
        place = (account, identifier)
        if place in self._decided:
            yield False
            return
        self._decided.add(place)
        try:
            yield True
        finally:
            self._decided.discard(place)

    async def _removed(self, account: str, identifier: str) -> None:
        try:
            await self._quarantine.remove(account, identifier)
        except FullError as cause:
            raise _full() from cause

    def gone(self, account: str) -> None:
        """Note that an event does not wait any more."""
        self._count(account, -1)

    def waiting(self) -> int:
        """Count the events that wait or run."""
        return sum(self._waiting.values())

    async def _send(self, account: str, target: str, body: bytes) -> None:
        self._count(account, 1)
        try:
            await self._queue.send(account, queue_of(target), body)
        except BaseException as cause:
            self._count(account, -1)
            if isinstance(cause, TooLargeError):
                raise TooLarge(
                    f"the event with what is kept of it has {len(body)} bytes, which "
                    "is more than the queue takes"
                ) from cause
            if isinstance(cause, QueueFullError):
                raise _crowded(
                    f"what waits in queues of account `{account}` has as many "
                    "bytes as it may have; wait for some to end"
                ) from cause
            if isinstance(cause, FullError):
                raise _full() from cause
            raise
        self._look(account, target)

    def _look(self, account: str, target: str) -> None:
        self._lanes.look(account, target, self._clock.monotonic())
        self.wake()

    def _count(self, account: str, more: int) -> None:
        total = self._waiting.get(account, 0) + more
        if total:
            self._waiting[account] = total
        else:
            self._waiting.pop(account, None)

    def _room(self, account: str) -> None:
        if self._waiting.get(account, 0) >= self._bounds.waiting:
            raise _crowded(
                f"{self._bounds.waiting} asynchronous events of account `{account}` "
                "wait already, which is the limit; wait for some to end"
            )
        if self._quarantine.count(account) >= self._bounds.quarantined:
            raise _crowded(
                f"the quarantine of account `{account}` is full: "
                f"{self._bounds.quarantined} events had nowhere to go; redrive or "
                "dispose of them (`casemate quarantine`), and give the function a "
                "destination for its failures"
            )


def _crowded(reason: str) -> Throttled:
    return Throttled(
        reason,
        members={"Reason": "CallerRateLimitExceeded", "Type": "User"},
        retry_after=1,
    )


def _full() -> Unavailable:
    return Unavailable(
        "the platform's disk is full, so the event was not taken; ask the operator "
        "for space and try again",
        code="ServiceException",
    )
