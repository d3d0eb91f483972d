"""Who an address is, where clients are counted."""

from __future__ import annotations

import socket
from typing import Final

_PREFIX: Final = 8
"""Bytes of an IPv6 network that one subscriber holds: a /64 (RFC 6177)."""


def client_of(peer: str) -> str:
    """
    Give what one client holds: an IPv4 address, the /64 of an IPv6 one.

    peer: an address without its port, a scope (`%eth0`) allowed; what is no
    IPv6 address stands for itself.  One who has a whole /64 has 2^64 addresses,
    so what is counted by address would never be reached.
    """
    if ":" not in peer:
        return peer
    try:
        packed = socket.inet_pton(socket.AF_INET6, peer.partition("%")[0])
    except OSError:
        return peer
    return f"{packed[:_PREFIX].hex()}/64"
