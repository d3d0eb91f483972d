"""
A streamed answer on its way out of a cell: counted, paced, and held back.

Lambda lets the first 6 MB of a streamed answer through as fast as they come, then
2 MB a second, and 200 MB in all.  A small chunk costs the node as much as a large
one, so for its pace each counts as 512 bytes at the least.  The cell is held back
by not reading its socket: while its pace asks for it, and while the sink has no
room, because its reader is slower still.  Without a sink the answer is gathered
whole, under the limit of one that is not streamed.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Protocol, final

from casemate.core.clock import Clock
from casemate.core.function import Sink
from casemate.road.sandbox.frames import RESPONSE_LIMIT

_MIB: Final = 1 << 20
_LEAST: Final = 512
"""Bytes that a chunk counts for at the least."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """
    What a streamed answer may take.

    most: bytes in all.  burst: bytes at its start that nothing holds back.  rate:
    bytes a second after these.
    """

    most: int = 200 * _MIB
    burst: int = 6 * _MIB
    rate: int = 2 * _MIB


@final
class Pace:
    """
    When the next bytes may come, of those that came: pure, time is handed in.

    What a slow function does not use it cannot use later.
    """

    def __init__(self, limits: StreamLimits) -> None:
        self._limits = limits
        self._free = limits.burst
        self._due = 0.0

    def wait(self, count: int, now: float) -> float:
        """Count bytes that came; give the seconds to wait before the next."""
        beyond = max(0, count - self._free)
        self._free = max(0, self._free - count)
        if not beyond:
            return 0.0
        self._due = max(self._due, now) + beyond / self._limits.rate
        return self._due - now


class Tap(Protocol):
    """What bytes come out of."""

    def hold(self) -> None:
        """Let no more come."""
        ...

    def release(self) -> None:
        """Let more come."""
        ...


@final
class Inflow:
    """
    The way of one invocation's streamed answer.

    limit: bytes of it in all.  broken: it ended before its end, so what the
    runtime still does with it is unknown, and its cell is not used again.
    """

    def __init__(self, sink: Sink | None, limits: StreamLimits, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._pace = Pace(limits)
        self._gathered = bytearray()
        self._count = 0
        self._tap: Tap | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._crowded = False
        self.broken = False
        self.limit = limits.most if sink is not None else RESPONSE_LIMIT

    def open(self, tap: Tap) -> None:
        """Begin: the cell answers with a stream."""
        self._tap = tap
        if self._sink is not None:
            self._sink.begin()

    def take(self, data: bytes, *, chunks: int) -> bool:
        """Take what came, in so many chunks, up to the limit; False if it was more."""
        fits = data[: self.limit - self._count]
        self._count += len(fits)
        if self._sink is None:
            self._gathered += fits
        else:
            self._sink.put(fits)
            self._slow(self._sink, max(len(fits), chunks * _LEAST))
        return len(fits) == len(data)

    def close(self) -> bytes:
        """End; give what was gathered, without a sink."""
        self._tap = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered = bytes(self._gathered)
        self._gathered.clear()
        return gathered

    def _slow(self, sink: Sink, count: int) -> None:
        wait = self._pace.wait(count, self._clock.monotonic())
        if wait > 0 and self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait, self._paced)
        if sink.full and not self._crowded:
            self._crowded = True
            sink.when_room(self._roomy)
        if self._tap is not None and (self._timer is not None or self._crowded):
            self._tap.hold()

    def _paced(self) -> None:
        self._timer = None
        self._go_on()

    def _roomy(self) -> None:
        self._crowded = False
        self._go_on()

    def _go_on(self) -> None:
        if self._tap is not None and self._timer is None and not self._crowded:
            self._tap.release()
