"""Laws of bytes that are on their way."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.flow import CutOffError, Flow, Reader
from unit.services.calls import law

parts = st.lists(st.binary(max_size=40), max_size=20)


@given(parts, st.integers(1, 64))
def test_what_goes_in_comes_out(given_parts: list[bytes], most: int) -> None:
    """In order, whole, and never more at once than was asked for."""

    async def run() -> None:
        flow = Flow(room=16)
        for part in given_parts:
            flow.put(part)
        flow.end()
        taken = [await flow.take(most)]
        while taken[-1]:
            assert len(taken[-1]) <= most
            taken.append(await flow.take(most))
        assert b"".join(given_parts) == b"".join(taken)
        assert flow.count == sum(map(len, given_parts))

    asyncio.run(run())


@law
async def test_the_maker_is_held_back_and_called_again() -> None:
    """Full from its room on; the callback comes once, when there is room."""
    flow, called = Flow(room=10), list[int]()
    flow.put(b"x" * 9)
    assert not flow.full
    flow.put(b"x" * 9)
    assert flow.full
    flow.when_room(lambda: called.append(1))
    assert len(await flow.take(8)) == 8
    assert (called, flow.full) == ([], True)
    await flow.take(1)
    assert (called, flow.full) == ([1], False)
    await flow.take(9)
    assert called == [1]


@law
async def test_a_reader_waits_for_what_comes() -> None:
    flow = Flow()
    taking = asyncio.ensure_future(flow.take(10))
    await asyncio.sleep(0)
    assert not taking.done()
    flow.put(b"now")
    assert await taking == b"now"


@law
async def test_a_reader_who_leaves_frees_what_lay_there() -> None:
    """The maker goes on, is counted, and is held back no more."""
    flow, called = Flow(room=4), list[int]()
    flow.put(b"x" * 10)
    flow.when_room(lambda: called.append(1))
    flow.leave()
    assert (called, flow.full, flow.reader) == ([1], False, Reader.LEFT)
    flow.put(b"y" * 10)
    assert (flow.count, flow.full) == (20, False)
    await asyncio.wait_for(flow.parted(), 1)
    flow.satisfied()
    assert flow.reader is Reader.LEFT


@law
async def test_the_maker_waits_for_the_reader_to_have_the_end() -> None:
    flow = Flow()
    flow.put(b"x")
    flow.end()
    parting = asyncio.ensure_future(flow.parted())
    assert await flow.take(9) == b"x"
    assert await flow.take(9) == b""
    assert not parting.done()
    flow.satisfied()
    await asyncio.wait_for(parting, 1)
    assert flow.reader is Reader.SATISFIED


@law
async def test_half_is_never_taken_for_the_whole() -> None:
    """A maker who gives up cuts the reader off, after what was made."""
    flow = Flow()
    flow.put(b"half")
    flow.close()
    assert await flow.take(9) == b"half"
    with pytest.raises(CutOffError):
        await flow.take(9)
    waiting = Flow()
    taking = asyncio.ensure_future(waiting.take(9))
    await asyncio.sleep(0)
    waiting.close()
    with pytest.raises(CutOffError):
        await taking
    ended = Flow()
    ended.end()
    ended.close()
    assert await ended.take(9) == b""
