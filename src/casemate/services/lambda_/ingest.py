"""
Invoke with `InvocationType=Event`: an event is taken for later.

1. The function is there; the caller's right was decided before this runs.
2. The payload is JSON of at most 1 MB.
3. What AWS does not do for events is refused by name, not forgotten.
4. The event is durable: only now is it acknowledged.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from casemate.core.call import Admitted, sender_of
from casemate.core.errors import TooLarge
from casemate.core.event import AsyncEvent
from casemate.core.operation import Parameters
from casemate.services.lambda_.directory import Deployed
from casemate.services.lambda_.eventconfig import qualifier_of
from casemate.services.lambda_.names import FunctionRef
from casemate.services.lambda_.parameters import text
from casemate.services.lambda_.ports import Events
from casemate.services.lambda_.refusals import in_state, invalid
from casemate.services.lambda_.settings import EVENT_PAYLOAD
from casemate.services.lambda_.state import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingest:
    """Takes events."""

    events: Events

    async def __call__(
        self, call: Admitted, ref: FunctionRef, deployed: Deployed, payload: bytes
    ) -> Mapping[str, object]:
        """Take one.  Raises TooLarge, Invalid, Conflict, Throttled, Unavailable."""
        # (1)
        if deployed.life.state is State.FAILED:
            raise in_state(deployed.life.state)
        # (2)
        if len(payload) > EVENT_PAYLOAD:
            raise TooLarge(
                f"Request must be smaller than {EVENT_PAYLOAD} bytes for the "
                "InvokeFunction operation",
                members={"Type": "User"},
            )
        # (3)
        _synchronous_only(call.parameters)
        # (4)
        await self.events.accept(
            AsyncEvent(
                id=call.arrival.id,
                account=ref.account,
                target=f"{ref.arn}:{qualifier_of(ref)}",
                invoked=ref.qualified,
                payload=payload,
                sender=sender_of(call.known),
                trace=call.arrival.trace,
                tenant=text(call.parameters, "TenantId") or "",
            )
        )
        return {"StatusCode": 202}


def _synchronous_only(parameters: Parameters) -> None:
    if text(parameters, "LogType") == "Tail":
        raise invalid(
            "`LogType` `Tail` is for synchronous invocations only; leave it out, and "
            "read the function's log group"
        )
    if text(parameters, "ClientContext"):
        raise invalid(
            "`ClientContext` reaches a function by synchronous invocations only; put "
            "it into the payload"
        )
