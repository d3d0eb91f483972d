"""The service: its nouns put together, and what the composer needs of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, Self

from casemate.core.arn import Arn
from casemate.core.clock import Clock
from casemate.core.operation import Operation, operations_of
from casemate.seal.token import Tokens
from casemate.services.sqs.configuring import Configuring
from casemate.services.sqs.counting import Counting
from casemate.services.sqs.directory import Directory
from casemate.services.sqs.expiry import Expiry
from casemate.services.sqs.facts import ResourceFacts
from casemate.services.sqs.finishing import Finishing
from casemate.services.sqs.paging import Paging
from casemate.services.sqs.ports import Accounts, NewId
from casemate.services.sqs.queues import Queues
from casemate.services.sqs.receipts import Receipts
from casemate.services.sqs.receiving import Receiving
from casemate.services.sqs.sending import Sending
from casemate.services.sqs.settings import QueueSettings
from casemate.services.sqs.store import Store
from casemate.services.sqs.waiting import Arrivals
from casemate.substrate.ports import Queue as Messages
from casemate.substrate.ports import Records

NAME: Final = "sqs"


@dataclass(frozen=True, slots=True, kw_only=True)
class SqsService:
    """Amazon SQS."""

    name: str
    operations: tuple[Operation, ...]
    directory: Directory
    arrivals: Arrivals
    receiving: Receiving
    expiry: Expiry

    @classmethod
    def compose(
        cls,
        *,
        records: Records,
        messages: Messages,
        tokens: Tokens,
        accounts: Accounts,
        clock: Clock,
        new_id: NewId,
        settings: QueueSettings,
        region: str,
    ) -> Self:
        """Put the service together.  Nothing runs until a call."""
        store = Store(records, messages)
        directory, arrivals = Directory(store), Arrivals(messages)
        receipts = Receipts(tokens)
        receiving = Receiving(
            store=store,
            directory=directory,
            receipts=receipts,
            arrivals=arrivals,
            settings=settings,
        )
        nouns = (
            Queues(
                store=store,
                directory=directory,
                listing=Paging(tokens=tokens, operation=f"{NAME}:ListQueues"),
                sources=Paging(
                    tokens=tokens, operation=f"{NAME}:ListDeadLetterSourceQueues"
                ),
                clock=clock,
                new_id=new_id,
                settings=settings,
            ),
            Configuring(
                store=store,
                directory=directory,
                counting=Counting(messages),
                clock=clock,
            ),
            Sending(store=store, directory=directory),
            receiving,
            Finishing(store=store, directory=directory, receipts=receipts),
        )
        return cls(
            name=NAME,
            operations=operations_of(NAME, *nouns),
            directory=directory,
            arrivals=arrivals,
            receiving=receiving,
            expiry=Expiry(store=store, accounts=accounts, region=region),
        )

    def resource_facts(self, arn: Arn) -> ResourceFacts | None:
        """Tell the authz room what is known of a queue; None if it is not there."""
        return self.directory.resource_facts(arn)

    async def expire(self, now: float) -> int:
        """Forget what has had its time; the composer calls this each minute."""
        return await self.expiry.expire(now)

    async def rest(self) -> None:
        """Let everybody go who waits for messages, with an empty answer."""
        self.arrivals.close()
        if self.receiving.given_back:
            await asyncio.wait(tuple(self.receiving.given_back))
