"""
The admit room: from a sound call to one that holds a place.

1. Calls that change something are counted against their account's rate.
2. Every call holds one of its account's places while it runs; one that mostly
   waits holds one of those for waiting, so that consumers of queues that are
   empty keep nobody from working.

No account can take another's places or rate; the cells' own limits (memory of
the host, a function's share) are the pool's.
"""

from __future__ import annotations

import math
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, final

from casemate.core.bucket import Bucket
from casemate.core.call import Admitted, Sound
from casemate.core.clock import Clock
from casemate.core.errors import Throttled

_FORGET_AT: Final = 10_000
"""Buckets kept before those that are full again are forgotten."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    The limits of one account.

    places: calls at once (Lambda's account limit is 1,000).  waiting: calls at
    once that wait for something to come.  changes: calls a
    second that change something (AWS's own limit for Lambda is 15); burst: how
    many of those at once.
    """

    places: int = 1000
    waiting: int = 1000
    changes: float = 20.0
    burst: int = 500


@dataclass(slots=True, kw_only=True)
class Admit:
    """Find room for a call."""

    limits: Limits
    clock: Clock
    _inside: dict[str, int] = field(default_factory=dict)
    _waiting: dict[str, int] = field(default_factory=dict)
    _buckets: dict[str, Bucket] = field(default_factory=dict)

    def __call__(self, sound: Sound) -> AbstractAsyncContextManager[Admitted]:
        """Hold a place for the length of the context, or raise Throttled."""
        return _Place(self, sound)

    def enter(self, sound: Sound) -> None:
        """Take a place, or raise Throttled."""
        account = sound.allowed.known.principal.account
        if sound.allowed.known.arrival.operation.mutates:
            self._count(account)  # (1)
        inside, most = self._places(sound)
        taken = inside.get(account, 0)
        if taken >= most:  # (2)
            doing = "waiting" if inside is self._waiting else "running"
            raise Throttled(
                f"account `{account}` has {taken} calls {doing}, which is its limit; "
                "wait for some to end, or ask the operator for more",
                members={"Reason": "ConcurrentInvocationLimitExceeded"},
                retry_after=1,
            )
        inside[account] = taken + 1

    def inside(self) -> int:
        """Count the calls that hold a place."""
        return sum(self._inside.values())

    def waiting(self) -> int:
        """Count the calls that wait for something to come."""
        return sum(self._waiting.values())

    def leave(self, sound: Sound) -> None:
        """Give a place back."""
        account = sound.allowed.known.principal.account
        inside, _ = self._places(sound)
        left = inside[account] - 1
        if left:
            inside[account] = left
        else:
            del inside[account]

    def _places(self, sound: Sound) -> tuple[dict[str, int], int]:
        """Give the places that a call may have: who is in them, and their number."""
        if sound.allowed.known.arrival.operation.waits:
            return self._waiting, self.limits.waiting
        return self._inside, self.limits.places

    def _count(self, account: str) -> None:
        now = self.clock.monotonic()
        bucket = self._buckets.get(account)
        if bucket is None:
            self._forget(now)
            bucket = self._buckets[account] = Bucket.full(
                self.limits.changes, self.limits.burst, now
            )
        if wait := bucket.take(now):
            raise Throttled(
                f"account `{account}` changes things faster than its rate of "
                f"{self.limits.changes:g} a second; slow down and try again",
                members={"Reason": "CallerRateLimitExceeded"},
                retry_after=math.ceil(wait),
            )

    def _forget(self, now: float) -> None:
        if len(self._buckets) < _FORGET_AT:
            return
        for account in [a for a, b in self._buckets.items() if b.is_full(now)]:
            del self._buckets[account]


@final
class _Place:
    """A call's place, as a context; a generator's costs four times as much."""

    __slots__ = ("_admit", "_sound")

    def __init__(self, admit: Admit, sound: Sound) -> None:
        self._admit = admit
        self._sound = sound

    async def __aenter__(self) -> Admitted:
        self._admit.enter(self._sound)
        return Admitted(sound=self._sound)

    async def __aexit__(self, *_ending: object) -> None:
        self._admit.leave(self._sound)
