"""A front on a real socket, with real TLS, and clients that speak raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from functools import cache
from typing import Any, TypeVar

import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from casemate.core.call import Request
from casemate.core.clock import SystemClock
from casemate.road.ingress.answer import Response
from casemate.road.ingress.front import EndsWithCaller, Front, FrontLimits
from casemate.road.ingress.head import Headers
from casemate.road.ingress.tls import server_context

LIMIT = 100_000


class SetClock:
    """A clock that is moved by hand, ahead of the host's."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._host = SystemClock()

    def now(self) -> float:
        return self._host.now() + self.ahead

    def monotonic(self) -> float:
        return self._host.monotonic() + self.ahead


@cache
def pem() -> tuple[str, str]:
    """Make a certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "front")])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("front")]), False)
        .sign(key, hashes.SHA256())
    )
    return (
        certificate.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )


@cache
def context() -> ssl.SSLContext:
    return server_context(*pem())


@cache
def trusting() -> ssl.SSLContext:
    """Give a client's context that trusts the front alone."""
    made = ssl.create_default_context(cadata=pem()[0])
    made.set_alpn_protocols(["http/1.1"])
    return made


Answering = Callable[[Request], Awaitable[Response]]


async def echo(request: Request) -> Response:
    """Answer with what was understood."""
    told = f"{request.method} {request.path}?{request.query} "
    return Response(
        status=200,
        headers=(("Content-Type", "text/plain"),),
        body=told.encode() + request.body,
    )


def limit(_method: str, _path: str, _headers: Headers) -> int:
    return LIMIT


KNOWN = "AKIAAAAAAAAAAAAAAAAA"
"""The one access key that the front under test knows."""


class Door:
    """A front under test."""

    def __init__(
        self,
        handler: Answering = echo,
        limits: FrontLimits | None = None,
        ends_with_caller: EndsWithCaller = lambda _: False,
    ) -> None:
        self.clock = SetClock()
        self.refusals: list[tuple[str, str]] = []
        self.front = Front(
            handler,
            limits or FrontLimits(),
            limit,
            self.clock,
            lambda peer, reason: self.refusals.append((peer, reason)),
            KNOWN.__eq__,
            ends_with_caller,
        )
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]

    async def client(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=trusting(), server_hostname="front"
        )

    async def ask(self, data: bytes) -> bytes:
        """Send bytes, and read until the front closes."""
        reader, writer = await self.client()
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), 10)
        except ConnectionResetError:
            return b""
        finally:
            await closed(writer)

    def later(self, seconds: float) -> None:
        """Move time."""
        self.clock.ahead += seconds
        self.front.expire()


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError, ssl.SSLError):
        await writer.wait_closed()


@contextlib.asynccontextmanager
async def open_door(
    handler: Answering = echo,
    limits: FrontLimits | None = None,
    ends_with_caller: EndsWithCaller = lambda _: False,
) -> AsyncIterator[Door]:
    """Serve, and drain at the end; nothing may be left."""
    door = Door(handler, limits, ends_with_caller)
    door.front.serve(door.socket, context())
    try:
        yield door
    finally:
        await door.front.drain(5)
        assert (0, 0) == (door.front.connections, door.front.held)


T = TypeVar("T")


def on_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run on the loop of the platform."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds that has no event of its own."""
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110 — see above
            await asyncio.sleep(0)


async def message(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one answer with a length: status and body."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    status = int(head.split(b" ")[1])
    length = 0
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.partition(b":")[2])
    return status, await reader.readexactly(length)
