"""A token bucket, pure: time is handed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


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

    def take(self, now: float) -> float:
        """Take a token; give 0, or the seconds until there will be one."""
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        self.at = now
        if self.tokens >= 1:
            self.tokens -= 1
            return 0.0
        return (1 - self.tokens) / self.rate

    def is_full(self, now: float) -> bool:
        """Tell whether nothing would be lost by forgetting this bucket."""
        return self.tokens + (now - self.at) * self.rate >= self.burst

    def is_empty(self, now: float) -> bool:
        """Tell whether there is no token to take."""
        return self.tokens + max(0.0, now - self.at) * self.rate < 1
