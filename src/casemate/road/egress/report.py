"""
What the node is told of one cell: connections handed over, attempts refused.

A cell that tries without end must not fill the record: a few refusals are told
each second, the rest are counted, and the count is told as well.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol, final

from casemate.core.bucket import Bucket
from casemate.core.clock import Clock
from casemate.core.packets import Message

TOLD_PER_SECOND, TOLD_BURST = 5.0, 20.0
IN_FLIGHT = 32
"""Accepted connections of one cell that the node has not been handed yet."""


class Node(Protocol):
    """Where reports go."""

    def send(self, message: Message) -> bool:
        """Send without waiting; False if it was dropped."""
        ...

    def hand(
        self, message: Message, handed: socket.socket, done: Callable[[bool], None]
    ) -> None:
        """Send a socket along, close it here, and say whether it was sent."""
        ...


@final
class Report:
    """Tells the node of one cell."""

    def __init__(self, cell: str, node: Node, clock: Clock) -> None:
        self._cell = cell
        self._node = node
        self._clock = clock
        self._told = Bucket.full(TOLD_PER_SECOND, TOLD_BURST, clock.monotonic())
        self._in_flight = 0
        self._untold = 0
        self._last = ("", "")
        self._later: asyncio.TimerHandle | None = None

    def connection(self, handed: socket.socket, destination: str) -> None:
        """Hand an accepted connection over; it is closed here in any case."""

        def done(sent: bool) -> None:
            self._in_flight -= 1
            if not sent:
                self.refused(destination, "the connection could not be handed over")

        if self._in_flight >= IN_FLIGHT:
            handed.close()
            self.refused(destination, "too many connections at once")
            return
        self._in_flight += 1
        self._node.hand({"verb": "connection", "cell": self._cell}, handed, done)

    def refused(self, destination: str, reason: str) -> None:
        """Tell of a refused attempt, now or as part of a count."""
        self._untold += 1
        self._last = (destination, reason)
        if self._later is None:
            self._tell_or_wait()

    def close(self) -> None:
        """Tell what is still untold; the cell is gone."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        if self._untold:
            self._tell()

    def _tell_or_wait(self) -> None:
        self._later = None
        if not self._untold:
            return
        wait = self._told.take(self._clock.monotonic())
        if wait:
            loop = asyncio.get_running_loop()
            self._later = loop.call_later(wait, self._tell_or_wait)
        else:
            self._tell()

    def _tell(self) -> None:
        """Tell the latest attempt, and how many before it were not told."""
        destination, reason = self._last
        message = {
            "verb": "refused",
            "cell": self._cell,
            "destination": destination,
            "reason": reason,
            "untold": self._untold - 1,
        }
        if self._node.send(message):
            self._untold = 0
