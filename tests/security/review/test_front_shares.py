"""What one client, one tenant or one cell can take of the front."""

from __future__ import annotations

import asyncio
import socket
import ssl

from casemate.road.ingress.front import FrontLimits
from unit.road.ingress.door import Door, context, message, on_loop, open_door, trusting

ASK = b"GET / HTTP/1.1\r\nHost: front\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def from_cell(door: Door, cell: str, account: str) -> Streams | None:
    """Connect as code in a cell does; None if the front has no place for it."""
    with socket.create_server(("127.0.0.1", 0)) as inner:
        inner.setblocking(False)
        host, port = inner.getsockname()[:2]
        dialling = asyncio.ensure_future(
            asyncio.open_connection(host, port, ssl=trusting(), server_hostname="front")
        )
        accepted, _ = await asyncio.get_running_loop().sock_accept(inner)
    door.front.adopt(accepted, context(), cell=cell, account=account)
    try:
        return await dialling
    except (OSError, ssl.SSLError):
        return None


async def let_go(*streams: Streams | None) -> None:
    for _, writer in filter(None, streams):
        writer.transport.abort()


def test_connections_of_cells_take_no_place_of_those_outside() -> None:
    """Whatever tenants' code holds open, clients from outside are served (Q4)."""

    async def run() -> None:
        limits = FrontLimits(connections=1, cells=2, per_account=2, per_cell=2)
        async with open_door(limits=limits) as door:
            held = [await from_cell(door, f"c{n}", "a") for n in range(3)]
            assert [True, True, False] == [bool(one) for one in held]
            reader, writer = await door.client()
            writer.write(ASK)
            assert 200 == (await message(reader))[0]
            await let_go(*held, (reader, writer))

    on_loop(run())


def test_one_account_leaves_place_for_the_cells_of_others() -> None:
    """Neither a cell nor all cells of an account take what is there for all."""

    async def run() -> None:
        limits = FrontLimits(cells=4, per_account=2, per_cell=1)
        async with open_door(limits=limits) as door:
            first = await from_cell(door, "c1", "a")
            assert first
            assert await from_cell(door, "c1", "a") is None
            second = await from_cell(door, "c2", "a")
            assert second
            assert await from_cell(door, "c3", "a") is None
            other = await from_cell(door, "c4", "b")
            assert other
            await let_go(first, second, other)

    on_loop(run())


def test_one_client_does_not_fill_the_room_for_bodies() -> None:
    """Half-sent bodies of one client leave room for the bodies of another (H2)."""

    async def run() -> None:
        limits = FrontLimits(held_bytes=60_000, held_by_one=30_000)
        async with open_door(limits=limits) as door:
            stranger = await door.client()
            head = b"POST / HTTP/1.1\r\nHost: front\r\nContent-Length: %d\r\n\r\n"
            stranger[1].write(head % 40_000 + b"x" * 35_000)
            assert 503 == (await message(stranger[0]))[0]
            tenant = await from_cell(door, "c1", "a")
            assert tenant
            tenant[1].write(head % 25_000 + b"x" * 10_000)
            await tenant[1].drain()
            tenant[1].write(b"x" * 15_000)
            assert 200 == (await message(tenant[0]))[0]
            await let_go(stranger, tenant)

    on_loop(run())
