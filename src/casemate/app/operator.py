"""
The operator's door: a Unix socket that gives a session, and nothing else.

The socket's file is root's alone and the peer's uid is checked again, so who
can speak here could read the data folder anyway.  It gives a short-lived
session of an administrator role; everything else is asked over the API with
that session, on the road, and recorded.

One JSON line in, one JSON line out.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, final

from casemate.core.errors import Refusal

_LINE: Final = 4096
_SECONDS: Final = 30.0
_UCRED: Final = struct.Struct("3i")

Answer = Callable[[str | None], Awaitable[Mapping[str, object]]]
"""Makes a session for an account (None: the operator's own)."""


@final
class OperatorDoor:
    """Serve sessions to root."""

    def __init__(self, sock: socket.socket, answer: Answer) -> None:
        self._sock = sock
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_unix_server(
            self._serve, sock=self._sock, limit=_LINE
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
                reply = await self._reply(reader, writer)
                writer.write(json.dumps(reply).encode() + b"\n")
                await writer.drain()
        except (TimeoutError, OSError, asyncio.LimitOverrunError, ValueError):
            pass  # The peer left, or spoke nonsense; there is nobody to tell.
        finally:
            writer.close()

    async def _reply(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> Mapping[str, object]:
        peer = writer.get_extra_info("socket")
        if peer_uid(peer) != 0:
            return {"error": "only root may ask for the operator's session"}
        question = json.loads(await reader.readline())
        if not isinstance(question, dict) or question.get("verb") != "session":
            return {"error": "the only verb here is `session`"}
        account = question.get("account")
        if account is not None and not isinstance(account, str):
            return {"error": "`account` is twelve digits"}
        try:
            return {"ok": dict(await self._answer(account))}
        except Refusal as refusal:
            return {"error": refusal.reason}


def peer_uid(peer: socket.socket) -> int:
    """Read who connected, from the kernel (SO_PEERCRED, unix(7))."""
    data = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    uid: int = _UCRED.unpack(data)[1]
    return uid
