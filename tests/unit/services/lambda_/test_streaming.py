"""Laws of answers that are read while they are made."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from casemate.core.call import Beginning, Event
from casemate.core.errors import Invalid, NotFound, Throttled, TooLarge
from casemate.core.flow import CutOffError
from casemate.core.function import Ending, Invocation, InvocationResult, Sink
from casemate.core.operation import Operation, Told
from casemate.services.lambda_.settings import PAYLOAD
from casemate.services.lambda_.streaming import CHUNK
from unit.services.calls import admitted
from unit.services.lambda_.test_functions import run
from unit.services.lambda_world import World

NAME = "InvokeWithResponseStream"


@dataclass
class Door:
    """The side of the caller: takes the beginning, and reads."""

    begun: asyncio.Future[Beginning] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )

    async def events(self) -> list[Event]:
        events, found = (await self.begun).events, list[Event]()
        while True:
            try:
                found.append(await anext(events))
            except StopAsyncIteration:
                return found


def operation(w: World) -> Operation:
    return next(o for o in w.service.operations if o.name == NAME)


def send(w: World, door: Door | None, **parameters: object) -> Awaitable[Any]:
    """Send the call off, as the road would."""
    declared = operation(w)
    call = admitted(declared, {"FunctionName": "f", **parameters})
    if door is not None:
        arrival = replace(call.arrival, begin=door.begun.set_result)
        known = replace(call.known, arrival=arrival)
        sound = replace(call.sound, allowed=replace(call.sound.allowed, known=known))
        call = replace(call, sound=sound)
    return asyncio.ensure_future(declared.method(call))


Script = Callable[[Sink], Awaitable[None]]


def scripted(
    w: World, script: Script, payload: bytes = b"", error: str | None = None
) -> None:
    """Have the cells stream as the script says."""

    async def ran(invocation: Invocation, /) -> InvocationResult:
        assert invocation.sink is not None
        await script(invocation.sink)
        ending = Ending.ERROR if error else Ending.SUCCESS
        return InvocationResult(
            payload=payload, ending=ending, error=error, log_tail=b"tail"
        )

    w.cells.run = ran  # type: ignore[method-assign] # another life of the same cells


def test_it_is_the_right_to_invoke(tmp_path: Path) -> None:
    """AWS has one action for both ways; the call runs a function, and streams."""

    async def law(w: World) -> None:
        declared = operation(w)
        assert declared.action == "lambda:InvokeFunction"
        assert (declared.acts, declared.streams, declared.mutates) == (
            True,
            True,
            False,
        )

    run(tmp_path, law)


def test_the_head_goes_out_before_the_answer_is_made(tmp_path: Path) -> None:
    """And each chunk as it comes; the outcome comes when all was read."""

    async def law(w: World) -> None:
        await w.made()
        go_on, door = asyncio.Event(), Door()

        async def script(sink: Sink) -> None:
            sink.begin()
            sink.put(b"one")
            await go_on.wait()
            sink.put(b"two")

        scripted(w, script)
        call = asyncio.ensure_future(send(w, door, LogType="Tail"))
        beginning = await door.begun
        assert beginning.result == {
            "StatusCode": 200,
            "ExecutedVersion": "$LATEST",
            "ResponseStreamContentType": "application/vnd.amazon.eventstream",
        }
        first = await anext(beginning.events)
        assert first == ("PayloadChunk", {"Payload": b"one"})
        go_on.set()
        tail = base64.b64encode(b"tail").decode()
        assert await door.events() == [
            ("PayloadChunk", {"Payload": b"two"}),
            ("InvokeComplete", {"LogResult": tail}),
        ]
        told = await call
        assert told == Told(
            result={}, notes={"stream": {"bytes": 6, "reader": "satisfied"}}
        )

    run(tmp_path, law)


def test_a_buffered_answer_comes_in_chunks(tmp_path: Path) -> None:
    """As on AWS, a function that does not stream can be called this way."""

    async def law(w: World) -> None:
        await w.made()
        door, payload = Door(), b'"' + b"x" * (2 * CHUNK) + b'"'
        call = send(w, door, Payload=payload)
        *chunks, last = await door.events()
        assert [len(e[1]["Payload"]) for e in chunks] == [CHUNK, CHUNK, 2]  # type: ignore[arg-type] # bytes
        assert b"".join(e[1]["Payload"] for e in chunks) == payload  # type: ignore[misc] # bytes
        assert last == ("InvokeComplete", {})
        assert (await call).notes["stream"]["bytes"] == len(payload)

    run(tmp_path, law)


@pytest.mark.parametrize("streamed", [b"", b"half"])
def test_an_error_completes_the_answer(tmp_path: Path, streamed: bytes) -> None:
    """Before the first byte or after: `Unhandled`, and the function's document."""

    async def law(w: World) -> None:
        await w.made()
        door = Door()

        async def script(sink: Sink) -> None:
            if streamed:
                sink.begin()
                sink.put(streamed)

        scripted(w, script, payload=b'{"errorType":"E"}', error="Unhandled")
        call = send(w, door)
        *chunks, last = await door.events()
        assert chunks == [("PayloadChunk", {"Payload": b"half"})] * bool(streamed)
        assert last == (
            "InvokeComplete",
            {"ErrorCode": "Unhandled", "ErrorDetails": '{"errorType":"E"}'},
        )
        assert (await call).notes["functionError"] == "Unhandled"

    run(tmp_path, law)


def test_a_reader_who_leaves_does_not_end_the_function(tmp_path: Path) -> None:
    """As on AWS it runs to its end; the record says that nobody read it."""

    async def law(w: World) -> None:
        await w.made()
        go_on, door = asyncio.Event(), Door()

        async def script(sink: Sink) -> None:
            sink.begin()
            sink.put(b"x" * 1_000_000)
            assert sink.full
            await go_on.wait()
            assert not sink.full
            sink.put(b"y" * 1_000_000)

        scripted(w, script)
        call = asyncio.ensure_future(send(w, door))
        events = (await door.begun).events
        await anext(events)
        await events.aclose()
        await events.aclose()
        assert not call.done()
        go_on.set()
        told = await call
        assert told.notes["stream"] == {"bytes": 2_000_000, "reader": "left"}

    run(tmp_path, law)


def test_a_call_that_is_ended_cuts_its_reader_off(tmp_path: Path) -> None:
    """What the platform itself ends never looks like a whole answer."""

    async def law(w: World) -> None:
        await w.made()
        door = Door()

        async def script(sink: Sink) -> None:
            sink.begin()
            sink.put(b"half")
            await asyncio.Event().wait()

        scripted(w, script)
        call = asyncio.ensure_future(send(w, door))
        events = (await door.begun).events
        await anext(events)
        call.cancel()
        with pytest.raises(CutOffError):
            await anext(events)
        assert call.cancelled()

    run(tmp_path, law)


def test_a_refusal_before_the_first_byte_is_a_refusal(tmp_path: Path) -> None:
    """There is no answer yet that it would spoil."""

    async def law(w: World) -> None:
        await w.made()
        door = Door()

        async def script(_sink: Sink) -> None:
            raise Throttled("no room")

        scripted(w, script)
        with pytest.raises(Throttled):
            await send(w, door)
        assert not door.begun.done()

    run(tmp_path, law)


def test_a_door_that_reads_no_events_gets_none(tmp_path: Path) -> None:
    """The function runs; nothing waits for a reader who cannot come."""

    async def law(w: World) -> None:
        await w.made()
        told = await send(w, None)
        assert told.notes["stream"]["reader"] == "left"

    run(tmp_path, law)


def test_what_is_refused_is_refused_as_by_invoke(tmp_path: Path) -> None:
    """A dry run runs nothing; events, what is not there, and too much are refused."""

    async def law(w: World) -> None:
        await w.made()
        assert await send(w, Door(), InvocationType="DryRun") == {"StatusCode": 204}
        assert w.cells.ran == []
        with pytest.raises(Invalid, match="InvocationType"):
            await send(w, Door(), InvocationType="Event")
        with pytest.raises(NotFound):
            await send(w, Door(), FunctionName="g")
        with pytest.raises(TooLarge):
            await send(w, Door(), Payload=bytes(PAYLOAD + 1))
        with pytest.raises(Invalid):
            await send(w, Door(), Payload=b"{")

    run(tmp_path, law)
