"""Logs over the real store."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from casemate.core.function import FunctionVersion
from casemate.seal.envelope import Envelope
from casemate.seal.token import Tokens
from casemate.services.logs.service import LogsService
from casemate.services.logs.settings import LogSettings
from casemate.substrate.ports import NewEntry
from casemate.substrate.sqlite import Store
from store_stand import SetClock, store_at
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION, Caller, session_of

NOW = 1_700_000_000_000
GROUP = "/aws/lambda/f"


@dataclass(frozen=True)
class Line:
    at: int
    text: str
    platform: bool = False


@dataclass
class Accounts:
    def all(self) -> Sequence[str]:
        return (ACCOUNT, OTHER_ACCOUNT)


def function(name: str = "f", account: str = ACCOUNT) -> FunctionVersion:
    arn = f"arn:aws:lambda:{REGION}:{account}:function:{name}"
    return FunctionVersion(
        account=account,
        region=REGION,
        name=name,
        arn=arn,
        version="$LATEST",
        revision="r",
        runtime="python3.11",
        handler="a.b",
        role_arn="",
        role_id="",
        code_sha256="0" * 64,
        memory_mb=128,
        timeout=3,
        ephemeral_mb=512,
        environment={},
        log_group=f"/aws/lambda/{name}",
    )


@dataclass
class World:
    store: Store
    clock: SetClock
    service: LogsService
    call: Caller

    def of(self, account: str) -> Caller:
        return self.call.by(session_of(account=account))

    async def made(self, group: str = GROUP, *streams: str) -> None:
        await self.call("CreateLogGroup", logGroupName=group)
        for stream in streams:
            await self.call("CreateLogStream", logGroupName=group, logStreamName=stream)

    async def put(
        self, stream: str, *events: tuple[int, str], group: str = GROUP
    ) -> Mapping[str, object]:
        return await self.call(
            "PutLogEvents",
            logGroupName=group,
            logStreamName=stream,
            logEvents=[{"timestamp": at, "message": m} for at, m in events],
        )

    async def get(self, stream: str, **more: object) -> Mapping[str, object]:
        return await self.call(
            "GetLogEvents", logGroupName=GROUP, logStreamName=stream, **more
        )

    async def filtered(self, member: str = "message", **more: object) -> list[str]:
        """Search through all pages; give a member of each event."""
        found: list[str] = []
        while True:
            page = await self.call("FilterLogEvents", logGroupName=GROUP, **more)
            found += messages(page, member)
            if "nextToken" not in page:
                return found
            more["nextToken"] = page["nextToken"]

    async def written(self) -> None:
        """Wait until what was taken in is in the store."""
        await self.service.intake.idle()
        # The writer takes what waits before what comes after it.
        await self.store.log.append(
            ACCOUNT, "barrier", [NewEntry(at=NOW, kind="barrier", data=b"")]
        )


def messages(page: Mapping[str, object], member: str = "message") -> list[str]:
    events = page["events"]
    assert isinstance(events, list)
    return [event[member] for event in events]


@asynccontextmanager
async def world(
    folder: Path, settings: LogSettings | None = None
) -> AsyncIterator[World]:
    clock = SetClock()
    tokens = Tokens(key=bytes(32), envelope=Envelope(os.urandom), clock=clock)
    async with store_at(folder, clock=clock) as store:
        service = LogsService.compose(
            records=store.records,
            log=store.log,
            tokens=tokens,
            accounts=Accounts(),
            clock=clock,
            settings=settings or LogSettings(),
            region=REGION,
        )
        yield World(store, clock, service, Caller.of(service.operations))


def run(
    folder: Path,
    law: Callable[[World], Awaitable[None]],
    settings: LogSettings | None = None,
) -> None:
    async def inside() -> None:
        async with world(folder, settings) as here:
            await law(here)

    asyncio.run(inside())
