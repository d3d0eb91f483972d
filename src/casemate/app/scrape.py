"""
Metrics, health and readiness, over a Unix socket that is root's alone.

    GET /metrics   Prometheus text
    GET /healthz   200 while the node runs
    GET /readyz    200 while it takes calls, else 503

`curl --unix-socket SOCKET http://localhost/metrics`.  HTTP/1.0 in spirit: one
request, one answer, closed.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, final

_HEAD: Final = 8192
_SECONDS: Final = 10.0
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


@final
class Scrape:
    """Serve what a local monitor asks for."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        metrics: Callable[[], str],
        is_ready: Callable[[], bool],
    ) -> None:
        self._sock = sock
        self._metrics = metrics
        self._is_ready = is_ready
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(
            self._serve, sock=self._sock, limit=_HEAD
        )

    async def close(self) -> None:
        """Stop listening."""
        if self._server:
            self._server.close()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            async with asyncio.timeout(_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head))
                await writer.drain()
        except (TimeoutError, OSError, asyncio.LimitOverrunError, EOFError):
            pass  # The peer left, or is no HTTP client; there is nobody to tell.
        finally:
            writer.close()

    def _answer(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0]
        if method != b"GET":
            return _response(405, "only GET\n")
        match path:
            case b"/metrics":
                return _response(200, self._metrics())
            case b"/healthz":
                return _response(200, "ok\n")
            case b"/readyz":
                ready = self._is_ready()
                return _response(200 if ready else 503, f"{'ok' if ready else 'no'}\n")
            case _:
                return _response(404, "here are /metrics, /healthz and /readyz\n")


def _response(status: int, text: str) -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n"
        f"Content-Type: {_TEXT}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
