"""Calls that the platform makes itself: on the road, like any other."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import final

from casemate.core.call import Arrival, Door, Inside, Outcome, Trace
from casemate.core.clock import Clock
from casemate.core.errors import Unimplemented
from casemate.core.identifier import request_id
from casemate.core.operation import Operation, Parameters
from casemate.road.ingress.catalog import Catalog
from casemate.road.road import Road


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
