"""
The listeners of one cell, in the cell's network namespace but held here.

    tcp      redirected connections: judged by their original destination
    dns_udp  questions, answered in place
    dns_tcp  the same, length-prefixed

Everything read here is hostile.  A cell that does more than its rate is not
read until it may again: the kernel's own bounded queues then push back on the
cell, and this process spends nothing on it.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from casemate.core.bucket import Bucket
from casemate.core.clock import Clock
from casemate.road.egress.dns import LARGEST_QUERY, answer
from casemate.road.egress.names import Names
from casemate.road.egress.policy import Judge, Refused
from casemate.road.egress.report import Report

_SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h
_SOCKADDR_IN = struct.Struct("=H2s4s8x")
_BACKLOG = 128
_AT_ONCE = 16
"""Accepts or datagrams of one cell before the others have their turn."""
_SHORT_OF_DESCRIPTORS = 0.1
_CONNECTIONS = 200.0
_QUESTIONS = 200.0
_DNS_CONNECTIONS_RATE = 50.0
_DNS_CONNECTIONS = 8
_DNS_SECONDS = 5.0
_DNS_QUERIES = 4


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """The three sockets of a cell."""

    tcp: socket.socket
    dns_udp: socket.socket
    dns_tcp: socket.socket


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What holds for every cell."""

    judge: Judge
    names: Names
    clock: Clock


@final
class Paced:
    """Calls `step` while a socket is readable, at most at a rate."""

    def __init__(
        self, sock: socket.socket, rate: float, clock: Clock, step: Callable[[], None]
    ) -> None:
        self._socket = sock
        self._clock = clock
        self._step = step
        self._bucket = Bucket.full(rate, 2 * rate, clock.monotonic())
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._resume()

    def close(self) -> None:
        """Stop, and close the socket."""
        if self._later is not None:
            self._later.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _resume(self) -> None:
        self._later = None
        self._loop.add_reader(self._socket.fileno(), self._readable)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._later = self._loop.call_later(seconds, self._resume)

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            wait = self._bucket.take(self._clock.monotonic())
            if wait:
                self._pause(wait)
                return
            try:
                self._step()
            except BlockingIOError:
                self._bucket.tokens += 1  # Not needed after all.
                return
            except ConnectionError:
                return  # Whoever connected has gone again.
            except OSError:
                self._pause(_SHORT_OF_DESCRIPTORS)
                return


@final
class Gateway:
    """Serves one cell until it is closed."""

    def __init__(
        self, cell: str, listeners: Listeners, rules: Rules, report: Report
    ) -> None:
        self._cell = cell
        self._listeners = listeners
        self._rules = rules
        self._report = report
        self._talks: set[asyncio.Task[None]] = set()
        for listener in (listeners.tcp, listeners.dns_tcp):
            listener.listen(_BACKLOG)
        clock = rules.clock
        self._paced = (
            Paced(listeners.tcp, _CONNECTIONS, clock, self._accept),
            Paced(listeners.dns_udp, _QUESTIONS, clock, self._datagram),
            Paced(
                listeners.dns_tcp, _DNS_CONNECTIONS_RATE, clock, self._dns_connection
            ),
        )

    def close(self) -> None:
        """Close the listeners and every connection that is still here."""
        for paced in self._paced:
            paced.close()
        for talk in self._talks:
            talk.cancel()
        self._report.close()

    def _accept(self) -> None:
        connection, _ = self._listeners.tcp.accept()
        destination = original_destination(connection)
        if destination is None:
            connection.close()
            self._report.refused("", "a connection without an original destination")
            return
        address, port = destination
        verdict = self._rules.judge.destination(self._cell, address, port)
        if isinstance(verdict, Refused):
            connection.close()
            self._report.refused(f"{address}:{port}", verdict.reason)
        else:
            self._report.connection(connection, f"{address}:{port}")

    def _datagram(self) -> None:
        # One byte more than the limit shows a query that is too large.
        data, sender = self._listeners.dns_udp.recvfrom(LARGEST_QUERY + 1)
        reply = self._answered(data)
        if reply is not None:
            self._listeners.dns_udp.sendto(reply, sender)

    def _answered(self, query: bytes) -> bytes | None:
        reply = answer(query, lambda name: self._rules.names.address(self._cell, name))
        if reply.refused is not None:
            self._report.refused(f"dns:{reply.refused}", "a name that was not issued")
        return reply.data

    def _dns_connection(self) -> None:
        connection, _ = self._listeners.dns_tcp.accept()
        if len(self._talks) >= _DNS_CONNECTIONS:
            connection.close()
            return
        talk = asyncio.get_running_loop().create_task(self._talk(connection))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, connection: socket.socket) -> None:
        """Answer the questions of one connection, for some seconds at most."""
        connection.setblocking(False)
        try:
            async with asyncio.timeout(_DNS_SECONDS):
                await self._questions(connection)
        except (TimeoutError, OSError, EOFError):
            return
        finally:
            connection.close()

    async def _questions(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(_DNS_QUERIES):
            length = int.from_bytes(await _exactly(connection, 2), "big")
            if length > LARGEST_QUERY:
                return
            reply = self._answered(await _exactly(connection, length))
            if reply is None:
                return
            await loop.sock_sendall(connection, len(reply).to_bytes(2, "big") + reply)


async def _exactly(connection: socket.socket, count: int) -> bytes:
    """Read so many bytes.  Raises EOFError."""
    loop = asyncio.get_running_loop()
    data = b""
    while len(data) < count:
        more = await loop.sock_recv(connection, count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def original_destination(
    connection: socket.socket,
) -> tuple[ipaddress.IPv4Address, int] | None:
    """
    Tell where a redirected connection was going, from connection tracking.

    None: the kernel knows of none.  Of a connection that was made to the
    listener itself it is the listener's own address.
    """
    try:
        raw = connection.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, _SOCKADDR_IN.size)
        family, port, address = _SOCKADDR_IN.unpack(raw)
    except (OSError, struct.error):
        return None
    if family != socket.AF_INET:
        return None
    return ipaddress.IPv4Address(address), int.from_bytes(port, "big")
