"""The cells that are open, as the warden announces them."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from typing import final

from casemate.core.packets import Message, close_all
from casemate.road.egress.gateway import Gateway, Listeners, Rules
from casemate.road.egress.report import Node, Report

_CELL = re.compile(r"c[0-9a-f]{16}\Z")
_LISTENERS = ("tcp", "dns_udp", "dns_tcp")


class NotUnderstoodError(ValueError):
    """The warden said something that has no meaning here."""


@final
class Cells:
    """Opens and closes the gateways of cells."""

    def __init__(self, rules: Rules, node: Node) -> None:
        self._rules = rules
        self._node = node
        self._gateways: dict[str, Gateway] = {}

    def heard(self, message: Message, descriptors: tuple[int, ...]) -> None:
        """Do what the warden says.  Raises NotUnderstoodError, nothing left open."""
        cell = message.get("cell")
        if not isinstance(cell, str) or not _CELL.match(cell):
            close_all(descriptors)
            raise NotUnderstoodError("the message names no cell")
        if message.get("verb") == "cell":
            self._open(cell, _listeners(message, descriptors))
            return
        close_all(descriptors)
        if message.get("verb") != "gone":
            raise NotUnderstoodError("the egress process has no such verb")
        gateway = self._gateways.pop(cell, None)
        if gateway is not None:
            gateway.close()

    def close(self) -> None:
        """Close every gateway."""
        for gateway in self._gateways.values():
            gateway.close()
        self._gateways.clear()

    def _open(self, cell: str, listeners: Listeners) -> None:
        if cell in self._gateways:
            for listener in (listeners.tcp, listeners.dns_udp, listeners.dns_tcp):
                listener.close()
            raise NotUnderstoodError(f"cell `{cell}` is open already")
        report = Report(cell, self._node, self._rules.clock)
        self._gateways[cell] = Gateway(cell, listeners, self._rules, report)


def _listeners(message: Message, descriptors: tuple[int, ...]) -> Listeners:
    """Take the three sockets, in the order that the message names them."""
    if message.get("fds") != list(_LISTENERS) or len(descriptors) != len(_LISTENERS):
        close_all(descriptors)
        raise NotUnderstoodError("a cell has `tcp`, `dns_udp` and `dns_tcp`")
    sockets: Mapping[str, socket.socket] = {
        name: socket.socket(fileno=descriptor)
        for name, descriptor in zip(_LISTENERS, descriptors, strict=True)
    }
    kinds = [(sock.family, sock.type) for sock in sockets.values()]
    stream = (socket.AF_INET, socket.SOCK_STREAM)
    if kinds != [stream, (socket.AF_INET, socket.SOCK_DGRAM), stream]:
        for sock in sockets.values():
            sock.close()
        raise NotUnderstoodError("a cell's listeners are of the wrong kind")
    return Listeners(
        tcp=sockets["tcp"], dns_udp=sockets["dns_udp"], dns_tcp=sockets["dns_tcp"]
    )
