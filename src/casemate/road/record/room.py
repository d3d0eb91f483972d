"""
The record room: an entry for every call, opened first and closed on every ending.

1. Opening refuses a call that changes something when the audit log cannot be
   written, and every call when too many records wait already.
2. Each room that the call leaves closes a span.
3. Closing writes one audit record.  That of a mutation is durable before its
   answer; that of a data call is written out and durable with the next group.
   Refusals of those who were never proven are written up to a rate
   (`strangers`).
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field
from typing import Final, Protocol, final

from casemate.core.call import Allowed, Arrival, Inside, Known, Outcome
from casemate.core.clock import Clock
from casemate.core.errors import Refusal
from casemate.road.record import trail
from casemate.road.record.draft import Draft, Facts
from casemate.road.record.metrics import Metrics
from casemate.road.record.story import Recent
from casemate.road.record.strangers import Strangers

_LONG: Final = 16_384
"""Bytes of a body that a draft does not hold on to; the record is written at once."""


class Crashed(Protocol):
    """A failure of the platform itself."""

    @property
    def cause(self) -> BaseException: ...


class Book(Protocol):
    """Where audit records are kept."""

    def check(self, *, durable: bool) -> None: ...
    async def append(self, at: int, data: bytes, /) -> int: ...
    def append_soon(self, at: int, data: bytes | Draft, /) -> None: ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Open the entries of calls."""

    book: Book
    metrics: Metrics
    recent: Recent
    clock: Clock
    strangers: Strangers = field(default_factory=Strangers)

    def __call__(self, arrival: Arrival) -> Entry:
        """Open an entry, or raise a Refusal."""
        self.book.check(durable=arrival.operation.mutates)  # (1)
        return Entry(self, arrival)


@final
class Entry:
    """The open record of one call."""

    __slots__ = ("_passed", "arrival", "room", "who", "why")

    def __init__(self, room: Record, arrival: Arrival) -> None:
        self.room = room
        self.arrival = arrival
        self.who: Known | None = None
        self.why: Allowed | None = None
        self._passed: list[tuple[str, float]] = []

    def known(self, known: Known) -> None:
        """Note who it is."""
        self.who = known

    def allowed(self, allowed: Allowed) -> None:
        """Note why they may."""
        self.why = allowed

    def passed(self, room: str) -> None:
        """Close the span of a room."""
        self._passed.append((room, self.room.clock.monotonic()))  # (2)

    async def close(self, ending: Outcome | Refusal | Crashed | object) -> None:
        """Write the record; raise a Refusal when a mutation's cannot be."""
        clock, operation = self.room.clock, self.arrival.operation
        error, extra, word = _ending(ending)
        extra["rooms"] = self._spans()
        took = clock.monotonic() - self.arrival.started
        self.room.metrics.call(operation.service, operation.name, word, took)
        at = clock.now()
        if self.who is None and error is not None:
            untold = self._untold(ending)
            if untold is None:
                return  # counted, and told with the next that is written
            extra["untold"] = untold
        draft = self._draft(at, error, extra)
        self.room.recent.add(self.arrival.id, draft)
        if operation.mutates:
            await self.room.book.append(int(at * 1000), draft())  # (3)
            return
        claim = self.arrival.claim
        if isinstance(claim, Inside) or len(claim.body) > _LONG:
            draft()
        self.room.book.append_soon(int(at * 1000), draft)

    def _spans(self) -> dict[str, int]:
        """Give and count the microseconds of each room that the call has left."""
        spans, last = {}, self.arrival.started
        for room, at in self._passed:
            self.room.metrics.room(room, at - last)
            spans[room] = int((at - last) * 1_000_000)
            last = at
        return spans

    def _untold(self, ending: object) -> int | None:
        source = self.arrival.cell or self.arrival.peer
        if isinstance(ending, Refusal) and (bound := ending.evidence.get("bound_to")):
            # Good credentials of a cell, out of place: a flood of false ones
            # from the same address must not hide them.
            source = f"credentials of {bound}"
        return self.room.strangers.told(source, self.room.clock.monotonic())

    def _draft(
        self,
        at: float,
        error: tuple[str, str] | None,
        extra: dict[str, object],
    ) -> Draft:
        return Draft(
            Facts(
                arrival=self.arrival,
                known=self.who,
                allowed=self.why,
                at=at,
                error=error,
                extra=extra,
            )
        )


def _ending(
    ending: object,
) -> tuple[tuple[str, str] | None, dict[str, object], str]:
    if isinstance(ending, Outcome):
        notes = {"notes": trail.redact(ending.notes)} if ending.notes else {}
        return None, notes, "ok"
    if isinstance(ending, Refusal):
        evidence = trail.redact(ending.evidence)
        word = type(ending).__name__
        return (ending.code, ending.reason), {"evidence": evidence}, word
    cause = getattr(ending, "cause", None)
    if isinstance(cause, BaseException):
        # The last lines name the error and where it came from.
        crash = trail.redact(traceback.format_exception(cause)[-8:])
        return ("ServiceException", "the platform failed"), {"crash": crash}, "Crash"
    return ("Abandoned", "nobody waits for the answer"), {}, "Abandoned"
