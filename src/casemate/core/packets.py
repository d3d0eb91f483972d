"""
Packets: one JSON object a message, descriptors beside, on a SEQPACKET socket.

The platform's processes speak so with each other, over socket pairs that the
warden made.  What comes is held to its form before it is looked at; whoever
takes a packet owns its descriptors, which do not pass on to another program.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, final

LARGEST: Final = 200 * 1024
"""Bytes of a packet."""
MOST_DESCRIPTORS: Final = 16

Message = Mapping[str, object]


class EndedError(Exception):
    """The other side has ended."""


class PacketError(Exception):
    """The other side has not kept to the form of packets."""


@final
class Packet(NamedTuple):
    """What came.  descriptors: the taker's to close."""

    message: dict[str, object]
    descriptors: tuple[int, ...]


def encode(message: Message) -> bytes:
    """Write a packet's bytes; their length is the sender's to look at."""
    return json.dumps(message, separators=(",", ":")).encode()


def receive(sock: socket.socket, *, descriptors: int = MOST_DESCRIPTORS) -> Packet:
    """
    Take one packet, with so many descriptors at the most.

    Raises EndedError, PacketError (what came along is closed then), and
    BlockingIOError when there is nothing yet.
    """
    space = socket.CMSG_SPACE(descriptors * array.array("i").itemsize)
    try:
        data, ancillary, flags, _ = sock.recvmsg(
            LARGEST, space if descriptors else 0, socket.MSG_CMSG_CLOEXEC
        )
    except (BlockingIOError, InterruptedError):
        raise
    except OSError as error:
        raise EndedError(error.strerror) from error
    came = _descriptors(ancillary)
    try:
        return Packet(_message(data, flags), came)
    except (EndedError, PacketError):
        close_all(came)
        raise


def close_all(descriptors: Iterable[int]) -> None:
    """Close descriptors that nobody will use."""
    for descriptor in descriptors:
        os.close(descriptor)


def _descriptors(ancillary: Iterable[tuple[int, int, bytes]]) -> tuple[int, ...]:
    numbers = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
    return tuple(numbers)


def _message(data: bytes, flags: int) -> dict[str, object]:
    if not data:
        raise EndedError("the other side hung up")
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        raise PacketError("a packet is larger than it may be")
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PacketError("a packet is not JSON") from error
    if not isinstance(message, dict):
        raise PacketError("a packet is not a JSON object")
    return message
