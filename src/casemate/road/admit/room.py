"""
The admit room: from a sound call to one that holds a place.

1. Calls that change something are counted against their account's rate.
2. Every call holds a place while it runs: one of those that its account's calls
   share, or, if it runs a function that has a share of its own, one of that
   share, never another.  What is set aside is taken from what is shared.  One
   that mostly waits holds one of those for waiting, so that consumers of queues
   that are empty keep nobody from working.

No account can take another's places or rate; the cells' own limits (memory of
the host, a function's share) are the pool's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Final, Protocol, final

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


Place = tuple[dict[str, int], str]
"""A place that is taken: among which, and in whose name."""


class Share(Protocol):
    """Places that are set aside.  name: for what, not an account.  most: how many."""

    @property
    def name(self) -> str: ...
    @property
    def most(self) -> int: ...


class Shares(Protocol):
    """Knows what is set aside; asked at every call, so it must answer at once."""

    def share(self, sound: Sound, /) -> Share | None:
        """Give the share that a call takes its place of; None: the account's."""
        ...

    def places(self, account: str, /) -> int:
        """Count the places of an account that are set aside."""
        ...


@dataclass(slots=True, kw_only=True)
class Admit:
    """Find room for a call."""

    limits: Limits
    shares: Shares
    clock: Clock
    _inside: dict[str, int] = field(default_factory=dict)
    _waiting: dict[str, int] = field(default_factory=dict)
    _buckets: dict[str, Bucket] = field(default_factory=dict)

    def __call__(self, sound: Sound) -> AbstractAsyncContextManager[Admitted]:
        """Hold a place for the length of the context, or raise Throttled."""
        return _Place(self, sound)

    def enter(self, sound: Sound) -> Place:
        """Take a place, or raise Throttled."""
        account = sound.allowed.known.principal.account
        if sound.allowed.known.arrival.operation.mutates:
            self._count(account)  # (1)
        if sound.allowed.known.arrival.operation.waits:  # (2)
            return self._take(self._waiting, account, self.limits.waiting, _waits)
        share = self.shares.share(sound)
        if share is not None:
            return self._take(self._inside, share.name, share.most, _reserved)
        shared = self.limits.places - self.shares.places(account)
        return self._take(self._inside, account, shared, _crowded)

    @staticmethod
    def _take(
        taken: dict[str, int],
        holder: str,
        most: int,
        refused: Callable[[str, int], Throttled],
    ) -> Place:
        count = taken.get(holder, 0)
        if count >= most:
            raise refused(holder, count)
        taken[holder] = count + 1
        return taken, holder

    def inside(self) -> int:
        """Count the calls that hold a place."""
        return sum(self._inside.values())

    def waiting(self) -> int:
        """Count the calls that wait for something to come."""
        return sum(self._waiting.values())

    @staticmethod
    def leave(place: Place) -> None:
        """Give a place back."""
        taken, holder = place
        left = taken[holder] - 1
        if left:
            taken[holder] = left
        else:
            del taken[holder]

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

    __slots__ = ("_admit", "_place", "_sound")

    def __init__(self, admit: Admit, sound: Sound) -> None:
        self._admit = admit
        self._sound = sound
        self._place: Place | None = None

    async def __aenter__(self) -> Admitted:
        self._place = self._admit.enter(self._sound)
        return Admitted(sound=self._sound)

    async def __aexit__(self, *_ending: object) -> None:
        if self._place is not None:
            self._admit.leave(self._place)


def _crowded(account: str, taken: int) -> Throttled:
    return Throttled(
        f"account `{account}` has {taken} calls running, which is its limit, less what "
        "is reserved; wait for some to end, or ask the operator for more",
        members={"Reason": "ConcurrentInvocationLimitExceeded"},
        retry_after=1,
    )


def _waits(account: str, taken: int) -> Throttled:
    return Throttled(
        f"account `{account}` has {taken} calls waiting, which is its limit; wait for "
        "some to end, or ask the operator for more",
        members={"Reason": "ConcurrentInvocationLimitExceeded"},
        retry_after=1,
    )


def _reserved(function: str, taken: int) -> Throttled:
    return Throttled(
        f"`{function}` has {taken} calls running, which is all that is reserved for "
        "it; wait for some to end, or reserve more with PutFunctionConcurrency",
        members={"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"},
        retry_after=1,
        final=not taken,  # None is running and yet all is taken: a share of 0.
    )
