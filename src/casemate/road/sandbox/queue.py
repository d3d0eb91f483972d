"""
Calls that wait for a cell: bounded, served in turn by account and by line.

One account's crowd delays only itself (Q9): every round serves at most one call
of each account.  Within an account most functions share a line; one that has
reserved concurrency has its own, so no other's crowd fills it, and the lines
take turns.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
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
    """The calls that wait, by account and line."""

    def __init__(self, per_line: int) -> None:
        """Hold at most so many calls of one line."""
        self._per_line = per_line
        self._accounts: OrderedDict[str, OrderedDict[str, deque[Waiter]]] = (
            OrderedDict()
        )

    def __len__(self) -> int:
        """Count the calls."""
        return sum(
            len(line) for lines in self._accounts.values() for line in lines.values()
        )

    def wants(self, runtime: str) -> int:
        """Count the calls that wait for a runtime."""
        return sum(
            waiter.function.runtime == runtime
            for lines in self._accounts.values()
            for line in lines.values()
            for waiter in line
        )

    def enter(self, function: FunctionVersion) -> Waiter:
        """Join the function's line.  Raises Throttled when it is full."""
        lines = self._accounts.setdefault(function.account, OrderedDict())
        line = lines.setdefault(function.line, deque())
        if len(line) >= self._per_line:
            whose = "function" if function.line else "account"
            raise crowded(f"{len(line)} calls of the {whose} wait for a cell already")
        cell = asyncio.get_running_loop().create_future()
        waiter = Waiter(function, cell)
        line.append(waiter)
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Leave the line; leaving twice is no error."""
        account, name = waiter.function.account, waiter.function.line
        lines = self._accounts.get(account, OrderedDict())
        line = lines.get(name)
        if line is None:
            return
        if waiter in line:
            line.remove(waiter)
        if not line:
            del lines[name]
        if not lines:
            del self._accounts[account]

    def serve(self, find: Callable[[FunctionVersion], Cell | None]) -> None:
        """Give cells out in rounds over the accounts, until a round gives none."""
        while self._round(find):
            continue

    def _round(self, find: Callable[[FunctionVersion], Cell | None]) -> bool:
        served = False
        for account in tuple(self._accounts):
            waiter = self._first(account, find)
            if waiter is not None:
                served = True
                self.leave(waiter)
                self._step_back(waiter.function)
        return served

    def _step_back(self, function: FunctionVersion) -> None:
        """Let the others come first next time."""
        lines = self._accounts.get(function.account)
        if lines is None:
            return
        self._accounts.move_to_end(function.account)
        if function.line in lines:
            lines.move_to_end(function.line)

    def _first(
        self, account: str, find: Callable[[FunctionVersion], Cell | None]
    ) -> Waiter | None:
        """Serve the account's first call that some cell fits."""
        tried: set[tuple[str, str]] = set()
        for waiter in chain.from_iterable(tuple(self._accounts[account].values())):
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
