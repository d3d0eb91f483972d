"""
The line from egress: connections of cells to the platform, by descriptor.

The cell on whose listener a connection was accepted is the identity that
counts; the message names it, and egress alone can write here.  Egress reads hostile
bytes in bulk, so it is not believed either: what is no connection is closed, and
it can fill neither this process's descriptors nor its record.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
from collections.abc import Callable, Sequence
from typing import Final, final

from casemate.core.bucket import Bucket
from casemate.core.packets import EndedError, Message, PacketError, receive

_AT_ONCE: Final = 64
"""Messages before others have their turn."""
_TOLD: Final = 200.0
"""Refused attempts of all cells that are told on a second; the rest are counted."""
_COUNT: Final = 1 << 31
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
        self._told = Bucket(
            rate=_TOLD, burst=5 * _TOLD, tokens=5 * _TOLD, at=self._loop.time()
        )
        self._untold = 0
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
                continue
            self._take(message, _connections(descriptors))

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
            self._tell(cell, message)

    def _tell(self, cell: str, message: Message) -> None:
        untold = self._untold + _count(message.get("untold"))
        if self._told.take(self._loop.time()):
            self._untold = min(untold + 1, _COUNT)
            return
        self._untold = 0
        self._refused(
            cell,
            str(message.get("destination", ""))[:256],
            str(message.get("reason", ""))[:256],
            untold,
        )


def _connections(descriptors: Sequence[int]) -> list[socket.socket]:
    """Give those that are TCP connections; the others are closed."""
    found: list[socket.socket] = []
    for descriptor in descriptors:
        try:
            sock = socket.socket(fileno=descriptor)
        except OSError:
            os.close(descriptor)
            continue
        if (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM):
            found.append(sock)
        else:
            sock.close()
    return found


def _count(value: object) -> int:
    return min(value, _COUNT) if type(value) is int and value > 0 else 0
