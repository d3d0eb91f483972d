"""
The front: the one HTTPS door, and the door of cells' own connections.

It accepts, counts and times connections, and leaves everything that a request
means to the handler.  HTTP/1.1 only; nothing is decompressed; no proxy is
believed.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable

from casemate.core.clock import Clock
from casemate.core.network import client_of
from casemate.core.share import Share
from casemate.road.ingress.acquaintance import Knows, access_key_of
from casemate.road.ingress.answer import PLAINTEXT, Response
from casemate.road.ingress.connection import (
    Admission,
    Connection,
    FrontLimits,
    Handler,
)
from casemate.road.ingress.head import Headers

Place = tuple[tuple[str, int], ...]
"""Who a connection is counted against, and to how many; the last one is whose its
bodies are."""

Refused = Callable[[str, str], None]
"""Is told who was refused before there was a request, and why."""

EndsWithCaller = Callable[[asyncio.Task[None]], bool]
"""Tells of a request that is to be ended when its caller leaves."""

_HANDSHAKE = 0x16
"""The first byte of a TLS handshake's record (RFC 8446, 5.1)."""
_SWEEP_SECONDS = 0.25
_ACCEPT_AT_ONCE = 64
_ACCEPT_PAUSE = 0.1
_OUTSIDE, _CELLS = "outside", "cells"


class Front:
    """Serves connections until it is drained."""

    def __init__(
        self,
        handler: Handler,
        limits: FrontLimits,
        admit: Admission,
        clock: Clock,
        on_refused: Refused,
        knows: Knows,
        ends_with_caller: EndsWithCaller = lambda _task: False,
    ) -> None:
        """knows: tells whether an access key is one of somebody known here."""
        self.handler = handler
        self.limits = limits
        self.admit = admit
        self.clock = clock
        self.draining = False
        self._on_refused = on_refused
        self._ends_with_caller = ends_with_caller
        self._knows = knows
        self._of_cells = Share(
            most=limits.cells,
            one=limits.per_account,
            kept=limits.cells // 2,
            floor=limits.few_cells,
        )
        self._of_bodies = Share(
            most=limits.held_bytes,
            one=limits.held_by_one,
            kept=limits.held_bytes // 4,
            floor=limits.small,
        )
        self._held_by_strangers = 0
        self._listening: set[socket.socket] = set()
        self._connections: set[Connection] = set()
        self._entering: set[asyncio.Task[None]] = set()
        self._places: dict[Connection, Place] = {}
        self._counted: Counter[str] = Counter()
        self._held: Counter[str] = Counter()
        self._total_held = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()

    @property
    def connections(self) -> int:
        """Connections that are open or being opened."""
        return self._counted[_OUTSIDE] + self._counted[_CELLS]

    @property
    def held(self) -> int:
        """Bytes of bodies under way."""
        return self._total_held

    def serve(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        """Accept connections from a listening socket, until `drain`."""
        listening.setblocking(False)
        self._listening.add(listening)
        self._listen(listening, context)
        self._start_sweeping()

    def adopt(
        self,
        accepted: socket.socket,
        context: ssl.SSLContext,
        *,
        cell: str,
        account: str,
    ) -> None:
        """
        Serve one connection that was accepted elsewhere, from a cell.

        Whose it is, is known by the descriptor and not by an address.
        account: the tenant that the cell serves.
        """
        accepted.setblocking(False)
        self._start_sweeping()
        own = self._counted[f"account:{account}"]
        if not self._of_cells.fits(own=own + 1, together=self._counted[_CELLS] + 1):
            self.refused(_peer(accepted), "too many connections")
            accepted.close()
            return
        place = (
            (_CELLS, self.limits.cells),
            (f"cell:{cell}", self.limits.per_cell),
            (f"account:{account}", self.limits.per_account),
        )
        self._enter(accepted, context, place, peer=_peer(accepted), cell=cell)

    async def drain(self, grace: float) -> None:
        """
        Stop accepting, let requests under way end, then close everything.

        grace: seconds for what is under way.
        """
        self.draining = True
        loop = asyncio.get_running_loop()
        for listening in self._listening:
            loop.remove_reader(listening)
            listening.close()
        self._listening.clear()
        for task in tuple(self._entering):
            task.cancel()
        for connection in tuple(self._connections):
            if not connection.busy:
                connection.close()
        try:
            async with asyncio.timeout(grace):
                await self._emptied()
        except TimeoutError:
            for connection in tuple(self._connections):
                connection.abort()
            await self._emptied_at_last()
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None

    # --- what connections call

    def ends_with_caller(self, task: asyncio.Task[None]) -> bool:
        """Ask the handler's side."""
        return self._ends_with_caller(task)

    def refused(self, peer: str, reason: str) -> None:
        """Tell of a refusal."""
        self._on_refused(peer, reason)

    def crashed(self, error: Exception) -> None:
        """Tell of a failure of the handler itself."""
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a request was not answered by its handler", "exception": error}
        )

    def knows(self, query: str, headers: Headers) -> bool:
        """Tell whether a head names an access key of somebody known; no proof."""
        key = access_key_of(query, headers)
        return key is not None and self._knows(key)

    def hold(self, whose: str, count: int, *, stranger: bool) -> bool:
        """Count bytes of bodies under way; False if they are too many."""
        self._total_held += count
        self._held[whose] += count
        if stranger:
            self._held_by_strangers += count
        own = self._held[whose]
        if not own:
            del self._held[whose]
            return True
        if stranger and self._held_by_strangers > self.limits.held_by_strangers:
            return False
        return self._of_bodies.fits(own=own, together=self._total_held)

    def gone(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)
        self._leave(self._places.pop(connection))

    # --- accepting

    def _listen(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        if listening in self._listening:
            loop = asyncio.get_running_loop()
            loop.add_reader(listening, self._accept, listening, context)

    def _accept(self, listening: socket.socket, context: ssl.SSLContext) -> None:
        for _ in range(_ACCEPT_AT_ONCE):
            try:
                accepted, _address = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors, say: a listener that stays readable would spin.
                self.refused("", f"cannot accept: {error.strerror}")
                loop = asyncio.get_running_loop()
                loop.remove_reader(listening)
                loop.call_later(_ACCEPT_PAUSE, self._listen, listening, context)
                return
            accepted.setblocking(False)
            peer = _peer(accepted)
            place = (
                (_OUTSIDE, self.limits.connections),
                (f"network:{client_of(peer)}", self.limits.per_peer),
            )
            self._enter(accepted, context, place, peer=peer, cell=None)

    def _enter(
        self,
        accepted: socket.socket,
        context: ssl.SSLContext,
        place: Place,
        *,
        peer: str,
        cell: str | None,
    ) -> None:
        """Find room for a connection, or close it before it costs anything."""
        full = any(self._counted[who] >= most for who, most in place)
        if self.draining or full:
            if not self.draining:
                self.refused(peer, "too many connections")
            accepted.close()
            return
        self._counted.update(who for who, _ in place)
        self._empty.clear()
        task = asyncio.get_running_loop().create_task(
            self._welcome(accepted, context, place, peer=peer, cell=cell)
        )
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    async def _welcome(
        self,
        accepted: socket.socket,
        context: ssl.SSLContext,
        place: Place,
        *,
        peer: str,
        cell: str | None,
    ) -> None:
        """Shake hands, within a time, with those who speak TLS."""
        connection = Connection(self, peer, cell, whose=place[-1][0])
        self._places[connection] = place
        try:
            async with asyncio.timeout(self.limits.handshake_seconds):
                if not await self._speaks_tls(accepted):
                    self.refused(peer, "plain text on the port of TLS")
                    return
                self._connections.add(connection)
                await asyncio.get_running_loop().connect_accepted_socket(
                    lambda: connection,
                    accepted,
                    ssl=context,
                    ssl_handshake_timeout=self.limits.handshake_seconds,
                    ssl_shutdown_timeout=self.limits.discard_seconds,
                )
        except (OSError, TimeoutError) as error:
            self.refused(peer, f"no handshake: {type(error).__name__}")
        finally:
            if not connection.made:
                accepted.close()
                if connection in self._places:
                    self.gone(connection)

    async def _speaks_tls(self, accepted: socket.socket) -> bool:
        """Look at the first byte without taking it; tell plain HTTP what this is."""
        loop = asyncio.get_running_loop()
        readable = loop.create_future()
        loop.add_reader(accepted, _set, readable)
        try:
            await readable
        finally:
            loop.remove_reader(accepted)
        first = accepted.recv(1, socket.MSG_PEEK)
        if first and first[0] == _HANDSHAKE:
            return True
        if not first:
            raise ConnectionAbortedError
        accepted.send(PLAINTEXT)
        # What is left unread would reset the connection before it is read.
        accepted.shutdown(socket.SHUT_WR)
        accepted.recv(65_536)
        return False

    # --- timing and ending

    def _start_sweeping(self) -> None:
        if self._sweeper is None:
            self._sweep()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweeper = loop.call_later(_SWEEP_SECONDS, self._sweep)
        self.expire()

    def expire(self) -> None:
        """End what has taken longer than it may; runs a few times a second."""
        now = self.clock.monotonic()
        for connection in tuple(self._connections):
            connection.expire(now)

    def _leave(self, place: Place) -> None:
        for who, _ in place:
            self._counted[who] -= 1
            if not self._counted[who]:
                del self._counted[who]
        if not self._counted:
            self._empty.set()

    async def _emptied_at_last(self) -> None:
        """Wait for handlers that were cancelled, but not for one that will not end."""
        try:
            async with asyncio.timeout(self.limits.discard_seconds):
                await self._emptied()
        except TimeoutError:
            self.refused("", f"{self.connections} requests did not end when cancelled")

    async def _emptied(self) -> None:
        if self._counted:
            await self._empty.wait()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _peer(accepted: socket.socket) -> str:
    """Give the address of the other side, without the port."""
    try:
        address = accepted.getpeername()
    except OSError:
        return ""
    host = address[0] if isinstance(address, tuple) else ""
    return str(host).removeprefix("::ffff:")


__all__ = ["Front", "FrontLimits", "Refused", "Response"]
