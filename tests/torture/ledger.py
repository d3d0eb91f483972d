"""
What was acknowledged, and what became of it.

An event is lost if it was acknowledged, has no effect, and is not in quarantine; a
message if it was acknowledged and never received.  An effect or a receipt beyond
the first is a duplicate: at least once allows as many as were worked on when
something was killed.  A message that comes back after its
deletion was acknowledged is a fault.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from casemate.road.dispatch.events.lanes import Workers

AT_ONCE: Final = Workers().account
"""Events of one account that are worked on at once."""
BATCH: Final = 10
"""Messages that the one consumer holds."""


@dataclass(slots=True)
class Ledger:
    """Numbers of events and messages; threads add to it."""

    numbers: itertools.count[int] = field(default_factory=itertools.count)
    events: dict[int, float] = field(default_factory=dict)
    """Acknowledged, and when: seconds of the monotonic clock."""
    sent: dict[int, float] = field(default_factory=dict)
    received: Counter[int] = field(default_factory=Counter)
    deleted: dict[int, float] = field(default_factory=dict)
    late: set[int] = field(default_factory=set)
    """Acknowledged after the power was cut: there would have been nobody to hear."""
    back: set[int] = field(default_factory=set)
    ran: Counter[int] = field(default_factory=Counter)
    aside: set[int] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)

    def hear(self, number: int) -> None:
        """Note a message that was received."""
        self.received[number] += 1
        if number in self.deleted:
            self.back.add(number)

    def retract(self, since: float) -> None:
        """
        Take back what was heard after a cut began.

        An fsync that is under way while ext4 is shut down may still return success
        for a journal that was aborted; with its power cut, a machine says nothing.
        """
        for heard in (self.events, self.sent, self.deleted):
            for number in [n for n, at in heard.items() if at >= since]:
                self.late.add(number)
                del heard[number]

    def lost(self) -> dict[str, set[int]]:
        """Give what was acknowledged and is nowhere."""
        found = {
            "events": self.events.keys() - self.ran.keys() - self.aside,
            "messages": self.sent.keys() - self.received.keys(),
        }
        return {kind: numbers for kind, numbers in found.items() if numbers}

    def duplicates(self) -> dict[str, int]:
        """Count what happened more than once."""
        return {
            "effects": _beyond(self.ran.values()),
            "receipts": _beyond(self.received.values()),
        }

    def faults(self, kills: int) -> list[str]:
        """Say what broke a promise."""
        found = [f"lost {kind}: {_some(n)}" for kind, n in self.lost().items()]
        if self.back:
            found.append(f"messages back after their deletion: {_some(self.back)}")
        bounds = {
            "effects": kills * AT_ONCE,
            "receipts": kills * BATCH,
        }
        found += [
            f"{count} {kind} too many, in flight at {kills} kills: {bounds[kind]}"
            for kind, count in self.duplicates().items()
            if count > bounds[kind]
        ]
        return found


def _beyond(counts: Iterable[int]) -> int:
    return sum(count - 1 for count in counts)


def _some(numbers: set[int]) -> str:
    first = ", ".join(str(number) for number in sorted(numbers)[:10])
    return f"{len(numbers)} ({first})"
