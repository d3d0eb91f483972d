"""
Counting messages, which takes a while where there are many.

Counts are made away from the loop, one after the other for each account; who
asks for a count that is being made is given that one, which is approximate
enough: no flood of questions makes more work than one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import final
from weakref import WeakValueDictionary

from casemate.substrate.ports import Queue as Messages

Counts = tuple[int, int, int]
"""Visible, in flight, delayed."""

Place = tuple[str, str]
"""Account, and the name of the messages in the substrate."""


@final
@dataclass(slots=True)
class Counting:
    """Counts messages."""

    messages: Messages
    _running: dict[Place, asyncio.Future[Counts]] = field(default_factory=dict)
    _turns: WeakValueDictionary[str, asyncio.Lock] = field(
        default_factory=WeakValueDictionary
    )

    async def of(self, account: str, queue: str) -> Counts:
        """Count the messages of a queue."""
        place = (account, queue)
        running = self._running.get(place)
        if running is None:
            running = asyncio.ensure_future(self._count(place))
            self._running[place] = running
            running.add_done_callback(lambda _: self._running.pop(place))
        return await asyncio.shield(running)

    async def _count(self, place: Place) -> Counts:
        turn = self._turns.setdefault(place[0], asyncio.Lock())
        async with turn:
            return await asyncio.to_thread(self.messages.depth, *place)
