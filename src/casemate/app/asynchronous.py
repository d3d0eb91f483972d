"""
Asynchronous events' calls on the road: runs, and deliveries.

A run is made by `lambda.amazonaws.com`, which a function's own policy lets run
what was taken; and whoever sent the event must still have the right to.  A
delivery is made by a session of the function's role, so
that role's policies and the target's decide, each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol, final

from casemate.app.inside import InsideCalls
from casemate.core.arn import Arn
from casemate.core.call import Acting, Inside, Trace
from casemate.core.errors import Denied, Unavailable, Unimplemented
from casemate.core.event import AsyncEvent
from casemate.core.operation import Parameters
from casemate.road.dispatch.events.life import Response
from casemate.road.dispatch.events.ports import Parcel

SERVICE: Final = "lambda.amazonaws.com"

QueueUrl = Callable[[Arn], str]
"""Gives the URL of a queue, as its clients know it."""


class Role(Protocol):
    """A role that may be assumed.  id: unique."""

    @property
    def id(self) -> str: ...


class Roles(Protocol):
    """Roles that a service may assume."""

    def trusts(self, role_arn: str, service: str, /) -> Role | None: ...


def _invoke(event: AsyncEvent) -> Parameters:
    given = {"FunctionName": event.invoked, "Payload": event.payload}
    return {**given, "TenantId": event.tenant} if event.tenant else given


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EventRuns:
    """Runs events."""

    calls: InsideCalls

    async def __call__(self, event: AsyncEvent) -> Response:
        """Run one; every attempt has the event's own request id."""
        outcome = await self.calls(
            "lambda",
            "Invoke",
            _invoke(event),
            claim=Inside(
                service=SERVICE,
                account=event.account,
                source_arn=event.function,
                sender=event.sender,
            ),
            trace=_next(event.trace),
            identifier=event.id,
        )
        return _response(outcome.result)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EventDeliveries:
    """Delivers records and dead letters."""

    calls: InsideCalls
    roles: Roles
    queue_url: QueueUrl

    async def __call__(self, parcel: Parcel) -> None:
        """Deliver one.  Raises Denied when Lambda may not be the role any more."""
        plan, event = parcel.plan, parcel.event
        role = self.roles.trusts(plan.role_arn, SERVICE)
        if role is None or role.id != plan.role_id:
            raise Denied(
                f"the role `{plan.role_arn}` cannot be assumed by Lambda any more"
            )
        acting = Acting(
            role_arn=plan.role_arn,
            role_id=plan.role_id,
            session_name=event.function.rpartition(":")[2],
            issued_at=self.calls.clock.now(),
        )
        service, name, parameters = self._call(parcel)
        trace = _next(event.trace)
        await self.calls(
            service,
            name,
            parameters,
            claim=Inside(
                service=SERVICE,
                account=event.account,
                source_arn=event.function,
                acting=acting,
            ),
            trace=replace(trace, hops=trace.hops + 1),
        )

    def _call(self, parcel: Parcel) -> tuple[str, str, Parameters]:
        target = Arn.parse(parcel.target)
        if target.service == "lambda":
            return (
                "lambda",
                "Invoke",
                {
                    "FunctionName": parcel.target,
                    "InvocationType": "Event",
                    "Payload": parcel.body,
                },
            )
        if target.service != "sqs":
            raise Unimplemented(f"nothing is delivered to `{parcel.target}` here")
        message: dict[str, object] = {
            "QueueUrl": self.queue_url(target),
            "MessageBody": parcel.body.decode(),
        }
        if parcel.attributes:
            message["MessageAttributes"] = {
                name: {"DataType": kind, "StringValue": value}
                for name, (kind, value) in parcel.attributes.items()
            }
        return "sqs", "SendMessage", message


def _next(trace: Trace) -> Trace:
    """Go on in the lineage of the call that brought the event."""
    return replace(trace, span_id=os.urandom(8).hex(), parent_id=trace.span_id)


def _response(result: Mapping[str, object]) -> Response:
    payload = result.get("Payload")
    if not isinstance(payload, bytes):
        raise Unavailable("the function's answer is not there")
    return Response(
        version=str(result.get("ExecutedVersion", "")),
        error=str(result.get("FunctionError", "")),
        payload=payload,
    )
