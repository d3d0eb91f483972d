"""What one client, one tenant or one cell can take of the front."""

from __future__ import annotations

import asyncio
import socket
import ssl

from casemate.road.ingress.front import FrontLimits
from unit.road.ingress.door import (
    KNOWN,
    Door,
    context,
    message,
    on_loop,
    open_door,
    trusting,
    until,
)

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


SIGNED = (
    b"Authorization: AWS4-HMAC-SHA256 Credential=%b/20231114/us-east-1/lambda/"
    b"aws4_request, SignedHeaders=host, Signature=00\r\n"
)


def half(size: int, key: str = "") -> bytes:
    """The head of a body of `size` bytes, and all of it but the last one."""
    signed = SIGNED % key.encode() if key else b""
    head = b"POST / HTTP/1.1\r\nHost: front\r\n%bContent-Length: %d\r\n\r\n"
    return head % (signed, size) + b"x" * (size - 1)


async def holds(door: Door, size: int, key: str = "") -> Streams | None:
    """Send all but the end of a body; None where the front refuses it."""
    before = door.front.held
    reader, writer = await door.client()
    writer.write(half(size, key))
    await until(lambda: bool(door.refusals) or door.front.held >= before + size - 1)
    if door.refusals:
        door.refusals.clear()
        assert 503 == (await message(reader))[0]
        await let_go((reader, writer))
        return None
    return reader, writer


def test_strangers_leave_room_for_the_bodies_of_those_who_are_known() -> None:
    """However many networks they have; a key that nobody knows is a stranger's (H2)."""

    async def run() -> None:
        limits = FrontLimits(
            held_bytes=400_000, held_by_one=400_000, held_by_strangers=100_000
        )
        async with open_door(limits=limits) as door:
            held = [await holds(door, 90_000, "AKIABBBBBBBBBBBBBBBB")]
            assert held[0]
            assert await holds(door, 90_000) is None
            assert await holds(door, 90_000, "AKIACCCCCCCCCCCCCCCC") is None
            held += [await holds(door, 90_000, KNOWN) for _ in range(3)]
            assert all(held)
            known = held[-1]
            assert known
            known[1].write(b"x")
            assert 200 == (await message(known[0]))[0]
            await let_go(*held)

    on_loop(run())


def test_what_strangers_held_is_given_back() -> None:
    """Their share is of what is under way, not of all that ever was."""

    async def run() -> None:
        limits = FrontLimits(held_by_strangers=100_000)
        async with open_door(limits=limits) as door:
            for _ in range(3):
                stranger = await holds(door, 90_000)
                assert stranger
                stranger[1].write(b"x")
                assert 200 == (await message(stranger[0]))[0]
                await let_go(stranger)

    on_loop(run())


def test_large_bodies_of_many_leave_room_for_small_ones() -> None:
    """A few tenants who send all they may do not shut out one who sends a little."""

    async def run() -> None:
        limits = FrontLimits(held_bytes=200_000, held_by_one=100_000, small=25_000)
        async with open_door(limits=limits) as door:
            tenants = [await from_cell(door, f"c{n}", f"a{n}") for n in range(4)]
            first, second, third, fourth = tenants
            assert first
            assert second
            assert third
            assert fourth
            for _, writer in (first, second):
                writer.write(half(72_000))
            await until(lambda: door.front.held >= 2 * 71_999)
            third[1].write(half(50_000))
            assert 503 == (await message(third[0]))[0]
            fourth[1].write(half(25_000) + b"x")
            assert 200 == (await message(fourth[0]))[0]
            await let_go(*tenants)

    on_loop(run())


def test_many_accounts_leave_place_for_the_cells_of_another() -> None:
    """Half of the places are for accounts that hold few (Q4)."""

    async def run() -> None:
        limits = FrontLimits(cells=8, per_account=4, per_cell=4, few_cells=1)
        async with open_door(limits=limits) as door:
            held = [await from_cell(door, f"c{n % 3}", f"a{n % 3}") for n in range(9)]
            assert 4 == sum(1 for one in held if one)
            assert ("127.0.0.1", "too many connections") in door.refusals
            late = [await from_cell(door, f"d{n}", f"b{n}") for n in range(4)]
            assert all(late)
            assert await from_cell(door, "d4", "b4") is None
            await let_go(*held, *late)

    on_loop(run())
