"""
The dispatch room: from an admitted call to its outcome.

Each operation carries its code, bound when the platform was composed; a
service that runs functions was handed the sandbox as a port.
"""

from __future__ import annotations

from dataclasses import dataclass

from casemate.core.call import Admitted, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """Run a call."""

    async def __call__(self, admitted: Admitted) -> Outcome:
        """Run the operation's code; raise the Refusal that it raises."""
        result = await admitted.arrival.operation.method(admitted)
        return Outcome(result=result)
