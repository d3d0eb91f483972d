"""
The warden's one thread of decisions: packets, ended processes, finished work.
"""

from __future__ import annotations

import os
import selectors
from collections import deque
from collections.abc import Callable
from typing import Final

from casemate_warden.messages import Gone, Malformed, Packet, Peer

_FAIR: Final = 32  # packets of one peer in a row


class Loop:
    """Waits on descriptors and calls back, all on the thread that calls `turn`."""

    def __init__(self) -> None:
        """Owns a selector and one descriptor to be woken by."""
        self._selector = selectors.DefaultSelector()
        self._done: deque[Callable[[], None]] = deque()
        self._peers: dict[int, Peer] = {}
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.watch(self._wake, lambda: os.eventfd_read(self._wake))

    def watch(self, descriptor: int, ready: Callable[[], object]) -> None:
        """Calls `ready` whenever the descriptor can be read."""
        self._selector.register(descriptor, selectors.EVENT_READ, ready)

    def forget(self, descriptor: int) -> None:
        """Watches it no more; close it only afterwards."""
        self._selector.unregister(descriptor)
        self._peers.pop(descriptor, None)

    def serve(
        self,
        peer: Peer,
        packet: Callable[[Packet], None],
        malformed: Callable[[Malformed], None],
        gone: Callable[[], None],
    ) -> None:
        """Reads a peer's packets and sends what waits for it."""

        def ready() -> None:
            try:
                peer.flush()
                _read(peer, packet, malformed)
            except Gone:
                self.forget(peer.socket.fileno())
                gone()

        self._peers[peer.socket.fileno()] = peer
        self.watch(peer.socket.fileno(), ready)

    def post(self, call: Callable[[], None]) -> None:
        """From any thread: `call` runs on the loop's thread soon."""
        self._done.append(call)
        os.eventfd_write(self._wake, 1)

    def turn(self, timeout: float | None = None) -> None:
        """One round: waits up to `timeout` seconds and calls what is ready."""
        for descriptor, peer in self._peers.items():
            writing = selectors.EVENT_WRITE if peer.wants_to_write else 0
            key = self._selector.get_key(descriptor)
            if key.events != selectors.EVENT_READ | writing:
                self._selector.modify(
                    descriptor, selectors.EVENT_READ | writing, key.data
                )
        for key, _ in self._selector.select(timeout):
            # An earlier call of this round may have forgotten it.
            if self._selector.get_map().get(key.fd) == key:
                key.data()
        while self._done:
            self._done.popleft()()

    def close(self) -> None:
        """Frees the loop's own descriptors."""
        self._selector.close()
        os.close(self._wake)


def _read(
    peer: Peer,
    packet: Callable[[Packet], None],
    malformed: Callable[[Malformed], None],
) -> None:
    for _ in range(_FAIR):
        try:
            received = peer.receive()
        except Malformed as error:
            malformed(error)
            continue
        if received is None:
            return
        packet(received)
