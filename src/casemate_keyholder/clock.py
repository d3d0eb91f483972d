"""
Time that does not go back.

A host whose clock is set back must not revive what has expired, so the largest
time seen is kept on disk, and time never falls below it (a token refused as
expired is refused for good).  A clock that was once far ahead leaves a mark
far ahead: sessions are then counted from the mark, so they still last as long
as was asked; the start-up facts say how far behind the host's clock is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol, final

from casemate_keyholder.vault import Memory, Vault

_NAME = "clock.sealed"
COARSE = 60.0
"""Seconds between marks on disk in quiet times."""
_FINE = 1.0


class Clock(Protocol):
    """
    The host's time.

    now: seconds since the epoch, may jump.  monotonic: seconds, never back.
    """

    def now(self) -> float:
        """Read the wall clock."""
        ...

    def monotonic(self) -> float:
        """Read the clock that only goes forward."""
        ...


@final
@dataclass(frozen=True, slots=True)
class SystemClock:
    """The clock of the machine."""

    def now(self) -> float:
        """Read the wall clock."""
        return time.time()

    def monotonic(self) -> float:
        """Read the clock that only goes forward."""
        return time.monotonic()


@final
class HighWater:
    """The host's clock, held above the largest time ever seen."""

    def __init__(self, clock: Clock, vault: Vault) -> None:
        self._clock = clock
        self._vault = vault
        memory = vault.load(_NAME, lambda: {"mark": clock.now()})
        self._kept = _seconds(memory)
        self._mark = self._kept
        self._since = clock.monotonic()

    def now(self) -> float:
        """Give seconds since the epoch, never less than before, restarts included."""
        ticked = self._clock.monotonic()
        self._mark = max(self._clock.now(), self._mark + ticked - self._since)
        self._since = ticked
        return self._mark

    def behind(self) -> float:
        """Tell by how many seconds the host's clock is behind the mark."""
        return max(0.0, self.now() - self._clock.now())

    def tick(self) -> None:
        """Keep the mark on disk if the one there is a minute old."""
        self._keep(COARSE)

    def expired(self) -> None:
        """Keep the mark because something was just refused as expired."""
        self._keep(_FINE)

    def _keep(self, age: float) -> None:
        now = self.now()
        if now - self._kept >= age:
            self._vault.keep(_NAME, {"mark": now})
            self._kept = now


def _seconds(memory: Memory) -> float:
    mark = memory["mark"]
    if not isinstance(mark, int | float):
        raise TypeError("the clock's mark is no number")
    return float(mark)
