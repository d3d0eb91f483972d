"""
The egress process: `python -I -m casemate.road.egress`, boot socket at 3.

It takes its settings and the sockets of the node and the warden from the boot
message, says `ready`, and serves the cells that the warden announces until it
is told to stop or one of the three ends.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self, final

from casemate.core.clock import SystemClock
from casemate.core.packets import (
    EndedError,
    Message,
    PacketError,
    close_all,
    receive,
)
from casemate.road.egress.cells import Cells, NotUnderstoodError
from casemate.road.egress.channel import Channel
from casemate.road.egress.gateway import Rules
from casemate.road.egress.names import Platform, PlatformOnly
from casemate.road.egress.policy import PlatformJudge

_BOOT = 3


class StartRefusedError(Exception):
    """The egress process cannot start on what it was given."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """What the process is started with."""

    node: socket.socket
    warden: socket.socket
    platform: Platform

    @classmethod
    def take(cls, sock: socket.socket) -> Self:
        """Read the boot message.  Raises StartRefusedError, EndedError."""
        try:
            message, descriptors = receive(sock)
        except PacketError as error:
            raise StartRefusedError(str(error)) from error
        names = message.get("fds")
        if (
            message.get("verb") != "boot"
            or not isinstance(names, list)
            or sorted(names) != ["node", "warden"]
            or len(descriptors) != len(names)
        ):
            raise StartRefusedError("the first message is not `boot` with both sockets")
        sockets = {
            name: socket.socket(fileno=descriptor)
            for name, descriptor in zip(names, descriptors, strict=True)
        }
        platform = _platform(message.get("settings"))
        return cls(node=sockets["node"], warden=sockets["warden"], platform=platform)


def _platform(settings: object) -> Platform:
    if not isinstance(settings, Mapping) or settings.keys() != {"platform"}:
        raise StartRefusedError("the settings are `platform` and nothing else")
    given = settings["platform"]
    if not isinstance(given, Mapping) or given.keys() != {"name", "address", "port"}:
        raise StartRefusedError("`platform` has `name`, `address` and `port`")
    try:
        return Platform(
            name=str(given["name"]),
            address=ipaddress.IPv4Address(given["address"]),
            port=int(given["port"]),
        )
    except (ValueError, TypeError) as error:
        raise StartRefusedError(f"`platform` cannot be reached: {error}") from error


def say(line: str) -> None:
    """Tell the operator one thing."""
    sys.stderr.write(f"casemate egress: {line}\n")


@final
class Egress:
    """The process: three channels and the cells."""

    def __init__(self, given: Boot, boot: socket.socket) -> None:
        self._stopped = asyncio.Event()
        self._code = 0
        self._node = Channel(given.node, self._node_spoke, self._lost_node)
        self._warden = Channel(given.warden, self._warden_spoke, self._stopped.set)
        self._boot = Channel(boot, self._told, self._stopped.set)
        rules = Rules(
            judge=PlatformJudge(platform=given.platform),
            names=PlatformOnly(platform=given.platform),
            clock=SystemClock(),
        )
        self._cells = Cells(rules, self._node)

    async def run(self) -> int:
        """Serve until told to stop; give the exit code."""
        self._boot.send({"verb": "ready"})
        await self._stopped.wait()
        self._cells.close()
        for channel in (self._node, self._warden, self._boot):
            channel.close()
        return self._code

    def _told(self, message: Message, descriptors: tuple[int, ...]) -> None:
        close_all(descriptors)
        if message.get("verb") == "stop":
            self._stopped.set()

    def _node_spoke(self, _message: Message, descriptors: tuple[int, ...]) -> None:
        """The node has nothing to say here; its authority ends at its socket."""
        close_all(descriptors)

    def _lost_node(self) -> None:
        say("the node has ended, so egress ends")
        self._code = 1
        self._stopped.set()

    def _warden_spoke(self, message: Message, descriptors: tuple[int, ...]) -> None:
        number = message.get("id")
        try:
            self._cells.heard(message, descriptors)
            answer: Message = {"id": number, "ok": {}}
        except (NotUnderstoodError, OSError) as error:
            say(f"did not do what the warden said: {error}")
            answer = {
                "id": number,
                "error": {"code": "NotUnderstood", "reason": str(error)},
            }
        if number is not None:
            self._warden.send(answer)


async def serve(boot: socket.socket) -> int:
    """Start and serve; give the exit code."""
    try:
        given = Boot.take(boot)
    except EndedError:
        return 1
    except StartRefusedError as refused:
        say(str(refused))
        return 1
    return await Egress(given, boot).run()


def main() -> int:
    """Run the process."""
    return asyncio.run(serve(socket.socket(fileno=_BOOT)))


if __name__ == "__main__":
    sys.exit(main())
