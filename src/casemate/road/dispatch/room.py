"""
The dispatch room: from an admitted call to its outcome.

Each operation carries its code, bound when the platform was composed; a
service that runs functions was handed the sandbox as a port.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from casemate.core.call import Admitted, Outcome
from casemate.core.operation import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """Run a call."""

    async def __call__(self, admitted: Admitted) -> Outcome:
        """Run the operation's code; raise the Refusal that it raises."""
        result = await admitted.arrival.operation.method(admitted)
        if isinstance(result, Told):
            return Outcome(
                result=result.result, notes=result.notes, headers=result.headers
            )
        return Outcome(result=result, notes=_notes(result))


def _notes(result: Mapping[str, object]) -> Mapping[str, object]:
    """Note what a call that went well says went wrong: the function's own error."""
    error = result.get("FunctionError")
    return {"functionError": error} if error else {}
