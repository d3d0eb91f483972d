"""A time for leases and expiries that never goes back while the process lives."""

from __future__ import annotations

from typing import final

from casemate.core.clock import Clock


@final
class SteadyTime:
    """
    Epoch seconds that follow the host's clock forward, and never back.

    When the clock is set back, time goes on from where it was: nothing that
    has expired comes to life again, and no lease grows.  When it is set
    forward, time follows: leases end early, so a message may come twice,
    which a queue permits, but nothing that was acknowledged comes back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._base = clock.now() - clock.monotonic()

    def now(self) -> float:
        """Give the time.  Any thread may ask."""
        wall, running = self._clock.now(), self._clock.monotonic()
        base = wall - running
        if base > self._base:
            self._base = base
            return wall
        return self._base + running
