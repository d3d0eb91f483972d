"""
The keep-alive client that asks every server.

One connection: a blocking socket, so that as little as possible of the client is
measured.  Many connections: one uvloop, with the same bytes and the same check of
every answer.  Everything goes to 127.0.0.1, is bounded in time, and any answer
that is not the expected one ends the run.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Final, cast, final

import uvloop

HOST: Final = "127.0.0.1"
_PATIENCE: Final = 60.0
_CHUNK: Final = 65_536


class UnexpectedAnswerError(Exception):
    """A server did not say what it should have."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Where a server is.  tls: None for plain HTTP."""

    port: int
    tls: ssl.SSLContext | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A whole request, and what its answer must hold.  status: three digits."""

    request: bytes
    expected: bytes
    status: bytes = b"200"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """
    What one measurement saw.  Times are seconds.

    answers: all, those of the run-up and of the end too.  busy: the client's share
    of its core.
    """

    latencies: tuple[float, ...]
    answers: int
    elapsed: float
    busy: float

    @property
    def rate(self) -> float:
        """Give answers a second."""
        return len(self.latencies) / self.elapsed


class Line:
    """One blocking keep-alive connection."""

    def __init__(self, peer: Peer) -> None:
        plain = socket.create_connection((HOST, peer.port), _PATIENCE)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = (
            peer.tls.wrap_socket(plain, server_hostname=HOST) if peer.tls else plain
        )

    def ask(self, ask: Ask) -> float:
        """Ask, check the answer, give the seconds."""
        begin = time.perf_counter()
        status, body = self.exchange(ask.request)
        end = time.perf_counter()
        _check(status == ask.status and ask.expected in body, status, body)
        return end - begin

    def exchange(self, request: bytes) -> tuple[bytes, bytes]:
        """Send a request; give the status and the body of the answer."""
        self._socket.sendall(request)
        answer = self._more()
        while (whole := _whole(answer)) == 0 or len(answer) < whole:
            answer += self._more()
        return answer[9:12], answer.partition(b"\r\n\r\n")[2]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _more(self) -> bytes:
        more = self._socket.recv(_CHUNK)
        if not more:
            raise UnexpectedAnswerError("the server closed the connection")
        return more


def one_by_one(peer: Peer, asks: list[Ask], seconds: float) -> Sample:
    """Ask over one connection, each request after the last one's answer."""
    line = Line(peer)
    latencies: list[float] = []
    try:
        with _quiet():
            for ask in asks[:20]:
                line.ask(ask)
            begin, cpu = time.perf_counter(), time.process_time()
            end = begin + seconds
            for ask in cycle(asks):
                latencies.append(line.ask(ask))
                if time.perf_counter() > end:
                    break
            return _sample(latencies, begin, cpu, answers=20 + len(latencies))
    finally:
        line.close()


def many(peer: Peer, asks: list[Ask], connections: int, seconds: float) -> Sample:
    """Ask over many connections at once, for some seconds after a short run-up."""
    with _quiet():
        return uvloop.run(_many(peer, asks, connections, seconds))


class _Asker(asyncio.Protocol):
    """One connection of many: the next request leaves when an answer is whole."""

    def __init__(self, asks: Iterator[Ask], latencies: list[float]) -> None:
        self._asks = asks
        self._latencies = latencies
        self._ask: Ask | None = None
        self._sent = 0.0
        self._answer = b""
        self._stopping = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def data_received(self, data: bytes) -> None:
        answer = self._answer = self._answer + data if self._answer else data
        whole = _whole(answer)
        if not whole or len(answer) < whole or self._ask is None:
            return
        self._latencies.append(time.perf_counter() - self._sent)
        if answer[9:12] != self._ask.status or self._ask.expected not in answer:
            self._fail(UnexpectedAnswerError(answer[:500].decode("latin-1")))
            return
        self._answer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(exc or UnexpectedAnswerError("the server closed the connection"))

    def stop(self) -> None:
        """Ask nothing more once the answer that is due has come."""
        self._stopping = True

    def _next(self) -> None:
        if self._stopping:
            if not self.done.done():
                self.done.set_result(None)
            self._transport.close()
            return
        self._ask = next(self._asks)
        self._sent = time.perf_counter()
        self._transport.write(self._ask.request)

    def _fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)
        self._transport.close()


async def _many(
    peer: Peer, asks: list[Ask], connections: int, seconds: float
) -> Sample:
    loop = asyncio.get_running_loop()
    source, latencies = cycle(asks), list[float]()
    askers: list[_Asker] = []
    for _ in range(connections):
        _, asker = await loop.create_connection(
            lambda: _Asker(source, latencies), HOST, peer.port, ssl=peer.tls
        )
        askers.append(asker)
    await asyncio.sleep(min(0.3, seconds / 4))
    first = len(latencies)
    begin, cpu = time.perf_counter(), time.process_time()
    await asyncio.sleep(seconds)
    sample = _sample(latencies[first:], begin, cpu)
    for asker in askers:
        asker.stop()
    async with asyncio.timeout(_PATIENCE):
        await asyncio.gather(*(asker.done for asker in askers))
    return replace(sample, answers=len(latencies))


def _sample(
    latencies: list[float], begin: float, cpu: float, answers: int = 0
) -> Sample:
    elapsed = time.perf_counter() - begin
    busy = (time.process_time() - cpu) / elapsed
    return Sample(
        latencies=tuple(latencies), answers=answers, elapsed=elapsed, busy=busy
    )


def _whole(answer: bytes) -> int:
    """Give the length of the answer that begins here; 0 if not known yet."""
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return 0
    for line in answer[:head].split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return head + 4 + int(value)
    raise UnexpectedAnswerError("an answer without a length")


def _check(good: bool, status: bytes, body: bytes) -> None:
    if not good:
        said = body[:500].decode("latin-1")
        raise UnexpectedAnswerError(f"{status.decode('latin-1')}: {said}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the collector of garbage out of the client's figures."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
