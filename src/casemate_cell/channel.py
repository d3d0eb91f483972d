"""
The control stream of a cell: `u32be header length, u32be body length, JSON, body`.

Blocking, exact reads: a cell has one thing to wait for.  `_socket` and not
`socket`, which would pull `selectors` and `enum` into every idle cell.
"""

from __future__ import annotations

import json
import struct
from _socket import CMSG_LEN, SCM_RIGHTS, SOL_SOCKET
from _socket import socket as Socket  # noqa: N812 — it is a class

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from collections.abc import Mapping

CONTROL_FD = 3
LENGTHS = struct.Struct(">II")
HEADER_LIMIT = 1 << 20
BODY_LIMIT = 8 << 20

Header = dict[str, object]


class NodeGoneError(Exception):
    """The node closed the control stream, or broke its framing."""


class Channel:
    """The cell's end of the control stream; owns the descriptor."""

    def __init__(self, descriptor: int = CONTROL_FD) -> None:
        """Take over a connected stream socket; children never inherit it."""
        self._socket = Socket(fileno=descriptor)
        self._socket.setblocking(True)
        self._descriptors: list[int] = []

    def send(self, header: Mapping[str, object], body: bytes = b"") -> None:
        """Write one frame."""
        text = json.dumps(header).encode()
        self._socket.sendall(LENGTHS.pack(len(text), len(body)) + text + body)

    def receive(self) -> tuple[Header, bytes]:
        """Read one frame.  Raises NodeGoneError at the end of the stream."""
        header_length, body_length = LENGTHS.unpack(self._exactly(LENGTHS.size))
        if header_length > HEADER_LIMIT or body_length > BODY_LIMIT:
            raise NodeGoneError("a frame from the node is past its bound")
        header = json.loads(self._exactly(header_length))
        return header, self._exactly(body_length) if body_length else b""

    def take_descriptor(self) -> int:
        """Give the oldest descriptor that came with a frame."""
        return self._descriptors.pop(0)

    def _exactly(self, count: int) -> bytes:
        if count <= 1 << 16:
            first = self._some(count)
            if len(first) == count:
                return first
            whole = bytearray(first)
        else:
            whole = bytearray()
        while len(whole) < count:
            whole += self._some(min(count - len(whole), 1 << 20))
        return bytes(whole)

    def _some(self, count: int) -> bytes:
        data, ancillary, _flags, _address = self._socket.recvmsg(count, CMSG_LEN(4))
        for level, kind, content in ancillary:
            if level == SOL_SOCKET and kind == SCM_RIGHTS:
                self._descriptors.append(int.from_bytes(content[:4], "little"))
        if not data and count:
            raise NodeGoneError("the node closed the control stream")
        return data
