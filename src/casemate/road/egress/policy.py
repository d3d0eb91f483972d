"""
Where a connection of a cell may go.

The judge sees only the original destination as the kernel's connection
tracking tells it.  What is not listed is refused; a connection that was not
redirected has the listener as its destination, and is refused like any other.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Protocol, final

from casemate.road.egress.names import ISSUED, Platform


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A connection that may not be.  reason: for the record and the operator."""

    reason: str


Verdict = Platform | Refused


class Judge(Protocol):
    """Decide on destinations."""

    def destination(
        self, cell: str, address: ipaddress.IPv4Address, port: int, /
    ) -> Verdict:
        """Say where the connection goes, or why it may not."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformJudge:
    """Lets cells reach the platform's endpoint and nothing else."""

    platform: Platform

    def destination(
        self, _cell: str, address: ipaddress.IPv4Address, port: int, /
    ) -> Verdict:
        """Compare with the platform's address and port, exactly."""
        if address not in ISSUED:
            return Refused(reason="a direct connection to the listener")
        if address != self.platform.address:
            return Refused(reason="an address that was not issued to this cell")
        if port != self.platform.port:
            return Refused(reason="a port that the platform does not serve")
        return self.platform
