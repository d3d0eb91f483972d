"""Laws of what the composition adds to asynchronous events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from casemate.app.asynchronous import EventDeliveries
from casemate.app.events import Events
from casemate.app.inside import InsideCalls
from casemate.app.quarantine import Quarantinings
from casemate.core.call import Arrival, Outcome
from casemate.core.errors import Denied, Unimplemented
from casemate.core.event import Plan
from casemate.road.dispatch.events.ports import Parcel
from casemate.road.dispatch.events.quarantine import Summary
from casemate.road.ingress.catalog import Catalog
from casemate.road.record.ledger import STREAM
from casemate.seal import chain
from casemate.substrate.ports import SHARED
from store_stand import ALICE, SetClock, store_at
from unit.road.dispatch.events_world import QUEUE, event
from unit.road.record.test_ledger import ledger_on
from unit.services.calls import law, refused

PLAN = Plan(role_arn=f"arn:aws:iam::{ALICE}:role/r", role_id="AROAR")
PARCEL = Parcel(event=event(1), plan=PLAN, target=QUEUE, body=b"{}", attributes={})


@dataclass(frozen=True)
class Role:
    id: str


@dataclass
class Roles:
    """The role as it is now."""

    now: Role | None

    def trusts(self, _role_arn: str, _service: str, /) -> Role | None:
        return self.now


async def no_road(_arrival: Arrival) -> Outcome:
    raise AssertionError("nothing may be called")


def deliveries(now: Role | None) -> EventDeliveries:
    road: Any = no_road
    return EventDeliveries(
        calls=InsideCalls(
            road=road,
            catalog=Catalog(services={}),
            clock=SetClock(),
            region="us-east-1",
        ),
        roles=Roles(now),
        queue_url=lambda arn: f"https://here/{arn.account}/{arn.resource}",
    )


@pytest.mark.parametrize("now", [None, Role("AROAOTHER")])
def test_nothing_is_delivered_as_a_role_that_is_another(now: Role | None) -> None:
    """A role that is gone, made again, or does not trust Lambda any more."""

    @law
    async def denied() -> None:
        refusal = await refused(deliveries(now)(PARCEL))
        assert isinstance(refusal, Denied)

    denied()


@pytest.mark.parametrize("target", [QUEUE, "arn:aws:sns:us-east-1:111111111111:t"])
def test_what_is_not_here_is_not_delivered_to(target: str) -> None:
    """Without the service the delivery is refused by name, never taken for done."""

    @law
    async def absent() -> None:
        parcel = replace(PARCEL, target=target)
        refusal = await refused(deliveries(Role("AROAR"))(parcel))
        assert isinstance(refusal, Unimplemented)

    absent()


@law
async def test_a_quarantined_event_is_on_the_accounts_record(tmp_path: Path) -> None:
    """Which event, of which function; never what the function said."""
    async with store_at(tmp_path) as store:
        ledger = ledger_on(store.log)
        ledger.start()
        events = Events(ledger=ledger, clock=SetClock(), region="us-east-1")
        summary = Summary(
            id=event(1).id,
            target=event(1).target,
            at=0.0,
            reason="RetriesExhausted, and so on: secret",
            condition="RetriesExhausted",
            runs=3,
            payload_bytes=2,
        )
        Quarantinings(events=events)(ALICE, summary)
        await ledger.close()
        found = [
            orjson.loads(chain.unpacked(e.position, e.at, e.data).data)
            for e in store.log.read(SHARED, STREAM)
        ]
    (record,) = [one for one in found if one.get("eventName") == "EventQuarantined"]
    assert record["recipientAccountId"] == ALICE
    assert record["requestParameters"] == {
        "requestId": event(1).id,
        "function": event(1).target,
        "reason": "RetriesExhausted, and so on",
    }
