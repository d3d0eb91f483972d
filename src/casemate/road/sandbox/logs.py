"""
The two output pipes of a cell, read without ever blocking anybody for long.

What a function prints is bounded three ways (Q6): bytes read per turn, after
which the pipe waits for the next turn and the function for the pipe; bytes and
lines kept per second, past which they are read, dropped and counted; bytes of
one line.

Lines are handed on together, once a turn and not beyond a bound, those of many
short invocations at once; whatever ends the cell hands them on first.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections import deque
from collections.abc import Callable
from typing import Final, final

from casemate.core.bucket import Bucket
from casemate.core.clock import Clock
from casemate.core.function import FunctionVersion
from casemate.road.sandbox.lines import LINE_LIMIT, TAIL_LIMIT, Line, Lines, guarded

READ_BYTES: Final = 1 << 16
TURN_BYTES: Final = 1 << 20
"""Bytes read from one cell between two turns of the sandbox's tick (50 ms)."""

GATHERED_BYTES: Final = 1 << 16
"""Bytes of lines that are gathered before they are handed on."""
_LINE: Final = 64
"""Bytes that a line takes beside its text, empty ones too."""

BYTES_BURST, BYTES_RATE = 8 << 20, 1 << 20
LINES_BURST, LINES_RATE = 20_000, 5_000


@final
class _Pipe:
    """One pipe and the start of a line that has not ended yet."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.partial = bytearray()
        self.open = True
        self.paused = False


@final
class CellLog:
    """The output of one cell; until it is bound to a function, nothing is kept."""

    def __init__(
        self, stdout: int, stderr: int, *, clock: Clock, ended: Callable[[], None]
    ) -> None:
        """
        Own and watch two read ends.

        ended: called once when both are at their end, that is when no process
        of the cell holds them any more.
        """
        now = clock.monotonic()
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._ended = ended
        self._pipes = (_Pipe(stdout), _Pipe(stderr))
        self._ready = select.poll()
        self._sink: Callable[[list[Line]], None] | None = None
        self._request_id = ""
        self._tail: deque[str] | None = None
        self._tail_bytes = 0
        self._gathered: list[Line] = []
        self._gathered_bytes = 0
        self._turn_bytes = 0
        self._bytes = Bucket.full(BYTES_RATE, BYTES_BURST, now)
        self._lines = Bucket.full(LINES_RATE, LINES_BURST, now)
        self._lost_lines = self._lost_bytes = 0
        self.dropped_lines = 0
        """All lines of this cell that were dropped."""
        for pipe in self._pipes:
            self._ready.register(pipe.descriptor, select.POLLIN)
            self._watch(pipe)

    def bind(self, function: FunctionVersion, stream: str, lines: Lines) -> None:
        """From now on, write to a function's log stream."""
        self._sink = lambda entries: lines.write(function, stream, entries)

    def begin(self, request_id: str, *, want_tail: bool) -> None:
        """Attribute what comes to an invocation."""
        self._request_id = request_id
        self._tail = deque() if want_tail else None
        self._tail_bytes = 0

    def platform(self, *texts: str) -> None:
        """Write lines of the platform's."""
        at = int(self._clock.now() * 1000)
        mine = self._request_id
        self._write([Line(at, text, mine, platform=True) for text in texts])

    def drain(self) -> None:
        """Read what is in the pipes now, up to a turn's bound, and end open lines."""
        # Mostly nothing is there: one question for both, and no exception.
        if self._ready.poll(0):
            for pipe in self._pipes:
                while pipe.open and self._turn_bytes < TURN_BYTES:
                    if self._read(pipe) < READ_BYTES:
                        break
        for pipe in self._pipes:
            if pipe.partial:
                self._cut(pipe, b"\n")
        self._tell_lost()

    def hand_on(self) -> None:
        """Give the log what was gathered."""
        if self._gathered and self._sink is not None:
            gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
            self._sink(gathered)

    def tail(self) -> bytes:
        """Give the last 4,096 bytes of this invocation's lines."""
        if self._tail is None:
            return b""
        return "".join(self._tail).encode()[-TAIL_LIMIT:]

    def turn(self) -> None:
        """Allow the next turn's bytes, and hand on what was gathered."""
        self._turn_bytes = 0
        for pipe in self._pipes:
            if pipe.paused:
                pipe.paused = False
                self._watch(pipe)
        self._tell_lost()
        self.hand_on()

    def close(self) -> None:
        """Stop reading, let go of the pipes, and hand on what was gathered."""
        for pipe in self._pipes:
            self._end(pipe)
        self.hand_on()

    def _watch(self, pipe: _Pipe) -> None:
        if pipe.open:
            self._loop.add_reader(pipe.descriptor, self._readable, pipe)

    def _readable(self, pipe: _Pipe) -> None:
        self._read(pipe)
        if pipe.open and self._turn_bytes >= TURN_BYTES:
            pipe.paused = True
            self._loop.remove_reader(pipe.descriptor)
        if not any(one.open for one in self._pipes):
            self._ended()

    def _read(self, pipe: _Pipe) -> int:
        """Read once; give the count of bytes."""
        try:
            data = os.read(pipe.descriptor, READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            data = b""
        if not data:
            self._cut(pipe, b"\n" if pipe.partial else b"")
            self._end(pipe)
            return 0
        self._turn_bytes += len(data)
        self._cut(pipe, data)
        return len(data)

    def _end(self, pipe: _Pipe) -> None:
        if pipe.open:
            pipe.open = False
            self._ready.unregister(pipe.descriptor)
            self._loop.remove_reader(pipe.descriptor)
            os.close(pipe.descriptor)

    def _cut(self, pipe: _Pipe, data: bytes) -> None:
        """Cut bytes into lines; a line past the limit becomes several."""
        if b"\n" not in data and len(pipe.partial) + len(data) <= LINE_LIMIT:
            # Bytes that come one by one must not have the whole line copied each time.
            pipe.partial += data
            return
        *whole, rest = (bytes(pipe.partial) + data).split(b"\n")
        entries: list[Line] = []
        for one in whole:
            self._keep(one, entries)
        while len(rest) > LINE_LIMIT:
            self._keep(rest[:LINE_LIMIT], entries)
            rest = rest[LINE_LIMIT:]
        pipe.partial[:] = rest
        if entries:
            self._write(entries)

    def _keep(self, raw: bytes, entries: list[Line]) -> None:
        now = self._clock.monotonic()
        for start in range(0, max(1, len(raw)), LINE_LIMIT):
            piece = raw[start : start + LINE_LIMIT]
            if self._sink is None:
                continue
            if self._lines.spend(1, now) and self._bytes.spend(len(piece), now):
                text = guarded(piece.decode("utf-8", "replace"))
                at = int(self._clock.now() * 1000)
                entries.append(Line(at, text, self._request_id))
            else:
                self.dropped_lines += 1
                self._lost_lines += 1
                self._lost_bytes += len(piece)

    def _tell_lost(self) -> None:
        if self._lost_lines and self._lines.spend(1, self._clock.monotonic()):
            lines, size = self._lost_lines, self._lost_bytes
            self._lost_lines = self._lost_bytes = 0
            self.platform(
                f"CASEMATE dropped {lines} log lines ({size} bytes) over the limit of "
                f"{LINES_RATE} lines and {BYTES_RATE} bytes a second"
            )

    def _write(self, entries: list[Line]) -> None:
        if self._sink is None:
            return
        self._gathered += entries
        self._gathered_bytes += sum([_LINE + len(line.text) for line in entries])
        if self._gathered_bytes > GATHERED_BYTES:
            self.hand_on()
        if self._tail is None:
            return
        for line in entries:
            piece = line.text + "\n"
            self._tail.append(piece)
            self._tail_bytes += len(piece)
            while self._tail_bytes - len(self._tail[0]) >= TAIL_LIMIT:
                self._tail_bytes -= len(self._tail.popleft())
