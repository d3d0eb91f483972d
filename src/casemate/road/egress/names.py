"""
Which names there are, and the addresses issued for them.

Addresses are out of 198.18.0.0/15 (RFC 2544, never routed).  Today there is
one name, the platform's own, and every cell has it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Protocol, final

_LAST_PORT = 65_535
ISSUED = ipaddress.ip_network("198.18.0.0/15")


class Names(Protocol):
    """What names a cell has."""

    def address(self, cell: str, name: bytes, /) -> ipaddress.IPv4Address | None:
        """Give the address issued to this cell for a name in lower case, or None."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """The platform's own endpoint, as cells see it."""

    name: str
    address: ipaddress.IPv4Address
    port: int

    def __post_init__(self) -> None:
        """Refuse what no cell could reach."""
        if self.address not in ISSUED:
            raise ValueError(f"`{self.address}` is not an address of {ISSUED}")
        if not 0 < self.port <= _LAST_PORT:
            raise ValueError(f"`{self.port}` is not a port")
        if not self.name or self.name != self.name.lower():
            raise ValueError(f"`{self.name}` is not a name in lower case")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformOnly:
    """The names of a cell that reaches the platform and nothing else."""

    platform: Platform

    def address(self, _cell: str, name: bytes, /) -> ipaddress.IPv4Address | None:
        """Give the platform's address for exactly its name."""
        if name == self.platform.name.encode():
            return self.platform.address
        return None
