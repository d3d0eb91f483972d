"""The service: its nouns put together, and what the composer needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from casemate.core.clock import Clock
from casemate.core.operation import Operation, operations_of
from casemate.seal.token import Tokens
from casemate.services.logs.expiry import Expiry
from casemate.services.logs.extent import Extents
from casemate.services.logs.groups import Groups
from casemate.services.logs.intake import Intake
from casemate.services.logs.ledger import Ledger
from casemate.services.logs.paging import Paging
from casemate.services.logs.ports import Accounts
from casemate.services.logs.reading import Reading
from casemate.services.logs.searching import Searching
from casemate.services.logs.settings import LogSettings
from casemate.services.logs.store import Store
from casemate.services.logs.streams import Streams
from casemate.services.logs.writing import Writing
from casemate.substrate.ports import Log, Records

NAME: Final = "logs"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsService:
    """CloudWatch Logs."""

    name: str
    operations: tuple[Operation, ...]
    intake: Intake
    expiry: Expiry

    @classmethod
    def compose(
        cls,
        *,
        records: Records,
        log: Log,
        tokens: Tokens,
        accounts: Accounts,
        clock: Clock,
        settings: LogSettings,
        region: str,
    ) -> Self:
        """Put the service together.  Nothing runs until a call."""
        store = Store(records, log)
        extents, ledger = Extents(records, log), Ledger(store, region)
        intake = Intake(
            store=store,
            extents=extents,
            ledger=ledger,
            clock=clock,
            settings=settings,
        )

        def paging(operation: str) -> Paging:
            return Paging(tokens=tokens, operation=f"{NAME}:{operation}")

        nouns = (
            Groups(
                store=store,
                ledger=ledger,
                listing=paging("DescribeLogGroups"),
                clock=clock,
                settings=settings,
            ),
            Streams(
                store=store,
                extents=extents,
                ledger=ledger,
                listing=paging("DescribeLogStreams"),
                clock=clock,
                settings=settings,
            ),
            Writing(
                store=store,
                extents=extents,
                ledger=ledger,
                clock=clock,
                settings=settings,
            ),
            Reading(store=store, paging=paging("GetLogEvents"), settings=settings),
            Searching(
                store=store,
                extents=extents,
                paging=paging("FilterLogEvents"),
                settings=settings,
            ),
        )
        expiry = Expiry(
            store=store,
            extents=extents,
            ledger=ledger,
            intake=intake,
            accounts=accounts,
            settings=settings,
            region=region,
        )
        return cls(
            name=NAME,
            operations=operations_of(NAME, *nouns),
            intake=intake,
            expiry=expiry,
        )

    async def expire(self, now: float) -> int:
        """Forget what has had its time; the composer calls this each minute."""
        return await self.expiry.expire(now)
