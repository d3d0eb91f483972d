"""SQS over the real store."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from casemate.seal.envelope import Envelope
from casemate.seal.token import Tokens
from casemate.services.sqs.service import SqsService
from casemate.services.sqs.settings import QueueSettings
from casemate.substrate.sqlite import Limits, Store
from store_stand import SMALL, SetClock, store_at
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION, Caller, session_of

ENDPOINT = "https://127.0.0.1:4443"
URL = f"{ENDPOINT}/{ACCOUNT}/q"


def arn(name: str = "q", account: str = ACCOUNT) -> str:
    return f"arn:aws:sqs:{REGION}:{account}:{name}"


def url(name: str = "q", account: str = ACCOUNT) -> str:
    return f"{ENDPOINT}/{account}/{name}"


def redrive(name: str, receives: int) -> str:
    told = {"deadLetterTargetArn": arn(name), "maxReceiveCount": receives}
    return json.dumps(told)


@dataclass
class Accounts:
    def all(self) -> Sequence[str]:
        return (ACCOUNT, OTHER_ACCOUNT)


@dataclass
class World:
    store: Store
    clock: SetClock
    service: SqsService
    call: Caller

    def of(self, account: str) -> Caller:
        return self.call.by(session_of(account=account))

    async def made(self, name: str = "q", **attributes: str) -> str:
        answer = await self.call("CreateQueue", QueueName=name, Attributes=attributes)
        return str(answer["QueueUrl"])

    async def send(self, body: str = "body", name: str = "q", **more: object) -> str:
        answer = await self.call(
            "SendMessage", QueueUrl=url(name), MessageBody=body, **more
        )
        return str(answer["MessageId"])

    async def received(self, name: str = "q", **more: object) -> list[dict[str, Any]]:
        answer: Mapping[str, Any] = await self.call(
            "ReceiveMessage",
            QueueUrl=url(name),
            **{
                "MessageSystemAttributeNames": ["All"],
                "MessageAttributeNames": ["All"],
                "MaxNumberOfMessages": 10,
                **more,
            },
        )
        return list(answer.get("Messages", ()))

    async def one(self, name: str = "q", **more: object) -> dict[str, Any]:
        (message,) = await self.received(name, **more)
        return message

    async def delete(self, handle: str, name: str = "q") -> None:
        await self.call("DeleteMessage", QueueUrl=url(name), ReceiptHandle=handle)

    async def attributes(self, *names: str, name: str = "q") -> dict[str, str]:
        answer: Mapping[str, Any] = await self.call(
            "GetQueueAttributes", QueueUrl=url(name), AttributeNames=list(names)
        )
        return dict(answer.get("Attributes", {}))

    async def counts(self, name: str = "q") -> tuple[int, int, int]:
        told = await self.attributes("All", name=name)
        return (
            int(told["ApproximateNumberOfMessages"]),
            int(told["ApproximateNumberOfMessagesNotVisible"]),
            int(told["ApproximateNumberOfMessagesDelayed"]),
        )


def composed(
    store: Store, clock: SetClock, settings: QueueSettings | None = None
) -> SqsService:
    tokens = Tokens(key=bytes(32), envelope=Envelope(os.urandom), clock=clock)
    return SqsService.compose(
        records=store.records,
        messages=store.queue,
        tokens=tokens,
        accounts=Accounts(),
        clock=clock,
        new_id=lambda: os.urandom(16).hex(),
        settings=settings or QueueSettings(endpoint=ENDPOINT),
        region=REGION,
    )


@asynccontextmanager
async def world(
    folder: Path, settings: QueueSettings | None = None, limits: Limits = SMALL
) -> AsyncIterator[World]:
    clock = SetClock()
    async with store_at(folder, clock=clock, limits=limits) as store:
        service = composed(store, clock, settings)
        yield World(store, clock, service, Caller.of(service.operations))


def run(
    folder: Path,
    law: Callable[[World], Awaitable[None]],
    settings: QueueSettings | None = None,
    limits: Limits = SMALL,
) -> None:
    async def inside() -> None:
        async with world(folder, settings, limits) as here:
            await law(here)

    asyncio.run(inside())
