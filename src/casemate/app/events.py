"""
The platform's own events: what an operator should hear of, put on record.

Each is a `casemate.*` record in the audit chain, in the shape of a CloudTrail
service event, about the account that it concerns.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import orjson

from casemate.core.clock import Clock, iso
from casemate.core.identifier import request_id
from casemate.road.record import trail
from casemate.road.record.ledger import Ledger

STARTED: Final = "PlatformStarted"
"""The node serves; with what was loosened by name."""
LOWERED: Final = "FloorLowered"
"""The host fails a check of the floor, and the operator lowered it by name."""
SESSION: Final = "OperatorSession"
"""The operator got a session in an account: break-glass, in that account's record."""
WITNESS: Final = "WitnessUnreachable"
"""The witness of the record cannot be written to: tampering would be seen later."""
WITNESSED: Final = "WitnessReached"
"""It can be written to again."""
EGRESS: Final = "EgressRefused"
"""A cell tried to reach what it may not."""

QUARANTINED: Final = "EventQuarantined"
"""An asynchronous event had nowhere to go."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    Something that happened.

    account: whom it concerns.  by: the part of the platform that says so.
    source: where it came from (a cell, `operator`).  refused: why it was
    refused, or empty.
    """

    name: str
    account: str
    by: str
    source: str
    details: Mapping[str, object]
    refused: str = ""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """Writes events into the audit chain."""

    ledger: Ledger
    clock: Clock
    region: str

    async def write(self, event: Event) -> None:
        """Write an event durably.  Raises Unavailable."""
        now = self.clock.now()
        await self.ledger.append(int(now * 1000), self._data(event, now))

    def write_soon(self, event: Event) -> None:
        """Write an event with the next group."""
        now = self.clock.now()
        self.ledger.append_soon(int(now * 1000), self._data(event, now))

    def _data(self, event: Event, now: float) -> bytes:
        identifier = request_id(now, os.urandom)
        record = {
            "eventVersion": trail.EVENT_VERSION,
            "userIdentity": {"type": "AWSService", "invokedBy": event.by},
            "eventTime": iso(now),
            "eventSource": "casemate.amazonaws.com",
            "eventName": event.name,
            "awsRegion": self.region,
            "sourceIPAddress": event.source,
            "requestParameters": trail.redact(event.details),
            "responseElements": None,
            "requestID": identifier,
            "eventID": identifier,
            "readOnly": False,
            "eventType": "AwsServiceEvent",
            "managementEvent": True,
            "eventCategory": "Management",
            "recipientAccountId": event.account,
        }
        if event.refused:
            record |= {"errorCode": "AccessDenied", "errorMessage": event.refused}
        return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
