"""
What a cell tried and egress refused, put on record.

Each is a `casemate.EgressRefused` event in the audit chain, with the function
that the cell serves; egress caps how many it tells, and says how many it did
not.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, final

import orjson

from casemate.core.clock import Clock, iso
from casemate.core.identifier import request_id
from casemate.road.record import trail
from casemate.road.record.ledger import Ledger
from casemate.road.sandbox.invoke import Sandbox

EVENT: Final = "EgressRefused"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Refusals:
    """Records the attempts of cells that egress refused."""

    ledger: Ledger
    sandbox: Sandbox
    clock: Clock
    region: str

    def tell(self, cell: str, destination: str, reason: str, untold: int) -> None:
        """Write one record.  untold: attempts since the last that were not told."""
        now = self.clock.now()
        function = self.sandbox.cell_function(cell)
        identifier = request_id(now, os.urandom)
        record = {
            "eventVersion": trail.EVENT_VERSION,
            "userIdentity": {
                "type": "AWSService",
                "invokedBy": "egress.casemate.internal",
            },
            "eventTime": iso(now),
            "eventSource": "casemate.amazonaws.com",
            "eventName": EVENT,
            "awsRegion": self.region,
            "sourceIPAddress": cell,
            "requestParameters": {"destination": destination, "untold": untold},
            "responseElements": None,
            "errorCode": "AccessDenied",
            "errorMessage": reason,
            "requestID": identifier,
            "eventID": identifier,
            "readOnly": False,
            "eventType": "AwsServiceEvent",
            "managementEvent": False,
            "eventCategory": "NetworkActivity",
            "recipientAccountId": function.account if function else "",
            "additionalEventData": {
                "cell": cell,
                "resource": function.arn if function else None,
            },
        }
        data = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
        self.ledger.append_soon(int(now * 1000), data)
