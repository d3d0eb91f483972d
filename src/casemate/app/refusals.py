"""
What a cell tried and egress refused, put on record.

Egress caps how many it tells, and says how many it did not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from casemate.app.events import EGRESS, Event, Events
from casemate.road.sandbox.invoke import Sandbox

_BY: Final = "egress.casemate.internal"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """Records the attempts of cells that egress refused."""

    events: Events
    sandbox: Sandbox

    def tell(self, cell: str, destination: str, reason: str, untold: int) -> None:
        """Write one record.  untold: attempts since the last that were not told."""
        function = self.sandbox.cell_function(cell)
        self.events.write_soon(
            Event(
                name=EGRESS,
                account=function.account if function else "",
                by=_BY,
                source=cell,
                details={
                    "destination": destination,
                    "untold": untold,
                    "function": function.arn if function else None,
                },
                refused=reason,
            )
        )
