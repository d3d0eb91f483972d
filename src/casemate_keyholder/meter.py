"""How often each verb may be used, so that a taken node cannot mint at will."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from casemate_keyholder.clock import Clock
from casemate_keyholder.refusal import RefusedError


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many a second, and so many at once after a quiet time."""

    per_second: float
    burst: float


@final
class Bucket:
    """A token bucket over monotonic time; counts what it turned away."""

    def __init__(self, rate: Rate, clock: Clock) -> None:
        self._rate = rate
        self._clock = clock
        self._tokens = rate.burst
        self._filled_at = clock.monotonic()
        self.turned_away = 0

    def take(self) -> None:
        """Take one token.  Raises RefusedError `Throttled` if there is none."""
        now = self._clock.monotonic()
        gained = (now - self._filled_at) * self._rate.per_second
        self._filled_at = now
        self._tokens = min(self._rate.burst, self._tokens + gained)
        if self._tokens < 1:
            self.turned_away += 1
            raise RefusedError("Throttled", "this verb is used too often; come back")
        self._tokens -= 1

    def turned_away_since(self) -> int:
        """Give how many were turned away since this was last asked."""
        count, self.turned_away = self.turned_away, 0
        return count
