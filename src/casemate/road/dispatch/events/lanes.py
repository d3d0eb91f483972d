"""
Whose turn it is: a lane for each function that has events waiting.

Turns go round the accounts, and within an account round its functions, one run
at a time: who has many events delays nobody but themselves.  A place is held for
as long as a function may run, so some are kept for accounts that have next to
none.  Pure: time is handed in, in monotonic seconds.
"""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, final

from casemate.core.share import Share

NEVER: Final = math.inf


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """
    How many events may be worked on at once: in all, of an account, of a lane.

    kept: of all, what is left to accounts with no more than `floor` of them.
    """

    most: int = 64
    account: int = 32
    lane: int = 16
    kept: int = 16
    floor: int = 2


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
    """The lanes of an account, those that are due in their turn, and their places."""

    lanes: dict[str, Lane] = field(default_factory=dict)
    due: OrderedDict[str, Lane] = field(default_factory=OrderedDict)
    taken: int = 0


@final
class Lanes:
    """
    All lanes, and the places that there are.

    A lane that waits costs nothing until it is due: many functions with a
    little to do must not slow the turns of the others.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._room = Share(
            most=workers.most,
            one=workers.account,
            kept=workers.kept,
            floor=workers.floor,
        )
        self._accounts: dict[str, _Account] = {}
        self._turns: OrderedDict[str, _Account] = OrderedDict()
        self._later: list[tuple[float, int, Lane]] = []
        self._pushed = 0
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
        if at < lane.due_at:
            self._put_off(lane, at)

    def give(self, now: float) -> dict[Lane, int]:
        """Give places out, in rounds over the accounts, to those that are due."""
        self._come_due(now)
        given: dict[Lane, int] = {}
        while self._round(given):
            continue
        return given

    def back(self, lane: Lane, places: int = 1) -> None:
        """Take places back."""
        lane.taken -= places
        self._accounts[lane.account].taken -= places
        self.taken -= places

    def empty(self, lane: Lane, next_at: float) -> None:
        """Note that a lane has nothing due before a moment; NEVER: nothing at all."""
        self._not_due(lane)
        self._put_off(lane, next_at)
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
        ready = (
            lane.due_at
            for account in self._turns.values()
            if (lane := self._turn(account)) is not None
        )
        while self._later and not self._is_later(*self._later[0]):
            heapq.heappop(self._later)
        waits = self._later[0][0] if self._later else NEVER
        return min(min(ready, default=NEVER), waits)

    def _put_off(self, lane: Lane, at: float) -> None:
        lane.due_at = at
        if at == NEVER:
            return
        self._pushed += 1
        heapq.heappush(self._later, (at, self._pushed, lane))

    def _is_later(self, at: float, _pushed: int, lane: Lane) -> bool:
        """Tell whether an entry still says when its lane is due."""
        account = self._accounts.get(lane.account)
        return (
            account is not None
            and account.lanes.get(lane.target) is lane
            and lane.due_at == at
            and lane.target not in account.due
        )

    def _come_due(self, now: float) -> None:
        while self._later and self._later[0][0] <= now:
            entry = heapq.heappop(self._later)
            if self._is_later(*entry):
                lane = entry[2]
                account = self._accounts[lane.account]
                account.due[lane.target] = lane
                self._turns.setdefault(lane.account, account)

    def _not_due(self, lane: Lane) -> None:
        account = self._accounts[lane.account]
        account.due.pop(lane.target, None)
        if not account.due:
            self._turns.pop(lane.account, None)

    def _round(self, given: dict[Lane, int]) -> bool:
        """Give one place to each account that can use it."""
        gave = False
        for name, account in tuple(self._turns.items()):
            lane = self._turn(account)
            if lane is None:
                continue
            lane.taken += 1
            account.taken += 1
            self.taken += 1
            given[lane] = given.get(lane, 0) + 1
            account.due.move_to_end(lane.target)
            self._turns.move_to_end(name)
            gave = True
        return gave

    def _turn(self, account: _Account) -> Lane | None:
        """Find the lane whose turn it is; few are full, for an account has a bound."""
        if not self._room.fits(own=account.taken + 1, together=self.taken + 1):
            return None
        for lane in account.due.values():
            if lane.taken < self._workers.lane:
                return lane
        return None
