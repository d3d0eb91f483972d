"""Time, handed in."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol


class Clock(Protocol):
    """
    A source of time.

    `now` is seconds since the epoch and may jump when the host's clock is set;
    `monotonic` is seconds from an arbitrary start and never goes back.
    Deadlines use `monotonic`, records use `now`.
    """

    def now(self) -> float: ...
    def monotonic(self) -> float: ...


@dataclass(frozen=True, slots=True)
class SystemClock:
    """The host's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


def iso(at: float) -> str:
    """Write epoch seconds as `2026-01-31T12:34:56Z`, to the second."""
    return _written(int(at))


@lru_cache(maxsize=256)
def _written(second: int) -> str:
    """Write a second; the calls of one second share the work."""
    moment = datetime.fromtimestamp(second, tz=UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
