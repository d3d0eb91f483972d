"""
Messages of a sequenced-packet socket: one message, one JSON object.

Read strictly: no message over the limit, no duplicate member, no NaN, no
number or nesting that the reader cannot hold.  Descriptors sent along are
dropped by the kernel, except on the boot message.
"""

from __future__ import annotations

import array
import json
import select
import socket
from collections.abc import Mapping

from casemate_keyholder.refusal import RefusedError

MESSAGE_LIMIT = 200 * 1024
_DESCRIPTORS_LIMIT = 8
_SEND_SECONDS = 5.0

Message = Mapping[str, object]


class ClosedError(Exception):
    """The other side is gone, or does not read."""


def malformed(reason: str) -> RefusedError:
    """Make the refusal of a message that is not as agreed."""
    return RefusedError("Malformed", reason)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _no_constant(name: str) -> object:
    raise ValueError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_no_constant)


def parse(data: bytes) -> Message:
    """Read a message.  Raises RefusedError; what it held is not repeated."""
    try:
        message = _DECODER.decode(data.decode())
    except (ValueError, RecursionError):
        raise malformed("the message is not one strict JSON object") from None
    if not isinstance(message, dict):
        raise malformed("the message is not a JSON object")
    return message


def receive(sock: socket.socket) -> bytes:
    """
    Take one message.

    Raises ClosedError at the end, BlockingIOError if there is none yet, and
    RefusedError for one over the limit.
    """
    try:
        data, _, flags, _ = sock.recvmsg(MESSAGE_LIMIT)
    except ConnectionError as error:
        raise ClosedError from error
    if flags & socket.MSG_TRUNC:
        raise malformed(f"the message is over {MESSAGE_LIMIT} bytes")
    if not data:
        raise ClosedError
    return data


def receive_with_descriptors(sock: socket.socket) -> tuple[Message, list[int]]:
    """Take the boot message and the descriptors on it.  Raises as `receive`."""
    numbers = array.array("i")
    space = socket.CMSG_SPACE(_DESCRIPTORS_LIMIT * numbers.itemsize)
    data, ancillary, flags, _ = sock.recvmsg(
        MESSAGE_LIMIT, space, socket.MSG_CMSG_CLOEXEC
    )
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            numbers.frombytes(payload[: len(payload) // 4 * 4])
    if not data:
        raise ClosedError
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise malformed("the boot message is too large")
    return parse(data), numbers.tolist()


def send(sock: socket.socket, message: Message) -> None:
    """Send a message.  Raises ClosedError if the other side does not take it."""
    data = json.dumps(message, separators=(",", ":")).encode()
    try:
        while True:
            try:
                sock.send(data)
            except BlockingIOError:
                poll = select.poll()
                poll.register(sock, select.POLLOUT)
                if not poll.poll(_SEND_SECONDS * 1000):
                    raise ClosedError from None
            else:
                return
    except OSError as error:
        raise ClosedError from error
