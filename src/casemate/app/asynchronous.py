"""
Asynchronous events' calls on the road: runs, and deliveries.

A run is made by `lambda.amazonaws.com`, which a function's own policy lets run
what was taken; and whoever sent the event must still have the right to.  A
delivery is made by a session of the function's role, so
that role's policies and the target's decide, each time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol, final

from casemate.app.events import QUARANTINED, Event, Events
from casemate.core.arn import Arn
from casemate.core.call import Acting, Arrival, Door, Inside, Outcome, Trace
from casemate.core.clock import Clock
from casemate.core.errors import Denied, Unavailable, Unimplemented
from casemate.core.event import AsyncEvent
from casemate.core.identifier import request_id
from casemate.core.operation import Operation, Parameters
from casemate.road.dispatch.events.intake import Intake
from casemate.road.dispatch.events.kept import UnreadableError, read
from casemate.road.dispatch.events.life import Response
from casemate.road.dispatch.events.ports import Parcel
from casemate.road.dispatch.events.quarantine import Quarantine, Summary
from casemate.road.ingress.catalog import Catalog
from casemate.road.road import Road

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


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class InsideCalls:
    """Makes calls of the platform's own on the road."""

    road: Road
    catalog: Catalog
    clock: Clock
    region: str

    async def __call__(
        self,
        service: str,
        name: str,
        parameters: Parameters,
        *,
        claim: Inside,
        trace: Trace,
        identifier: str | None = None,
    ) -> Outcome:
        """Make one.  identifier: of the request; None makes one.  Raises a Refusal."""
        now = self.clock.now()
        return await self.road(
            Arrival(
                id=identifier or request_id(now, os.urandom),
                at=now,
                started=self.clock.monotonic(),
                trace=trace,
                door=Door.SERVICE,
                peer="",
                cell=None,
                operation=self._operation(service, name),
                claim=claim,
                parameters=parameters,
                region=self.region,
            )
        )

    def _operation(self, service: str, name: str) -> Operation:
        found = self.catalog.services.get(service)
        operation = found.operations.get(name) if found else None
        if operation is None:
            raise Unimplemented(f"there is no `{name}` of `{service}` on this platform")
        return operation


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


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantinings:
    """Puts on the account's record that an event had nowhere to go."""

    events: Events

    def __call__(self, account: str, summary: Summary) -> None:
        """Say so."""
        self.events.write_soon(
            Event(
                name=QUARANTINED,
                account=account,
                by=SERVICE,
                source=SERVICE,
                details={
                    "requestId": summary.id,
                    "function": summary.target,
                    # The reason may repeat what the function said.
                    "reason": summary.reason.partition(":")[0],
                },
            )
        )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineKeeper:
    """The quarantine, as the platform's own service knows it."""

    quarantine: Quarantine
    intake: Intake

    def page(self, account: str, *, after: str, limit: int) -> Sequence[Summary]:
        """List an account's events."""
        return self.quarantine.page(account, after=after, limit=limit)

    def find(self, account: str, identifier: str) -> Summary | None:
        """Find one."""
        found = self.quarantine.find(account, identifier)
        return found[0] if found else None

    def payload(self, account: str, identifier: str) -> bytes:
        """Give the event itself; what cannot be read, as it is."""
        found = self.quarantine.find(account, identifier)
        if found is None:
            return b""
        try:
            return read(found[1]).event.payload
        except UnreadableError:
            return found[1]

    async def redrive(self, account: str, identifier: str) -> bool:
        """Begin one again."""
        return await self.intake.redrive(account, identifier)

    async def dispose(self, account: str, identifier: str) -> bool:
        """Forget one."""
        return await self.intake.dispose(account, identifier)
