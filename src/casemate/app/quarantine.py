"""The quarantine of asynchronous events, as the record and the services know it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from casemate.app.asynchronous import SERVICE
from casemate.app.events import QUARANTINED, Event, Events
from casemate.road.dispatch.events.intake import Intake
from casemate.road.dispatch.events.kept import UnreadableError, read
from casemate.road.dispatch.events.quarantine import Quarantine, Summary


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

    async def redrive(self, account: str, identifier: str, hops: int) -> bool:
        """Begin one again."""
        return await self.intake.redrive(account, identifier, hops)

    async def dispose(self, account: str, identifier: str) -> bool:
        """Forget one."""
        return await self.intake.dispose(account, identifier)
