"""The front: real sockets, real TLS, hostile bytes."""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import tracemalloc
from collections.abc import AsyncIterator
from typing import cast

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casemate.core.call import Request
from casemate.road.ingress.answer import Response
from casemate.road.ingress.front import FrontLimits
from casemate.road.ingress.head import HeadError, read_head
from unit.road.ingress.door import (
    LIMIT,
    Door,
    closed,
    context,
    echo,
    message,
    on_loop,
    open_door,
    trusting,
    until,
)

HOST = b"Host: front\r\n"
CLOSE = b"Connection: close\r\n"


def ask(data: bytes) -> bytes:
    async def run() -> bytes:
        async with open_door() as door:
            return await door.ask(data)

    return on_loop(run())


def get(*headers: bytes, line: bytes = b"GET /a?b=c HTTP/1.1") -> bytes:
    return line + b"\r\n" + HOST + b"".join(h + b"\r\n" for h in headers) + b"\r\n"


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def test_a_request_is_answered() -> None:
    """Method, path, query and body arrive; the answer is whole and dated."""
    answer = ask(
        b"POST /a%2F?x=1 HTTP/1.1\r\n" + HOST + CLOSE + b"Content-Length: 2\r\n\r\nhi"
    )

    assert 200 == status(answer)
    assert answer.endswith(b"\r\n\r\nPOST /a%2F?x=1 hi")
    assert b"\r\nDate: " in answer
    assert b"\r\nConnection: close\r\n" in answer


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # H1: two framings, or one that can be read in two ways.
        (get(b"Content-Length: 1", b"Transfer-Encoding: chunked"), 400),
        (get(b"Content-Length: 1", b"Content-Length: 1"), 400),
        (get(b"Content-Length: 1", b"content-length: 2"), 400),
        (get(b"Content-Length: 1, 1"), 400),
        (get(b"Transfer-Encoding: xchunked"), 400),
        (get(b"Transfer-Encoding: chunked, chunked"), 400),
        (get(b"Transfer-Encoding: gzip, chunked"), 400),
        (get(b"Transfer-Encoding: identity"), 400),
        (get(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"), 400),
        (get(b"Transfer-Encoding:\x0bchunked"), 400),
        (get(b"Transfer-Encoding : chunked"), 400),
        (get(b" Transfer-Encoding: chunked"), 400),
        (get(b"X: a", b" folded"), 400),
        (get(b"X: a", b"\tfolded"), 400),
        (get(b"X: a\nY: b"), 400),
        (get(b"X: a\rY: b"), 400),
        (b"GET / HTTP/1.1\n" + HOST, 400),
        (b"GET / HTTP/1.1\nHost: front\n\n", 400),
        (b"\r\nGET / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        # H2: sizes.
        (get(b"Content-Length: -1"), 400),
        (get(b"Content-Length: +1"), 400),
        (get(b"Content-Length: 0x10"), 400),
        (get(b"Content-Length: "), 400),
        (get(b"Content-Length: 99999999999999999999"), 400),
        (get(b"Content-Length: 99999999999999"), 413),
        (get(b"Content-Length: %d" % (LIMIT + 1)), 413),
        (get(b"Transfer-Encoding: chunked") + b"FFFFFFFFFFFFFFFF\r\n", 400),
        (get(b"Transfer-Encoding: chunked") + b"FFFFFFFF\r\n", 413),
        (get(b"Transfer-Encoding: chunked") + b"-1\r\n", 400),
        (get(b"Transfer-Encoding: chunked") + b"1;a=b\r\nx\r\n0\r\n\r\n", 400),
        (get(b"Transfer-Encoding: chunked") + b"1;\nx\r\n0\r\n\r\n", 400),
        (get(b"Transfer-Encoding: chunked") + b"1 \r\nx\r\n0\r\n\r\n", 400),
        (get(b"Transfer-Encoding: chunked") + b"1\nx\n0\n\n", 400),
        (get(b"Transfer-Encoding: chunked") + b"1\r\nxy\r\n0\r\n\r\n", 400),
        (get(b"Transfer-Encoding: chunked") + b"0\r\nX-Trailer: 1\r\n\r\n", 400),
        (get(b"Transfer-Encoding: chunked") + b"\r\n", 400),
        (get(b"Transfer-Encoding: chunked") + b"1\r\nx\r\n" * 9_000, 400),
        (get(b"Trailer: X", b"Transfer-Encoding: chunked"), 400),
        # H3: the platform's own word.
        (get(b"X-Casemate-Cell: c1"), 400),
        (get(b"x-CASEMATE-account: 1"), 400),
        # H4: names.
        (get(b"X-Amz-Date: 1", b"X-Amz-Date: 2"), 400),
        (get(b"Authorization: 1", b"AUTHORIZATION: 2"), 400),
        (get(b"X_Amz_Date: 1"), 400),
        (get(b"Content_Length: 1"), 400),
        (get(b"X-A: 1", b"X_A: 2"), 400),
        (get(b"X\xe9: 1"), 400),
        (get(b"X: \xe9"), 400),
        (get(b"X: \x00"), 400),
        (get(b"X: \x7f"), 400),
        (get(b": 1"), 400),
        (get(b"X"), 400),
        (get(b"X: " + b"a" * 100_000), 431),
        (get(*[b"X-%d: 1" % i for i in range(101)]), 431),
        (get(*[b"X-%d: 1" % i for i in range(10_000)]), 431),
        # H6: hosts.
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (get(b"Host: front"), 400),
        (get(b"Host: other"), 400),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (get(line=b"GET https://other/ HTTP/1.1"), 400),
        (get(line=b"GET http://front/ HTTP/1.1"), 400),
        (get(line=b"GET https://front@other/ HTTP/1.1"), 400),
        (get(line=b"CONNECT front:443 HTTP/1.1"), 400),
        (get(line=b"OPTIONS * HTTP/1.1"), 400),
        (get(line=b"GET /#a HTTP/1.1"), 400),
        (get(line=b"GET /\xe9 HTTP/1.1"), 400),
        (get(line=b"get / HTTP/1.1"), 400),
        (get(line=b"GET  / HTTP/1.1"), 400),
        (get(line=b"GET / HTTP/1.1 "), 400),
        # H7: other protocols.
        (get(b"Upgrade: h2c", b"HTTP2-Settings: x", b"Connection: Upgrade"), 400),
        (get(b"Connection: upgrade"), 400),
        (get(b"Upgrade: websocket"), 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        (b"GET / HTTP/1.0\r\n" + HOST + b"\r\n", 505),
        (b"GET / HTTP/0.9\r\n\r\n", 505),
        (b"GET /\r\n\r\n", 400),
        (b"\x16\x03\x01\x00\x00", 400),
        (get(b"Expect: something"), 417),
    ],
    ids=lambda v: repr(v[:60]) if isinstance(v, bytes) else str(v),
)
def test_what_can_be_read_in_two_ways_is_refused(data: bytes, expected: int) -> None:
    """H1, H2, H3, H4, H6, H7: a small constant answer, recorded, and the end."""

    async def run() -> None:
        limits = FrontLimits(discard_seconds=0.05)
        async with open_door(limits=limits) as door:
            answer = await door.ask(data)

            assert expected == status(answer)
            assert b"Connection: close" in answer
            assert 300 > len(answer)
            assert 1 == len(door.refusals)

    on_loop(run())


@pytest.mark.parametrize(
    "header",
    [
        b"X-Forwarded-For: 1.2.3.4",
        b"X-Forwarded-Host: a",
        b"Forwarded: for=1",
        b"Proxy: a",
    ],
)
def test_what_only_a_gateway_may_say_is_dropped(header: bytes) -> None:
    """H3, N15: nothing behind the front can come to believe it."""
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return await echo(request)

    async def run() -> None:
        async with open_door(handler) as door:
            await door.ask(get(header, b"X-Other:  kept ", b"Connection: close"))

    on_loop(run())

    assert (("host", "front"), ("x-other", "kept"), ("connection", "close")) == seen[
        0
    ].headers


def test_h15_nothing_is_decompressed() -> None:
    """H15: an encoded body is bytes like any other."""
    data = b"POST / HTTP/1.1\r\n" + HOST + CLOSE
    data += b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"

    assert ask(data).endswith(b"POST /? \x1f\x8b\x08")


def test_an_absolute_target_of_this_host_is_read() -> None:
    """RFC 9112, 3.2.2: it is the same request."""
    line = b"GET https://FRONT/a?b=c HTTP/1.1"

    assert ask(get(b"Connection: close", line=line)).endswith(b"GET /a?b=c ")


@pytest.mark.parametrize("pause", [False, True])
def test_a_body_in_chunks_arrives_whole(pause: bool) -> None:
    """However the bytes are cut on their way."""

    async def run() -> None:
        async with open_door() as door:
            reader, writer = await door.client()
            data = b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: Chunked\r\n\r\n"
            data += b"5\r\nhello\r\n00A\r\n, chunked!\r\n0\r\n\r\n"
            for at in range(len(data)):
                writer.write(data[at : at + 1])
                if pause:
                    await writer.drain()
                    await asyncio.sleep(0)

            assert (200, b"POST /? hello, chunked!") == await message(reader)
            await closed(writer)

    on_loop(run())


def test_pipelined_requests_are_answered_in_order() -> None:
    """One at a time, and the next starts where the body before it ended."""

    async def run() -> None:
        async with open_door() as door:
            reader, writer = await door.client()
            for n in range(50):
                body = b"x" * n
                writer.write(
                    b"POST /%d HTTP/1.1\r\n" % n
                    + HOST
                    + b"Content-Length: %d\r\n\r\n" % n
                    + body
                )
            for n in range(50):
                assert (200, b"POST /%d? " % n + b"x" * n) == await message(reader)
            await closed(writer)

    on_loop(run())


def test_a_flood_of_pipelined_requests_waits_in_the_kernel() -> None:
    """What a client sends while it is not answered is not taken in."""
    gate: asyncio.Event = asyncio.Event()
    big = b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 8_000 + b"\r\n\r\n"

    async def handler(request: Request) -> Response:
        await gate.wait()
        return await echo(request)

    async def run() -> None:
        async with open_door(handler) as door:
            reader, writer = await door.client()
            writer.write(big * 2_000)
            await reached(door, b"x")
            (connection,) = door.front._connections
            await until(lambda: connection._paused)
            for _ in range(200):
                await asyncio.sleep(0)
            assert 1_000_000 > len(connection._in)
            gate.set()
            for _ in range(2_000):
                assert 200 == (await message(reader))[0]
            await closed(writer)

    on_loop(run())


def test_a_client_that_waits_is_told_to_continue() -> None:
    """Expect: 100-continue, once the head has been accepted."""

    async def run() -> None:
        async with open_door() as door:
            reader, writer = await door.client()
            head = b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-Continue\r\n"
            writer.write(head + b"Content-Length: 2\r\n\r\n")
            assert b"HTTP/1.1 100 Continue\r\n\r\n" == await reader.readexactly(25)
            writer.write(b"hi")
            assert (200, b"POST /? hi") == await message(reader)
            writer.write(head + b"Content-Length: 9999999\r\n\r\n")
            assert 413 == (await message(reader))[0]
            await closed(writer)

    on_loop(run())


@pytest.mark.parametrize(
    ("data", "seconds", "expected"),
    [
        (b"", 16, b""),
        (b"GET / HT", 16, b"HTTP/1.1 408"),
        (get()[:-2], 16, b"HTTP/1.1 408"),
        (get(b"Content-Length: 9") + b"1", 21, b"HTTP/1.1 408"),
        (get(b"Transfer-Encoding: chunked") + b"9\r\n1", 21, b"HTTP/1.1 408"),
        (get(b"Transfer-Encoding: chunked") + b"0", 21, b"HTTP/1.1 408"),
    ],
)
def test_h2_who_is_slow_is_let_go(data: bytes, seconds: float, expected: bytes) -> None:
    """Slowloris: head and body each have their time, however bytes dribble."""

    async def run() -> None:
        async with open_door() as door:
            reader, writer = await door.client()
            writer.write(data)
            await reached(door, data)
            door.later(seconds)
            answer = await asyncio.wait_for(reader.read(12), 5)

            assert expected == answer
            door.later(4)
            await closed(writer)

    on_loop(run())


async def reached(door: Door, data: bytes) -> None:
    """Wait until the front has seen the bytes."""
    await until(lambda: bool(door.front._connections))
    (connection,) = door.front._connections
    await until(lambda: connection.made and (not data or connection.busy))


def test_an_idle_connection_is_closed() -> None:
    """After an answer, within the idle time, without a word."""

    async def run() -> None:
        async with open_door() as door:
            reader, writer = await door.client()
            writer.write(get())
            await message(reader)
            door.later(74)
            writer.write(get())
            await message(reader)
            door.later(76)
            assert b"" == await asyncio.wait_for(reader.read(), 5)
            await closed(writer)

    on_loop(run())


def test_a_handshake_has_its_time() -> None:
    """Who connects and says nothing is closed, and counted while it waits."""

    async def run() -> None:
        limits = FrontLimits(handshake_seconds=0.1)
        async with open_door(limits=limits) as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            assert b"" == await asyncio.wait_for(reader.read(), 5)
            assert 0 == door.front.connections
            await closed(writer)

    on_loop(run())


def test_plain_http_is_told_what_this_port_is() -> None:
    """One short line over plain text, and the end."""

    async def run() -> None:
        async with open_door() as door:
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(get())
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.startswith(b"HTTP/1.1 400 ")
            assert answer.endswith(b"this port speaks HTTPS only\n")
            assert ["plain text on the port of TLS"] == [r for _, r in door.refusals]
            await closed(writer)

    on_loop(run())


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_is_of_this_decade(version: ssl.TLSVersion) -> None:
    """1.2 and 1.3, http/1.1 by ALPN; 1.1 is no handshake."""

    async def run() -> None:
        async with open_door() as door:
            client = ssl.create_default_context(cadata=None)
            client.check_hostname = False
            client.verify_mode = ssl.CERT_NONE
            client.minimum_version = client.maximum_version = version
            client.set_alpn_protocols(["h2", "http/1.1"])
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", door.port, ssl=client
            )
            spoken = writer.get_extra_info("ssl_object")
            assert "http/1.1" == spoken.selected_alpn_protocol()
            assert "GCM" in spoken.cipher()[0] or "CHACHA20" in spoken.cipher()[0]
            writer.write(get())
            assert 200 == (await message(reader))[0]
            await closed(writer)

    on_loop(run())


def test_a_context_refuses_what_is_old() -> None:
    """No TLS 1.1, no renegotiation, no key on disk."""
    made = context()

    assert ssl.TLSVersion.TLSv1_2 == made.minimum_version
    assert ssl.OP_NO_RENEGOTIATION & made.options
    assert all(
        "AES128-SHA" not in c["name"].removesuffix("256") for c in made.get_ciphers()
    )


def test_connections_are_counted() -> None:
    """Past the bound of one address, a connection is closed before it costs."""

    async def run() -> None:
        async with open_door(limits=FrontLimits(per_peer=2)) as door:
            first = await door.client()
            second = await door.client()
            with pytest.raises(OSError):  # noqa: PT011 — reset or end, as the kernel has it
                await door.client()
            assert [("127.0.0.1", "too many connections")] == door.refusals
            await closed(first[1])
            await until(lambda: door.front.connections == 1)
            third = await door.client()
            await closed(second[1])
            await closed(third[1])

    on_loop(run())


def test_bodies_together_are_bounded() -> None:
    """A body that would pass the bound of all is refused; the rest is given back."""

    async def run() -> None:
        async with open_door(limits=FrontLimits(held_bytes=50_000)) as door:
            reader, writer = await door.client()
            writer.write(get(b"Content-Length: 90000") + b"x" * 60_000)
            assert 503 == (await message(reader))[0]
            assert 0 == door.front.held
            await closed(writer)

    on_loop(run())


def test_the_body_of_a_call_that_goes_on_counts_until_it_ends() -> None:
    """Who sends and leaves holds as many bytes as who stays."""
    started, end = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.path == "/slow":
            started.set()
            await end.wait()
        return await echo(request)

    async def run() -> None:
        async with open_door(handler, FrontLimits(held_bytes=150_000)) as door:
            _, writer = await door.client()
            long = get(b"Content-Length: 90000", line=b"POST /slow HTTP/1.1")
            writer.write(long + b"x" * 90_000)
            await started.wait()
            writer.transport.abort()
            await until(lambda: not door.front.connections)
            held = door.front.held
            assert held > 60_000
            reader, other = await door.client()
            other.write(get(b"Content-Length: 95000") + b"x" * 95_000)
            assert 503 == (await message(reader))[0]
            assert held == door.front.held
            end.set()
            await until(lambda: not door.front.held)
            await closed(other)

    on_loop(run())


def test_h22_a_client_that_leaves_takes_only_its_own() -> None:
    """H22: its handler goes on to its end, and no one sees the answer."""
    ended: list[str] = []
    started, end = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.path == "/slow":
            started.set()
            try:
                await end.wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            ended.append("answered")
        return await echo(request)

    async def run() -> None:
        async with open_door(handler) as door:
            _, writer = await door.client()
            writer.write(get(line=b"GET /slow HTTP/1.1") + get(line=b"GET /b HTTP/1.1"))
            await started.wait()
            writer.transport.abort()
            reader, writer = await door.client()
            writer.write(get(line=b"GET /mine HTTP/1.1"))
            assert (200, b"GET /mine? ") == await message(reader)
            end.set()
            await until(lambda: bool(ended))
            writer.write(get(line=b"GET /again HTTP/1.1"))
            assert (200, b"GET /again? ") == await message(reader)
            await closed(writer)
            await until(lambda: not door.front.connections)

    on_loop(run())

    assert ["answered"] == ended


def test_what_only_waits_ends_with_its_client() -> None:
    """Where the handler's side says so, who leaves ends the request too."""
    ended: list[str] = []
    started = asyncio.Event()

    async def handler(_request: Request) -> Response:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        raise AssertionError("nobody ends this")

    async def run() -> None:
        async with open_door(handler, ends_with_caller=lambda _: True) as door:
            _, writer = await door.client()
            writer.write(get(line=b"GET /poll HTTP/1.1"))
            await started.wait()
            writer.transport.abort()
            await until(lambda: ["cancelled"] == ended)
            await until(lambda: not door.front.connections)

    on_loop(run())


def test_h22_a_client_that_leaves_in_mid_answer_ends_its_stream() -> None:
    """H22: the stream is closed, and the next connection starts clean."""
    ended: list[str] = []

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65_536
        finally:
            ended.append("closed")

    async def handler(request: Request) -> Response:
        if request.path == "/endless":
            return Response(status=200, headers=(), body=endless())
        return await echo(request)

    async def run() -> None:
        async with open_door(handler) as door:
            reader, writer = await door.client()
            writer.write(get(line=b"GET /endless HTTP/1.1"))
            assert b"HTTP/1.1 200" == await reader.readexactly(12)
            writer.transport.abort()
            await until(lambda: ["closed"] == ended)
            assert 0 == door.front.connections
            assert (await door.ask(get(b"Connection: close"))).endswith(b"GET /a?b=c ")

    on_loop(run())


def test_who_does_not_read_is_let_go() -> None:
    """Back-pressure: a stream waits for its reader, and not for ever."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65_536

    async def handler(_request: Request) -> Response:
        return Response(status=200, headers=(), body=endless())

    async def run() -> None:
        async with open_door(handler) as door:
            plain = socket.create_connection(("127.0.0.1", door.port))
            plain.setblocking(False)
            reader, writer = await asyncio.open_connection(
                sock=plain, ssl=trusting(), server_hostname="front", limit=1024
            )
            writer.write(get())
            await reader.readexactly(12)
            cast("asyncio.ReadTransport", writer.transport).pause_reading()
            (connection,) = door.front._connections
            await until(lambda: connection._writable is not None)
            door.later(60)
            await until(lambda: not door.front.connections)
            writer.transport.abort()

    on_loop(run())


def test_a_stream_is_sent_in_chunks() -> None:
    """An answer of unknown length ends with its last chunk; HEAD has none."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        yield b""
        yield b"two"

    async def handler(_request: Request) -> Response:
        return Response(status=200, headers=(("Content-Length", "9"),), body=parts())

    async def run() -> None:
        async with open_door(handler) as door:
            answer = await door.ask(get(b"Connection: close"))
            assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
            assert b"Content-Length" not in answer
            head = await door.ask(get(b"Connection: close", line=b"HEAD / HTTP/1.1"))
            assert head.endswith(b"\r\n\r\n")

    on_loop(run())


@pytest.mark.parametrize(
    "response",
    [
        Response(status=200, headers=(("X", "a\r\nY: b"),), body=b""),
        Response(status=200, headers=(("X\r\nY", "b"),), body=b""),
        Response(status=200, headers=(("X", "\x00"),), body=b""),
        Response(status=200, headers=(("", "a"),), body=b""),
        Response(status=99, headers=(), body=b""),
        Response(status=101, headers=(), body=b""),
        Response(status=600, headers=(), body=b""),
    ],
)
def test_h13_an_answer_that_would_split_is_not_sent(response: Response) -> None:
    """H13: the platform's own mistake is a 500, told to the loop's handler."""

    async def handler(_request: Request) -> Response:
        return response

    async def run() -> bytes:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, c: told.append(c))
        async with open_door(handler) as door:
            answer = await door.ask(get())
            assert 1 == len(told)
            return answer

    answer = on_loop(run())

    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"Y: b" not in answer


def test_h14_a_service_does_not_frame() -> None:
    """H14: length, encoding and connection are the front's own."""

    async def handler(_request: Request) -> Response:
        headers = (("Content-length", "99"), ("Transfer-Encoding", "x"), ("X", "1"))
        return Response(status=200, headers=headers, body=b"ok")

    async def run() -> bytes:
        async with open_door(handler) as door:
            return await door.ask(get(b"Connection: close"))

    answer = on_loop(run())

    assert 1 == answer.lower().count(b"content-length")
    assert b"Transfer-Encoding" not in answer
    assert answer.endswith(b"\r\nX: 1\r\n" + answer.partition(b"\r\nX: 1\r\n")[2])


def test_a_cells_connection_is_known_by_its_descriptor() -> None:
    """What is adopted is served like the rest, and says which cell it is."""
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return await echo(request)

    async def run() -> None:
        async with open_door(handler) as door:
            with socket.create_server(("127.0.0.1", 0)) as inner:
                address = inner.getsockname()
                dialling = asyncio.open_connection(
                    *address[:2], ssl=trusting(), server_hostname="front"
                )
                task = asyncio.ensure_future(dialling)
                inner.setblocking(False)
                accepted, _ = await asyncio.get_running_loop().sock_accept(inner)
                door.front.adopt(
                    accepted, context(), cell="c0123456789abcdef", account="1" * 12
                )
                reader, writer = await task
            writer.write(get())
            assert 200 == (await message(reader))[0]
            await closed(writer)

    on_loop(run())

    assert ("c0123456789abcdef", "127.0.0.1") == (seen[0].cell, seen[0].peer)


def test_draining_lets_requests_end() -> None:
    """New connections are refused, idle ones closed, a running one is answered."""
    gate, started = asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        started.set()
        await gate.wait()
        return await echo(request)

    async def run() -> None:
        async with open_door(handler) as door:
            idle, idle_writer = await door.client()
            reader, writer = await door.client()
            writer.write(get())
            await started.wait()
            drained = asyncio.ensure_future(door.front.drain(5))
            assert b"" == await asyncio.wait_for(idle.read(), 5)
            with pytest.raises(OSError):  # noqa: PT011 — reset or end, as the kernel has it
                await door.client()
            assert not drained.done()
            gate.set()
            answer = await reader.read()
            assert answer.endswith(b"GET /a?b=c ")
            assert b"Connection: close" in answer
            await drained
            await closed(idle_writer)
            await closed(writer)

    on_loop(run())


def test_draining_ends() -> None:
    """Past its grace, no connection is left, whatever still runs."""

    async def handler(request: Request) -> Response:
        await asyncio.Event().wait()
        return await echo(request)

    async def run() -> None:
        async with open_door(handler) as door:
            _, writer = await door.client()
            writer.write(get())
            await reached(door, b"x")
            await door.front.drain(0.05)
            assert 0 == door.front.connections
            await closed(writer)

    on_loop(run())


GARBAGE = st.lists(
    st.binary(max_size=40)
    | st.sampled_from(
        [
            b"GET / HTTP/1.1\r\n",
            b"POST /a HTTP/1.1\r\n",
            HOST,
            b"\r\n",
            b"\r\n\r\n",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"hello",
            b"Expect: 100-continue\r\n",
            get(),
        ]
    ),
    max_size=12,
)


def test_any_bytes_end() -> None:
    """Whatever is sent, however cut: answers or a refusal, then nothing is left."""

    async def one(door: Door, parts: list[bytes]) -> None:
        reader, writer = await door.client()
        for part in parts:
            writer.write(part)
            await asyncio.sleep(0)
        writer.write_eof() if writer.can_write_eof() else writer.close()
        try:
            answer = await asyncio.wait_for(reader.read(), 5)
        except OSError:
            answer = b""
        assert not answer or answer.startswith(b"HTTP/1.1 ")
        await closed(writer)
        door.later(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        told: list[object] = []
        runner.get_loop().set_exception_handler(lambda _, c: told.append(c))
        door = Door(limits=FrontLimits(discard_seconds=0.05))
        runner.run(_serve(door))

        @settings(
            max_examples=250,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(GARBAGE)
        def holds(parts: list[bytes]) -> None:
            runner.run(one(door, parts))

        holds()
        runner.run(door.front.drain(5))

        assert [] == told
        assert (0, 0) == (door.front.connections, door.front.held)


async def _serve(door: Door) -> None:
    door.front.serve(door.socket, context())


@settings(max_examples=1_500, deadline=None)
@given(
    st.binary(max_size=200)
    | st.lists(
        st.sampled_from([b"GET / HTTP/1.1", b"\r\n", HOST[:-2], b"X: a", b"\x80", b":"])
    ).map(b"".join)
)
def test_any_head_is_read_or_refused(data: bytes) -> None:
    """The grammar is total: a head, or a refusal, and nothing else."""
    try:
        head = read_head(data)
    except HeadError:
        return
    assert head.path.startswith("/")


def test_memory_is_bounded() -> None:
    """Many refused clients leave nothing behind."""

    async def run() -> None:
        limits = FrontLimits(discard_seconds=0.01)
        async with open_door(limits=limits) as door:
            await door.ask(b"X" * 40_000)
            gc.collect()
            tracemalloc.start()
            for _ in range(3):
                await asyncio.gather(*(door.ask(b"X" * 40_000) for _ in range(30)))
            door.refusals.clear()
            gc.collect()
            current, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert 1_000_000 > current
            assert 30_000_000 > peak

    on_loop(run())


class Closing:
    """A stream that says when it is let go."""

    def __init__(self) -> None:
        self.closed = 0

    def __aiter__(self) -> Closing:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self.closed += 1


def test_a_stream_that_is_never_sent_is_let_go() -> None:
    """Whoever makes it waits for its reader: one who left before the head as well."""
    body, started, go_on = Closing(), asyncio.Event(), asyncio.Event()

    async def handler(request: Request) -> Response:
        if request.path == "/unfit":
            return Response(status=200, headers=(("X", "\x00"),), body=body)
        started.set()
        await go_on.wait()
        return Response(status=200, headers=(), body=body)

    async def run() -> None:
        async with open_door(handler) as door:
            _, writer = await door.client()
            writer.write(get(line=b"GET /late HTTP/1.1"))
            await started.wait()
            writer.transport.abort()
            await until(lambda: not door.front.connections)
            go_on.set()
            await until(lambda: 1 == body.closed)

            asyncio.get_running_loop().set_exception_handler(lambda *_: None)
            assert b"500" in await door.ask(get(line=b"GET /unfit HTTP/1.1"))
            await until(lambda: 2 == body.closed)

    on_loop(run())
