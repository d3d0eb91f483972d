"""
Calls that wait for a cell: bounded for each account, served in turn by account.

One account's crowd delays only itself (Q9): every round serves at most one call
of each account.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from casemate.core.errors import Throttled
from casemate.core.function import FunctionVersion
from casemate.road.sandbox.cell import Cell


@final
@dataclass(frozen=True, slots=True, eq=False)
class Waiter:
    """One call that waits; `cell` is done when it has one."""

    function: FunctionVersion
    cell: asyncio.Future[Cell]


@final
class WaitingRoom:
    """The calls that wait, by account."""

    def __init__(self, per_account: int) -> None:
        """Hold at most so many calls of one account."""
        self._per_account = per_account
        self._queues: OrderedDict[str, deque[Waiter]] = OrderedDict()

    def __len__(self) -> int:
        """Count the calls."""
        return sum(len(queue) for queue in self._queues.values())

    def wants(self, runtime: str) -> int:
        """Count the calls that wait for a runtime."""
        return sum(
            waiter.function.runtime == runtime
            for queue in self._queues.values()
            for waiter in queue
        )

    def enter(self, function: FunctionVersion) -> Waiter:
        """Join the queue of the account.  Raises Throttled when it is full."""
        queue = self._queues.setdefault(function.account, deque())
        if len(queue) >= self._per_account:
            raise crowded(f"{len(queue)} calls of the account wait for a cell already")
        cell = asyncio.get_running_loop().create_future()
        waiter = Waiter(function, cell)
        queue.append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Leave the queue; leaving twice is no error."""
        queue = self._queues.get(waiter.function.account)
        if queue is None:
            return
        if waiter in queue:
            queue.remove(waiter)
        if not queue:
            del self._queues[waiter.function.account]

    def serve(self, find: Callable[[FunctionVersion], Cell | None]) -> None:
        """Give cells out in rounds over the accounts, until a round gives none."""
        while self._round(find):
            continue

    def _round(self, find: Callable[[FunctionVersion], Cell | None]) -> bool:
        served = False
        for account in tuple(self._queues):
            waiter = self._first(account, find)
            if waiter is not None:
                served = True
                self.leave(waiter)
                if account in self._queues:
                    self._queues.move_to_end(account)
        return served

    def _first(
        self, account: str, find: Callable[[FunctionVersion], Cell | None]
    ) -> Waiter | None:
        """Serve the account's first call that some cell fits."""
        tried: set[tuple[str, str]] = set()
        for waiter in self._queues[account]:
            if waiter.cell.done():
                continue
            kind = (waiter.function.arn, waiter.function.revision)
            if kind in tried:
                continue
            tried.add(kind)
            cell = find(waiter.function)
            if cell is not None:
                waiter.cell.set_result(cell)
                return waiter
        return None


def crowded(reason: str) -> Throttled:
    """Make the refusal of a call that found no cell in time."""
    return Throttled(
        f"{reason}; retry later, or with fewer calls at once",
        members={"Reason": "ConcurrentInvocationLimitExceeded", "Type": "User"},
        retry_after=1,
    )
