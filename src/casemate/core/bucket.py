"""A token bucket, pure: time is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self, final


@final
@dataclass(slots=True, kw_only=True)
class Bucket:
    """
    Up to `burst` tokens, refilled at `rate` a second.

    at: monotonic seconds of the last refill.
    """

    rate: float
    burst: float
    tokens: float
    at: float

    @classmethod
    def full(cls, rate: float, burst: float, now: float) -> Self:
        """Make a bucket with all its tokens."""
        return cls(rate=rate, burst=burst, tokens=burst, at=now)

    def take(self, now: float) -> float:
        """Take a token; give 0, or the seconds until there will be one."""
        self._fill(now)
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.rate

    def spend(self, amount: float, now: float) -> bool:
        """Take so many tokens if they are all there; they are never borrowed."""
        self._fill(now)
        if amount > self.tokens:
            return False
        self.tokens -= amount
        return True

    def is_full(self, now: float) -> bool:
        """Tell whether nothing would be lost by forgetting this bucket."""
        return self.tokens + (now - self.at) * self.rate >= self.burst

    def is_empty(self, now: float) -> bool:
        """Tell whether there is no token to take."""
        return self.tokens + max(0.0, now - self.at) * self.rate < 1

    def _fill(self, now: float) -> None:
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now
