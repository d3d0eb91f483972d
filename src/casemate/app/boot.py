"""
The boot socket: the node's line to the warden that started it.

One message is one JSON object; the first carries the settings and the
descriptors that the node may use.  The end of the line is an order to stop:
a node without its warden serves nobody.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import msgspec

from casemate.app.settings import Settings
from casemate.core.packets import (
    EndedError,
    PacketError,
    close_all,
    encode,
    receive,
)

BOOT_FD: Final = 3
WITNESS: Final = "witness"


class BootError(RuntimeError):
    """The warden's first message is not what the node understands."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What the node was started with.  witness: a file to append to, if any."""

    line: socket.socket
    settings: Settings
    sockets: Mapping[str, socket.socket]
    witness: int | None = None


def take(line: socket.socket) -> Boot:
    """Take the first message.  Raises BootError."""
    try:
        message, descriptors = receive(line)
    except (EndedError, PacketError) as error:
        raise BootError(f"the boot message is not understood: {error}") from error
    names = message.get("fds")
    if (
        message.get("verb") != "boot"
        or not isinstance(names, list)
        or len(names) != len(descriptors)
    ):
        raise BootError("the first message is not a boot message")
    given = dict(zip(names, descriptors, strict=True))
    witness = given.pop(WITNESS, None)
    try:
        settings = msgspec.convert(message.get("settings"), Settings)
    except msgspec.ValidationError as error:
        raise BootError(f"the boot message is not understood: {error}") from error
    return Boot(
        line=line,
        settings=settings,
        sockets={name: socket.socket(fileno=held) for name, held in given.items()},
        witness=witness,
    )


@final
class Orders:
    """What the warden says after the boot."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._line.setblocking(False)
        self._heard: asyncio.Queue[Mapping[str, object]] = asyncio.Queue()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(line, self._read)

    def say(self, message: Mapping[str, object]) -> None:
        """Tell the warden something short."""
        self._line.send(encode(message))

    async def next(self) -> Mapping[str, object]:
        """Wait for the next order; the end of the line reads as `stop`."""
        return await self._heard.get()

    def _read(self) -> None:
        try:
            message, descriptors = receive(self._line)
        except BlockingIOError:
            return
        except (EndedError, PacketError):
            self._loop.remove_reader(self._line)
            self._heard.put_nowait({"verb": "stop"})
            return
        close_all(descriptors)
        self._heard.put_nowait(message)
