"""
Whose turn it is: a lane for each function that has events waiting.

Turns go round the accounts, and within an account round its functions, one run
at a time: who has many events delays nobody but themselves.  Pure: time is
handed in, in monotonic seconds.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, final

NEVER: Final = math.inf


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """How many events may be worked on at once: in all, of an account, of a lane."""

    workers: int = 64
    account: int = 32
    lane: int = 16


@final
@dataclass(slots=True, eq=False)
class Lane:
    """
    The events of one function.

    due_at: when there may be something to claim.  taken: places that its
    events have, or that were given out for a claim.
    """

    account: str
    target: str
    due_at: float = NEVER
    taken: int = 0


@final
@dataclass(slots=True, eq=False)
class _Account:
    """The lanes of an account, and the places that they have together."""

    lanes: OrderedDict[str, Lane] = field(default_factory=OrderedDict)
    taken: int = 0


@final
class Lanes:
    """All lanes, and the places that there are."""

    def __init__(self, share: Share) -> None:
        self._share = share
        self._accounts: OrderedDict[str, _Account] = OrderedDict()
        self.taken = 0

    def __len__(self) -> int:
        """Count the lanes."""
        return sum(len(account.lanes) for account in self._accounts.values())

    def look(self, account: str, target: str, at: float) -> None:
        """Say that a function's events are to be looked at, at a moment."""
        lanes = self._accounts.setdefault(account, _Account()).lanes
        lane = lanes.get(target)
        if lane is None:
            lane = lanes[target] = Lane(account, target)
        lane.due_at = min(lane.due_at, at)

    def give(self, now: float) -> dict[Lane, int]:
        """Give places out, in rounds over the accounts, to those that are due."""
        given: dict[Lane, int] = {}
        while self._round(now, given):
            continue
        return given

    def back(self, lane: Lane, places: int = 1) -> None:
        """Take places back."""
        lane.taken -= places
        self._accounts[lane.account].taken -= places
        self.taken -= places

    def empty(self, lane: Lane, next_at: float) -> None:
        """Note that a lane has nothing due before a moment; NEVER: nothing at all."""
        lane.due_at = next_at
        self.tidy(lane)

    def tidy(self, lane: Lane) -> None:
        """Forget a lane with nothing in it."""
        account = self._accounts.get(lane.account)
        if lane.taken or lane.due_at != NEVER or account is None:
            return
        account.lanes.pop(lane.target, None)
        if not account.lanes:
            del self._accounts[lane.account]

    def next_at(self) -> float:
        """Give the moment at which a lane with places left is due next."""
        return min(
            (
                lane.due_at
                for account in self._accounts.values()
                if self._room(account)
                for lane in account.lanes.values()
                if lane.taken < self._share.lane
            ),
            default=NEVER,
        )

    def _round(self, now: float, given: dict[Lane, int]) -> bool:
        """Give one place to each account that can use it."""
        gave = False
        for name, account in tuple(self._accounts.items()):
            lane = self._turn(account, now) if self._room(account) else None
            if lane is None:
                continue
            lane.taken += 1
            account.taken += 1
            self.taken += 1
            given[lane] = given.get(lane, 0) + 1
            account.lanes.move_to_end(lane.target)
            self._accounts.move_to_end(name)
            gave = True
        return gave

    def _turn(self, account: _Account, now: float) -> Lane | None:
        for lane in account.lanes.values():
            if lane.due_at <= now and lane.taken < self._share.lane:
                return lane
        return None

    def _room(self, account: _Account) -> bool:
        return self.taken < self._share.workers and account.taken < self._share.account
