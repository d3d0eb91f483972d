"""What code in a cell can make the node spend through the Runtime API."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import uvloop

from casemate.road.sandbox.runtime_api import NOISE_LIMIT, RuntimeApi

ABSENT = b"GET /absent HTTP/1.1\r\nHost: localhost\r\n\r\n"
FLOOD = 32 << 20
ROOM = 8 << 20
"""Bytes that the kernel's own buffers may take, on both sides."""

Test = Callable[[int, list[str]], Awaitable[None]]


def with_api(test: Test) -> None:
    async def run() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        lost: list[str] = []
        api = RuntimeApi(listener.detach(), heard=lambda _: None, lost=lost.append)
        await api.serve()
        try:
            await asyncio.wait_for(test(port, lost), 30)
        finally:
            api.close()

    uvloop.run(run())


def test_answers_that_nobody_reads_do_not_pile_up_in_the_node() -> None:
    """A client that asks and never reads is read no further (Q4, Q7)."""

    async def test(port: int, _lost: list[str]) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setblocking(False)
            await loop.sock_connect(client, ("127.0.0.1", port))
            flood = memoryview(ABSENT * (FLOOD // len(ABSENT)))
            sent = 0
            try:
                async with asyncio.timeout(2):
                    while sent < len(flood):
                        await loop.sock_sendall(client, flood[sent : sent + 65_536])
                        sent += 65_536
            except (TimeoutError, ConnectionError):
                pass  # The node took no more, which is the law.
            assert sent < ROOM

    with_api(test)


def test_a_cell_that_only_asks_what_is_refused_is_ended() -> None:
    """Refusals have a bound within an event, as out-of-place frames have (Q12)."""

    async def test(port: int, lost: list[str]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(NOISE_LIMIT):
            writer.write(ABSENT)
            await reader.readuntil(b"}")
        assert not lost
        writer.write(ABSENT)
        assert await reader.read() is not None
        assert len(lost) == 1
        writer.close()

    with_api(test)
