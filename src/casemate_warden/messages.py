"""
One peer behind a socket of packets: JSON in and out, descriptors riding along.

A packet is one JSON object of at most 200 KiB. What cannot be sent at once waits in
order; a peer that lets too much pile up is taken for dead, because memory of the
one root process is not to be filled by another.
"""

from __future__ import annotations

import json
import os
import socket
from array import array
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

LARGEST: Final = 200 << 10
MOST_DESCRIPTORS: Final = 16
MOST_WAITING: Final = 4_096
_SPACE: Final = socket.CMSG_SPACE(MOST_DESCRIPTORS * 4)


class Gone(Exception):
    """The peer closed its end, or stopped reading."""


class TooLong(Exception):
    """What is to be sent is no packet in bounds; its descriptors are closed."""


class Malformed(Exception):
    """A packet that is no JSON object in bounds; its descriptors are closed."""


@dataclass(frozen=True, kw_only=True)
class Packet:
    """What arrived. The receiver owns the descriptors and closes them."""

    body: dict[str, Any]
    descriptors: tuple[int, ...] = field(default=())


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected ends, with buffers that hold whole packets."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        for option in (32, 33):  # SO_SNDBUFFORCE, SO_RCVBUFFORCE
            end.setsockopt(socket.SOL_SOCKET, option, 4 * LARGEST)
    return ends


class Peer:
    """The warden's end of one socket; never blocks."""

    def __init__(self, end: socket.socket) -> None:
        """Takes the socket over."""
        self.socket = end
        end.setblocking(False)
        self._waiting: deque[tuple[bytes, tuple[int, ...]]] = deque()

    @property
    def wants_to_write(self) -> bool:
        """Whether something still waits to be sent."""
        return bool(self._waiting)

    def receive(self) -> Packet | None:
        """The next packet, `None` if there is none now; `Gone` or `Malformed`."""
        # Not `socket.recv_fds`: it drops its flags, and descriptors that stay open
        # over exec would pass on to the OCI runtime of another cell.
        try:
            body, ancillary, flags, _ = self.socket.recvmsg(
                LARGEST, _SPACE, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except ConnectionError as error:
            raise Gone from error
        descriptors = _descriptors(ancillary)
        if not body and not descriptors:
            raise Gone
        cut = flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        try:
            return _parsed(body, descriptors, cut=bool(cut))
        except Malformed:
            close_all(descriptors)
            raise

    def send(self, body: Mapping[str, Any], descriptors: Sequence[int] = ()) -> None:
        """
        Sends now or later; the descriptors pass over and are closed here.

        `TooLong` for what no peer would read: the kernel's own refusal of it would
        end the loop, and with it the platform.
        """
        packet = json.dumps(body, separators=(",", ":")).encode()
        if len(packet) > LARGEST:
            close_all(descriptors)
            raise TooLong
        self._waiting.append((packet, tuple(descriptors)))
        self.flush()
        if len(self._waiting) > MOST_WAITING:
            raise Gone

    def flush(self) -> None:
        """Sends what waits, in order, until the peer's buffer is full."""
        while self._waiting:
            packet, descriptors = self._waiting[0]
            try:
                socket.send_fds(self.socket, [packet], descriptors)
            except BlockingIOError:
                return
            except ConnectionError as error:
                raise Gone from error
            self._waiting.popleft()
            close_all(descriptors)

    def close(self) -> None:
        """Drops what waits and closes the socket."""
        for _, descriptors in self._waiting:
            close_all(descriptors)
        self._waiting.clear()
        self.socket.close()


def _descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> tuple[int, ...]:
    numbers = array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            numbers.frombytes(data[: len(data) - len(data) % numbers.itemsize])
    return tuple(numbers)


def _parsed(body: bytes, descriptors: tuple[int, ...], *, cut: bool) -> Packet:
    if cut:
        raise Malformed("the packet is longer than 200 KiB or carries too much")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Malformed("the packet is not JSON") from error
    if not isinstance(value, dict):
        raise Malformed("the packet is not a JSON object")
    return Packet(body=value, descriptors=descriptors)


def close_all(descriptors: Sequence[int]) -> None:
    """Closes each one."""
    for descriptor in descriptors:
        os.close(descriptor)
