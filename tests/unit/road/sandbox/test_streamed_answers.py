"""Streamed answers at the Runtime API, over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import ClassVar

from casemate.core.clock import SystemClock
from casemate.core.flow import Flow
from casemate.road.sandbox.frames import RESPONSE_LIMIT, Said, Word
from casemate.road.sandbox.inflow import Inflow, StreamLimits
from casemate.road.sandbox.runtime_api import RuntimeApi
from unit.road.ingress.door import until
from unit.road.sandbox.test_runtime_api import EVENT, Client, V, with_api

NEXT = f"{V}/invocation/next"
MINE = f"{V}/invocation/{EVENT.id}/response"
ERROR = f"{V}/invocation/{EVENT.id}/error"
TRAILERS = "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"
HEAD = (
    f"POST {MINE} HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n"
    "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
    f"Transfer-Encoding: chunked\r\nTrailer: {TRAILERS}\r\n\r\n"
).encode()
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Runtime:
    """A runtime that streams, one connection, one step at a time."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self.reader = reader
        self.writer = writer

    open: ClassVar[list[Runtime]] = []

    @classmethod
    async def begin(cls, client: Client, head: bytes = HEAD) -> Runtime:
        runtime = cls(*await asyncio.open_connection("127.0.0.1", client.port))
        cls.open.append(runtime)
        runtime.writer.write(head)
        return runtime

    @classmethod
    def end_all(cls) -> None:
        """Hang up, whatever is unsent."""
        while cls.open:
            cls.open.pop().writer.transport.abort()

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.partition("Content-Length: ")[2].split("\r\n")[0])
        return int(head.split()[1]), await self.reader.readexactly(length)


Test = Callable[[RuntimeApi, Client, list[Said], Flow], Awaitable[None]]


def streaming(
    test: Test, *, limits: StreamLimits | None = None, flow: Flow | None = None
) -> None:
    """Serve one event whose answer may be streamed into a flow."""

    async def prepared(api: RuntimeApi, client: Client, heard: list[Said]) -> None:
        way = flow or Flow()
        inflow = Inflow(way, limits or StreamLimits(), SystemClock())
        api.give(replace(EVENT, inflow=inflow))
        await client.ask("GET", NEXT)
        try:
            await test(api, client, heard, way)
        finally:
            Runtime.end_all()

    with_api(prepared)


async def turns() -> None:
    """Give everything that could happen the time to happen."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_bytes_go_on_as_they_come() -> None:
    """The first is there before the second is sent; the end is the answer."""

    async def test(
        api: RuntimeApi, client: Client, heard: list[Said], flow: Flow
    ) -> None:
        runtime = await Runtime.begin(client)
        await until(lambda: flow.begun)
        runtime.say(chunk(b"one"))
        assert await flow.take(99) == b"one"
        runtime.say(chunk(b"two"))
        assert await flow.take(99) == b"two"
        assert heard[1:] == []
        runtime.say(END)
        assert (await runtime.answer())[0] == 202
        assert heard[1:] == [Said(word=Word.RESPONSE, id=EVENT.id)]
        asking = asyncio.ensure_future(client.ask("GET", NEXT))
        await turns()
        assert not asking.done()  # it waits for the next event like any other
        api.close()
        await asyncio.gather(asking, return_exceptions=True)

    streaming(test)


def test_without_a_sink_the_answer_is_whole() -> None:
    """A plain Invoke of a function that streams: gathered, to 6 MB."""

    def gathered(size: int) -> Said:
        found: list[Said] = []

        async def test(api: RuntimeApi, client: Client, heard: list[Said]) -> None:
            inflow = Inflow(None, StreamLimits(), SystemClock())
            api.give(replace(EVENT, inflow=inflow))
            await client.ask("GET", NEXT)
            runtime = await Runtime.begin(client)
            runtime.say(chunk(b"x" * size) + END)
            await until(lambda: len(heard) == 2)
            found.append(heard[1])
            Runtime.end_all()

        with_api(test)
        return found[0]

    assert len(gathered(RESPONSE_LIMIT).body) == RESPONSE_LIMIT
    over = gathered(RESPONSE_LIMIT + 1)
    assert over.word is Word.ERROR
    assert json.loads(over.body)["errorType"] == "Function.ResponseSizeTooLarge"


def test_errors_in_the_middle_come_as_trailers() -> None:
    """The document is the runtime's own."""
    document = {"errorType": "E", "errorMessage": "m", "trace": []}
    body = base64.b64encode(json.dumps(document).encode()).decode()
    trailers = (
        "0\r\nLambda-Runtime-Function-Error-Type: E\r\n"
        f"Lambda-Runtime-Function-Error-Body: {body}\r\n\r\n"
    )

    async def test(
        _api: RuntimeApi, client: Client, heard: list[Said], flow: Flow
    ) -> None:
        runtime = await Runtime.begin(client)
        runtime.say(chunk(b"half") + trailers.encode())
        assert (await runtime.answer())[0] == 202
        assert await flow.take(9) == b"half"
        assert (heard[1].word, json.loads(heard[1].body)) == (Word.ERROR, document)

    streaming(test)


def test_r3_forged_trailers_end_the_answer_as_an_error() -> None:
    """R3: another id, a second type, what was not announced: 400, and no success."""
    forged = (
        "Lambda-Runtime-Aws-Request-Id: 0\r\n",
        "Lambda-Runtime-Function-Error-Type: a\r\n" * 2,
        "Lambda-Runtime-Function-Error-Body: %%%\r\n",
    )
    for lines in forged:

        async def test(
            _api: RuntimeApi,
            client: Client,
            heard: list[Said],
            _flow: Flow,
            lines: str = lines,
        ) -> None:
            runtime = await Runtime.begin(client)
            runtime.say(f"0\r\n{lines}\r\n".encode())
            status, body = await runtime.answer()
            assert (status, json.loads(body)["errorType"]) == (400, "InvalidTrailers")
            assert heard[1].word is Word.ERROR
            assert b"Runtime.InvalidTrailers" in heard[1].body

        streaming(test)


def test_r3_a_begun_answer_is_the_only_one() -> None:
    """R3: while it streams, nobody else answers, fails, or asks for the next."""

    async def test(
        _api: RuntimeApi, client: Client, heard: list[Said], flow: Flow
    ) -> None:
        runtime = await Runtime.begin(client)
        await until(lambda: flow.begun)
        for path in (MINE, ERROR):
            status, _, body = await client.ask("POST", path, b"{}")
            assert status == 403
            assert b"begun" in body
        second = await Runtime.begin(client)
        second.say(chunk(b"forged") + END)
        assert (await second.answer())[0] == 403
        assert (await client.ask("GET", NEXT))[0] == 403
        runtime.say(chunk(b"true") + END)
        assert (await runtime.answer())[0] == 202
        assert (await flow.take(99), flow.count) == (b"true", 4)
        assert heard[1:] == [Said(word=Word.RESPONSE, id=EVENT.id)]
        assert (await client.ask("POST", MINE, b"{}"))[0] == 403

    streaming(test)


def test_r2_a_stream_under_another_id_is_no_stream() -> None:
    """R2: nothing of it goes on."""

    async def test(
        _api: RuntimeApi, client: Client, heard: list[Said], flow: Flow
    ) -> None:
        other = HEAD.replace(EVENT.id.encode(), b"0" * 36)
        runtime = await Runtime.begin(client, other)
        runtime.say(chunk(b"forged") + END)
        assert (await runtime.answer())[0] == 403
        assert (flow.begun, heard[1:]) == (False, [])

    streaming(test)


def test_h22_an_answer_that_breaks_off_is_no_answer() -> None:
    """A runtime that hangs up, or breaks the form, has failed; then it may go on."""
    for broken in (b"", b"zz\r\n"):

        async def test(
            _api: RuntimeApi,
            client: Client,
            heard: list[Said],
            flow: Flow,
            broken: bytes = broken,
        ) -> None:
            runtime = await Runtime.begin(client)
            runtime.say(chunk(b"half") + broken)
            assert await flow.take(9) == b"half"
            runtime.writer.close()
            await until(lambda: len(heard) == 2)
            assert heard[1].word is Word.ERROR
            assert b"Runtime.TruncatedResponse" in heard[1].body

        streaming(test)


def test_q7_an_endless_answer_ends_at_its_limit() -> None:
    """Q7: what fits has gone on; then 413, an error, and nothing more is read."""

    async def test(
        _api: RuntimeApi, client: Client, heard: list[Said], flow: Flow
    ) -> None:
        runtime = await Runtime.begin(client)
        runtime.say(chunk(b"x" * 60) * 3)
        status, _ = await runtime.answer()
        assert status == 413
        assert await runtime.reader.read() == b""
        assert (await flow.take(999), flow.count) == (b"x" * 100, 100)
        assert heard[1].word is Word.ERROR
        assert b"Function.ResponseSizeTooLarge" in heard[1].body

    streaming(test, limits=StreamLimits(most=100))


def test_q7_a_slow_reader_holds_the_runtime_back() -> None:
    """Q7: the node keeps its bound, the runtime cannot write on; then it can."""

    async def test(
        _api: RuntimeApi, client: Client, heard: list[Said], flow: Flow
    ) -> None:
        runtime = await Runtime.begin(client)
        size = 32 << 20
        runtime.say(b"".join(chunk(bytes(65_536)) for _ in range(size >> 16)) + END)
        await until(lambda: flow.full)
        before = flow.count
        await turns()
        assert flow.count == before < 1 << 20
        # Most of it is where it was made: neither node nor kernel has taken it.
        unsent = runtime.writer.transport.get_write_buffer_size()
        assert unsent > size // 2
        assert heard[1:] == []
        taken = 0
        while taken < size:
            taken += len(await flow.take(1 << 20))
            assert flow.count - taken < 1 << 20
        assert (await runtime.answer())[0] == 202

    streaming(test, limits=StreamLimits(burst=64 << 20))


def test_a_reader_who_leaves_lets_the_runtime_go_on() -> None:
    """Nothing is kept of what comes; the answer ends as it would have."""

    async def test(
        _api: RuntimeApi, client: Client, heard: list[Said], flow: Flow
    ) -> None:
        runtime = await Runtime.begin(client)
        size = 8 << 20
        runtime.say(b"".join(chunk(bytes(65_536)) for _ in range(size >> 16)) + END)
        await until(lambda: flow.full)
        flow.leave()
        assert (await runtime.answer())[0] == 202
        assert flow.count == size
        assert heard[1].word is Word.RESPONSE

    streaming(test, limits=StreamLimits(burst=64 << 20))


def test_q7_crumbs_are_slowed_and_never_refused() -> None:
    """A model's tokens come in thousands of small chunks."""

    async def test(
        _api: RuntimeApi, client: Client, heard: list[Said], flow: Flow
    ) -> None:
        runtime = await Runtime.begin(client)
        runtime.say(chunk(b"t") * 10_000 + END)
        assert (await runtime.answer())[0] == 202
        assert flow.count == 10_000
        assert heard[1].word is Word.RESPONSE

    streaming(test)


def test_trailers_without_an_end_are_not_kept() -> None:
    """They are bounded; the answer has broken off."""

    async def test(
        _api: RuntimeApi, client: Client, heard: list[Said], _flow: Flow
    ) -> None:
        runtime = await Runtime.begin(client)
        runtime.say(b"0\r\nA: " + b"x" * (1 << 20))
        assert (await runtime.answer())[0] == 400
        await until(lambda: len(heard) == 2)
        assert b"Runtime.TruncatedResponse" in heard[1].body

    streaming(test)
