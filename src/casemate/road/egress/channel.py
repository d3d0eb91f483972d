"""
One end of a socket of packets, where sending never waits.

What the other side does not take is kept to a bound, and beyond it is dropped,
with its descriptor closed.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

from casemate.core.packets import EndedError, Message, PacketError, encode, receive

_UNSENT_LIMIT = 512


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Unsent:
    """A message that waits to be sent, perhaps with a socket."""

    data: bytes
    handed: socket.socket | None = None
    done: Callable[[bool], None] | None = None

    def send(self, sock: socket.socket) -> None:
        if self.handed is None:
            sock.send(self.data)
            return
        socket.send_fds(sock, [self.data], [self.handed.fileno()])

    def end(self, *, sent: bool) -> None:
        if self.handed is not None:
            self.handed.close()
        if self.done is not None:
            self.done(sent)


@final
class Channel:
    """One end of a socket, read and written by the loop."""

    def __init__(
        self,
        sock: socket.socket,
        heard: Callable[[Message, tuple[int, ...]], None],
        ended: Callable[[], None],
    ) -> None:
        self._socket = sock
        self._heard = heard
        self._ended = ended
        self._unsent: deque[_Unsent] = deque()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._readable)

    def send(self, message: Message) -> bool:
        """Send without waiting.  False: dropped, the other side does not keep up."""
        if self._closed or len(self._unsent) >= _UNSENT_LIMIT:
            return False
        self._enqueue(_Unsent(data=encode(message)))
        return True

    def hand(
        self, message: Message, handed: socket.socket, done: Callable[[bool], None]
    ) -> None:
        """Send a socket along, close it here, and say whether it was sent."""
        unsent = _Unsent(data=encode(message), handed=handed, done=done)
        if self._closed or len(self._unsent) >= _UNSENT_LIMIT:
            unsent.end(sent=False)
        else:
            self._enqueue(unsent)

    def close(self) -> None:
        """Stop, and close what was not sent."""
        self._closed = True
        self._loop.remove_reader(self._socket.fileno())
        self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        for unsent in self._unsent:
            unsent.end(sent=False)
        self._unsent.clear()

    def _enqueue(self, unsent: _Unsent) -> None:
        self._unsent.append(unsent)
        if len(self._unsent) == 1:
            self._flush()

    def _flush(self) -> None:
        """Send what waits, in order, as far as the other side takes it."""
        while self._unsent:
            unsent = self._unsent[0]
            sent = True
            try:
                unsent.send(self._socket)
            except BlockingIOError:
                self._loop.add_writer(self._socket.fileno(), self._flush)
                return
            except OSError:
                # The kernel takes no more descriptors in flight, or the other
                # side is gone, which the reader will see.
                sent = False
            self._unsent.popleft()
            unsent.end(sent=sent)
        self._loop.remove_writer(self._socket.fileno())

    def _readable(self) -> None:
        try:
            message, descriptors = receive(self._socket)
        except BlockingIOError:
            return
        except (EndedError, PacketError):
            self._loop.remove_reader(self._socket.fileno())
            self._ended()
            return
        self._heard(message, descriptors)
