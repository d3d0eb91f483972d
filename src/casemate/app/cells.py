"""
The line from egress: connections of cells to the platform, by descriptor.

The cell on whose listener a connection was accepted is the identity that
counts; the message names it, and egress alone can write here.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from typing import Final, final

from casemate.core.packets import EndedError, Message, PacketError, receive

_AT_ONCE: Final = 64
"""Messages before others have their turn."""
_CELL: Final = re.compile(r"c[0-9a-f]{16}\Z")

Adopt = Callable[[socket.socket, str], None]
"""Takes an accepted connection and the id of its cell."""

Refused = Callable[[str, str, str, int], None]
"""Told of a refused attempt: cell, destination, reason, how many more untold."""


@final
class CellDoor:
    """Take connections from egress and hand them to the front."""

    def __init__(self, line: socket.socket, *, adopt: Adopt, refused: Refused) -> None:
        self._line = line
        self._line.setblocking(False)
        self._adopt = adopt
        self._refused = refused
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(line, self._read)

    def close(self) -> None:
        """Take no more."""
        self._loop.remove_reader(self._line)

    def _read(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                message, descriptors = receive(self._line, descriptors=1)
            except BlockingIOError:
                return
            except EndedError:
                self.close()
                return
            except PacketError:
                # Egress handles hostile bytes, so it is not believed either.
                continue
            self._take(message, [socket.socket(fileno=fd) for fd in descriptors])

    def _take(self, message: Message, sockets: list[socket.socket]) -> None:
        cell = str(message.get("cell", ""))
        if (
            message.get("verb") == "connection"
            and _CELL.match(cell)
            and len(sockets) == 1
        ):
            self._adopt(sockets[0], cell)
            return
        for sock in sockets:
            sock.close()
        if message.get("verb") == "refused" and _CELL.match(cell):
            self._refused(
                cell,
                str(message.get("destination", ""))[:256],
                str(message.get("reason", ""))[:256],
                _count(message.get("untold")),
            )


def _count(value: object) -> int:
    return value if isinstance(value, int) else 0
