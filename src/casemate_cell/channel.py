"""
The control stream of a cell, and what goes over it.

From the node come orders: numbers of fixed size, then an id, an ARN, a trace, a
client context and a body, each of the length that was told.  To the node goes what
the cell says: a word, the lengths of an id and a body, the id, the body.

Read and written by descriptor, an order with one call of the kernel and an answer
with another: a cell has one thing to wait for, and a socket object would be one more
library in every idle cell.
"""

from __future__ import annotations

import os
from _struct import Struct

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from typing import Final

CONTROL_FD: Final = 3

ORDER: Final = Struct(">BqIIIII")
"""Kind; deadline; lengths of id, ARN, trace, client context, body."""
SAID: Final = Struct(">BBI")
"""Word; lengths of id and body."""
COUNTS: Final = Struct(">QQ")
"""The body of `unpacked`: files, bytes."""

ASSIGN, INVOKE, UNPACK, BEGIN = range(1, 5)
"""What the node orders."""

WAITING, INITIALIZED, INIT_ERROR, RESPONSE, ERROR, UNPACKED, UNPACK_REFUSED = range(
    1, 8
)
"""What a cell says."""

HEAD: Final = ORDER.size
TEXTS_LIMIT: Final = 1 << 20
BODY_LIMIT: Final = 8 << 20
AT_ONCE: Final = 1 << 14
"""Bytes: most orders fit, and little has to be set aside for each."""
_PIECE: Final = 1 << 20


class NodeGoneError(Exception):
    """The node closed the control stream, or broke its framing."""


class Order:
    """
    What the node wants; all but kind and body are an event's.

    deadline: epoch milliseconds.  trace, client_context: empty where there is none.
    """

    __slots__ = ("arn", "body", "client_context", "deadline", "id", "kind", "trace")

    def __init__(self, kind: int, deadline: int, parts: tuple[bytes, ...]) -> None:
        """Parts: id, ARN, trace, client context, body."""
        self.kind = kind
        self.deadline = deadline
        name, arn, trace, context, self.body = parts
        self.id = name.decode()
        self.arn = arn.decode()
        self.trace = trace.decode()
        self.client_context = context.decode()


class Channel:
    """The cell's end of the control stream."""

    def __init__(self, descriptor: int = CONTROL_FD) -> None:
        """Take over a connected stream socket; what the code starts does not get it."""
        os.set_inheritable(descriptor, False)
        self.descriptor = descriptor

    def send(self, word: int, body: bytes = b"", request_id: bytes = b"") -> None:
        """Say one thing."""
        data = SAID.pack(word, len(request_id), len(body)) + request_id + body
        sent = os.write(self.descriptor, data)
        while sent < len(data):  # a signal came in between
            sent += os.write(self.descriptor, data[sent : sent + _PIECE])

    def receive(self, at_once: int = AT_ONCE) -> Order:
        """
        Read one order.  Raises NodeGoneError at the end of the stream.

        at_once: bytes to ask for first.  More than the head's may come only where
        no descriptor follows the order, which a plain read would lose.
        """
        data = os.read(self.descriptor, at_once)
        if len(data) < HEAD:
            data = self._rest(data, HEAD)
        kind, deadline, name, arn, trace, context, body = ORDER.unpack_from(data)
        arn += (name := HEAD + name)
        context += (trace := arn + trace)
        end = context + body
        if context > TEXTS_LIMIT or body > BODY_LIMIT:
            raise NodeGoneError("an order is past its bound")
        if len(data) < end:
            data = self._rest(data, end)
        parts = data[HEAD:name], data[name:arn], data[arn:trace], data[trace:context]
        return Order(kind, deadline, (*parts, data[context:end]))

    def take_descriptor(self) -> int:
        """Receive the descriptor that follows an order."""
        # Only a workshop needs a library for this.
        from _socket import CMSG_LEN, socket  # noqa: PLC0415 — see above

        stream = socket(fileno=self.descriptor)
        try:
            _byte, ancillary, _flags, _address = stream.recvmsg(1, CMSG_LEN(4))
        finally:
            stream.detach()
        for _level, _kind, content in ancillary:
            return int.from_bytes(content[:4], "little")
        raise NodeGoneError("the descriptor of an order is missing")

    def _rest(self, begun: bytes, whole: int) -> bytes:
        """Read on until there are so many bytes in all, and not one more."""
        data = bytearray(begun)
        if not data:
            raise NodeGoneError("the node closed the control stream")
        while len(data) < whole:
            more = os.read(self.descriptor, min(whole - len(data), _PIECE))
            if not more:
                raise NodeGoneError("the node closed the control stream")
            data += more
        return bytes(data)
