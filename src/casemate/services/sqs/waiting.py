"""
Waiting for messages: what a long poll holds is a future and a place in line.

Who waits on a queue stands in its line.  When the substrate says that something
came, or the soonest message that is hidden becomes visible, the first in line is
woken, and after its claim the next, for as long as something is visible: so no
number of waiters asks the store all at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Final, final

from casemate.substrate.ports import Queue as Messages

Place = tuple[str, str]
"""Account, and the name of the messages in the substrate."""

_MOMENT: Final = 1.0
"""Seconds."""


@final
@dataclass(slots=True)
class _Line:
    """Who waits on a queue, and the clock that will wake the first."""

    waiters: deque[asyncio.Future[None]] = field(default_factory=deque)
    alarm: asyncio.TimerHandle | None = None

    def silence(self) -> None:
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None


@final
class Arrivals:
    """Tells who waits when to look."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._lines: dict[Place, _Line] = {}
        self._closed = asyncio.Event()
        messages.watch(lambda account, queue: self.look((account, queue)))

    @property
    def waiting(self) -> int:
        """Count who waits."""
        return sum(len(line.waiters) for line in self._lines.values())

    async def visible(self, place: Place, end: float) -> bool:
        """
        Wait until a message may be visible; False once it is too late.

        end: in the loop's time.  A waiter that was woken must `look` again when
        it has claimed, or those behind it sleep on.
        """
        if self._is_due(place):
            return True
        loop = asyncio.get_running_loop()
        if self._closed.is_set() or loop.time() >= end:
            return False
        waiter: asyncio.Future[None] = loop.create_future()
        line = self._lines.setdefault(place, _Line())
        line.waiters.append(waiter)
        self.look(place)
        try:
            async with asyncio.timeout_at(end):
                await waiter
        except TimeoutError:
            return self._is_due(place)
        except asyncio.CancelledError:
            # It may have been woken in the same moment: the next takes its turn.
            self._leave(place, line, waiter)
            self.look(place)
            raise
        finally:
            self._leave(place, line, waiter)
        return not self._closed.is_set()

    async def pause(self, end: float) -> None:
        """Wait a moment, for what nobody tells of: room among what is claimed."""
        soon = min(end, asyncio.get_running_loop().time() + _MOMENT)
        try:
            async with asyncio.timeout_at(soon):
                await self._closed.wait()
        except TimeoutError:
            return

    def look(self, place: Place) -> None:
        """Wake the first in line if something is visible; else set the clock."""
        line = self._lines.get(place)
        if line is None or not line.waiters:
            return
        line.silence()
        due = self._messages.due_in(*place)
        if due is None:
            return
        if due <= 0:
            waiter = line.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
            return
        loop = asyncio.get_running_loop()
        line.alarm = loop.call_later(due, self.look, place)

    def close(self) -> None:
        """Let everybody go, and nobody wait any more: the platform stops."""
        self._closed.set()
        for line in self._lines.values():
            line.silence()
            for waiter in line.waiters:
                if not waiter.done():
                    waiter.set_result(None)
            line.waiters.clear()

    def _leave(self, place: Place, line: _Line, waiter: asyncio.Future[None]) -> None:
        if waiter in line.waiters:
            line.waiters.remove(waiter)
        if not line.waiters and self._lines.get(place) is line:
            line.silence()
            del self._lines[place]

    def _is_due(self, place: Place) -> bool:
        due = self._messages.due_in(*place)
        return due is not None and due <= 0
