"""The pipes of a cell: bounded, cut into lines, never lost track of."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import uvloop

from casemate.core.clock import SystemClock
from casemate.core.function import FunctionVersion
from casemate.road.sandbox.lines import LINE_LIMIT, Line
from casemate.road.sandbox.logs import LINES_BURST, TURN_BYTES, CellLog
from unit.road.sandbox.function_version import FUNCTION


class Kept:
    """Lines in memory."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def write(
        self, function: FunctionVersion, stream: str, lines: Sequence[Line]
    ) -> None:
        del function, stream
        self.lines.extend(lines)


def kept(written: bytes, *, bind: bool = True, turns: int = 1) -> tuple[Kept, CellLog]:
    """What a log keeps of these bytes on standard output."""
    sink = Kept()

    async def read() -> CellLog:
        out, write_out = os.pipe()
        err, write_err = os.pipe()
        ended = asyncio.Event()
        log = CellLog(out, err, clock=SystemClock(), ended=ended.set)
        if bind:
            log.bind(FUNCTION, "stream", sink)
        log.begin("id", want_tail=True)
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(None, _write_and_close, write_out, written)
        os.close(write_err)
        for _ in range(turns):
            await asyncio.sleep(0)
            log.turn()
        while not ended.is_set():
            log.turn()
            await asyncio.wait((writing,), timeout=0.005)
            await asyncio.sleep(0)
        log.turn()
        log.close()
        return log

    return sink, uvloop.run(read())


def _write_and_close(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.close(descriptor)


def test_lines_and_the_last_without_newline() -> None:
    """Every line once, the unfinished one at the end, invalid bytes replaced."""
    sink, _log = kept(b"one\n\ntwo \xff\x00\nthree")
    assert [line.text for line in sink.lines] == ["one", "", "two \ufffd\x00", "three"]
    assert {line.request_id for line in sink.lines} == {"id"}


def test_long_line_becomes_several() -> None:
    """R8: no event is larger than 256 KiB, and nothing is lost below the rate."""
    sink, _log = kept(b"x" * (LINE_LIMIT * 2 + 5) + b"\n")
    assert [len(line.text) for line in sink.lines] == [LINE_LIMIT, LINE_LIMIT, 5]


def test_flood_is_dropped_and_counted() -> None:
    """Q6: past the burst, lines are read, dropped, counted and told."""
    count = LINES_BURST * 3
    sink, log = kept(b"x\n" * count)
    own = [line for line in sink.lines if not line.platform]
    assert len(own) + log.dropped_lines == count
    assert log.dropped_lines > 0
    assert any(line.text.startswith("CASEMATE dropped") for line in sink.lines)


def test_nothing_is_kept_before_a_function() -> None:
    """What a generic cell prints belongs to nobody."""
    sink, _log = kept(b"x\n", bind=False)
    assert sink.lines == []


def test_tail_is_the_last_four_kilobytes() -> None:
    """LogResult's size."""
    _sink, log = kept(b"".join(b"line %d\n" % n for n in range(3000)))
    tail = log.tail()
    assert len(tail) == 4096
    assert tail.endswith(b"line 2999\n")


def test_turn_bounds_what_is_read() -> None:
    """One cell takes at most a turn's bytes before others are looked at."""

    async def read() -> int:
        out, write_out = os.pipe()
        err, write_err = os.pipe()
        log = CellLog(out, err, clock=SystemClock(), ended=lambda: None)
        loop = asyncio.get_running_loop()
        writing = loop.run_in_executor(
            None, _write_and_close, write_out, bytes(4 * TURN_BYTES)
        )
        await asyncio.wait((writing,), timeout=0.3)
        stuck = not writing.done()
        while not writing.done():
            log.turn()
            await asyncio.wait((writing,), timeout=0.005)
        os.close(write_err)
        log.close()
        return int(stuck)

    assert uvloop.run(read()) == 1
