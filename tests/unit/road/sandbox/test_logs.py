"""The pipes of a cell: bounded, cut into lines, never lost track of."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

import pytest
import uvloop

from casemate.core.clock import SystemClock
from casemate.core.function import FunctionVersion
from casemate.road.sandbox.lines import LINE_LIMIT, Line
from casemate.road.sandbox.logs import GATHERED_BYTES, LINES_BURST, TURN_BYTES, CellLog
from unit.road.sandbox.function_version import FUNCTION


class Kept:
    """Lines in memory."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.writes = 0

    def write(
        self, function: FunctionVersion, stream: str, lines: Sequence[Line]
    ) -> None:
        del function, stream
        self.lines.extend(lines)
        self.writes += 1


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


Say = Callable[[bytes], None]


def speaking(act: Callable[[CellLog, Say, Kept], None]) -> tuple[Kept, CellLog]:
    """What a log keeps when things happen in one turn of the loop."""
    sink = Kept()

    async def main() -> CellLog:
        out, write_out = os.pipe()
        err, write_err = os.pipe()
        log = CellLog(out, err, clock=SystemClock(), ended=lambda: None)
        log.bind(FUNCTION, "stream", sink)
        log.begin("id", want_tail=True)
        act(log, lambda data: _write_all(write_err, data), sink)
        log.close()
        os.close(write_out)
        os.close(write_err)
        return log

    return sink, uvloop.run(main())


def _write_all(descriptor: int, data: bytes) -> None:
    assert os.write(descriptor, data) == len(data)


def test_the_lines_of_an_invocation_are_one_write_in_order() -> None:
    """Each write costs the node; the order is the one in which they came."""

    def act(log: CellLog, say: Say, _sink: Kept) -> None:
        log.platform("START")
        say(b"one\ntwo")
        log.drain()
        log.platform("END")
        log.platform("REPORT")
        log.hand_on()

    sink, log = speaking(act)
    texts = ["START", "one", "two", "END", "REPORT"]
    assert texts == [line.text for line in sink.lines]
    assert 1 == sink.writes
    assert b"START\none\ntwo\nEND\nREPORT\n" == log.tail()


@pytest.mark.parametrize("end", [CellLog.close, CellLog.turn])
def test_what_was_gathered_is_not_lost(end: Callable[[CellLog], None]) -> None:
    """A cell that dies takes no line with it, and no line waits longer than a turn."""

    def act(log: CellLog, say: Say, sink: Kept) -> None:
        log.platform("START")
        say(b"one\n")
        log.drain()
        assert [] == sink.lines
        end(log)
        assert 2 == len(sink.lines)

    sink, _log = speaking(act)
    assert ["START", "one"] == [line.text for line in sink.lines]


def test_what_is_gathered_is_bounded() -> None:
    """Long and many lines are handed on before there are too many."""

    def act(log: CellLog, say: Say, sink: Kept) -> None:
        say(b"\n" * 4096)
        log.drain()
        assert 4096 == len(sink.lines)
        log.platform("x" * GATHERED_BYTES)
        assert 4097 == len(sink.lines)

    speaking(act)
