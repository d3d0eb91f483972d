"""
Signatures that were accepted, for a platform that takes each of them once.

SigV4 has no nonce: whoever has captured a signed request can send it again while
its time holds, and AWS carries it out again.  With `--replay refuse` a call that
does anything but read is taken once for each signature:

1. It may be dated at most `AHEAD` seconds ahead, and a presigned one may be good
   for at most `SKEW` seconds, so that nothing has to be remembered for long.
2. What was dated before this node could remember is not taken: a restart does not
   open a window again.  That is everything before the start and `AHEAD` seconds
   beyond, because a call of before the start may have been dated so far ahead.
3. Nor is what this node has forgotten, also if the clock was set back since.
4. A signature that is remembered is refused, in a way that an honest client takes
   for a reason to sign again: two equal calls in one second have one signature.
5. Where an account's room is full, its next call is refused: to forget one early
   would be to take it twice.

The end of a signature's time is signed with it, so a signature is looked for among
those that end in the same second, and those are forgotten together.

Not done: reads, which change nothing; more than one node; a clock of the host that
was set back while the platform was down.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final, final

from casemate.core.errors import Throttled, Unavailable
from casemate.core.share import Share
from casemate.road.authn.sigv4 import SKEW
from casemate.road.authn.sigv4_claims import Claims
from casemate.road.authn.sigv4_faults import Dialect, Fault, refusal

AHEAD: Final = 5
"""Seconds that a call may be dated ahead of this clock."""
ROOM: Final = Share(most=1_000_000, one=250_000, kept=250_000, floor=10_000)
"""Signatures remembered, some 110 bytes each; an account's is 800 calls a second."""
_DIGITS: Final = 32
"""Hex digits of a signature that are kept: nobody finds a second one of 128 bits."""


@final
@dataclass(slots=True)
class _Second:
    """What ends in one second: the signatures, and whose they are."""

    signatures: set[bytes] = field(default_factory=set)
    accounts: Counter[str] = field(default_factory=Counter)


@final
class Replays:
    """Remembers each accepted signature until its time is over."""

    def __init__(self, *, since: float, room: Share = ROOM) -> None:
        """since: epoch seconds at which this node began to remember."""
        self._since = since
        self._room = room
        self._seconds: dict[int, _Second] = {}
        self._order: list[int] = []
        self._counts: Counter[str] = Counter()
        self._together = 0
        self._forgotten = 0

    def __len__(self) -> int:
        """Count the signatures that are remembered."""
        return self._together

    def opens_in(self, now: float) -> float:
        """Seconds until what is signed now is dated late enough to be taken (2)."""
        return max(0.0, self._since + AHEAD + 1 - now)

    def take(self, claims: Claims, account: str, now: float, dialect: Dialect) -> None:
        """
        Take a proven signature, once.

        account: whose key it was.  now: epoch seconds.  Raises Throttled for one
        that came before, or where there is no room; Unavailable where it cannot be
        known; Unauthenticated where its dates are out of bounds.
        """
        self._forget(now)
        _in_bounds(claims, now, dialect)  # (1)
        if claims.at <= self._since + AHEAD:  # (2)
            raise Unavailable(
                "the request was signed before this node could remember signatures, "
                "so it may have come before; sign it again",
                retry_after=AHEAD,
                evidence={"fault": "before the start", "provenAccount": account},
            )
        end = claims.at + (SKEW if claims.expires is None else claims.expires)
        if end <= self._forgotten:  # (3)
            raise refusal(
                Fault.SKEWED, "Signature expired: sign the request again", dialect
            )
        signature = bytes.fromhex(claims.signature[:_DIGITS])
        second = self._seconds.get(end)
        if second is not None and signature in second.signatures:  # (4)
            raise _replayed(account)
        if not self._room.fits(  # (5)
            own=self._counts[account] + 1, together=self._together + 1
        ):
            raise Throttled(
                "this platform takes each signature once, and the account has no "
                "room to remember another; retry when earlier ones have expired",
                retry_after=1,
                evidence={"fault": "replays full", "provenAccount": account},
            )
        if second is None:
            second = self._seconds[end] = _Second()
            heappush(self._order, end)
        second.signatures.add(signature)
        second.accounts[account] += 1
        self._counts[account] += 1
        self._together += 1

    def _forget(self, now: float) -> None:
        """Forget what has had its time: `sigv4` takes a second for over after it."""
        while self._order and self._order[0] < now:
            end = heappop(self._order)
            second = self._seconds.pop(end)
            self._counts.subtract(second.accounts)
            for account in second.accounts:
                if not self._counts[account]:
                    del self._counts[account]
            self._together -= len(second.signatures)
            self._forgotten = end


def _in_bounds(claims: Claims, now: float, dialect: Dialect) -> None:
    if claims.at - now > AHEAD:
        raise refusal(
            Fault.SKEWED,
            f"Signature not yet current: `{claims.stamp}` is more than {AHEAD} "
            "seconds ahead, which this platform does not take of a call that "
            "changes or runs something; check the clock",
            dialect,
        )
    if claims.expires is not None and claims.expires > SKEW:
        raise refusal(
            Fault.EXPIRED,
            f"this platform takes each signature once, so a presigned call that "
            f"changes or runs something may be good for {SKEW} seconds; sign for "
            "less",
            dialect,
        )


def _replayed(account: str) -> Throttled:
    # A code by which clients try again: they sign anew, with a later date, and go
    # through; whoever has nothing but the bytes does not.
    return Throttled(
        "this signature was accepted already, and this platform takes each one once "
        "for a call that changes or runs something; sign the request again, in "
        "another second or with something in it that differs",
        retry_after=1,
        evidence={"fault": "replayed", "provenAccount": account},
    )
