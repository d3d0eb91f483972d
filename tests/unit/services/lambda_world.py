"""Lambda over the real store, with cells and workshops that say what they saw."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from casemate.core.errors import Invalid, Throttled
from casemate.core.event import AsyncEvent
from casemate.core.function import Ending, Invocation, InvocationResult
from casemate.seal.envelope import Envelope
from casemate.seal.token import Tokens
from casemate.services.lambda_.service import LambdaService
from casemate.services.lambda_.settings import FunctionSettings
from casemate.substrate.sqlite import Store
from store_stand import SetClock, store_at
from unit.services.calls import ACCOUNT, Caller, session_of

ROLE = f"arn:aws:iam::{ACCOUNT}:role/worker"
ZIP = b"PK\x05\x06" + bytes(18)


@dataclass(frozen=True)
class Role:
    arn: str
    id: str = "AROAWORKERWORKERWORKE"


@dataclass
class Roles:
    """Every role called `worker…` exists and trusts Lambda."""

    def trusts(self, role_arn: str, service: str, /) -> Role | None:
        good = role_arn.rpartition("/")[2].startswith("worker")
        return Role(role_arn) if good and service == "lambda.amazonaws.com" else None


class Runtimes:
    def runtimes(self) -> tuple[str, ...]:
        return ("python3.11", "provided.al2023")


@dataclass(frozen=True)
class Unpacked:
    files: int = 1
    bytes: int = 1


@dataclass
class Workshop:
    """Refuses what does not begin as a zip does."""

    seen: list[str] = field(default_factory=list)
    unpacked: Unpacked = Unpacked()

    async def check(
        self, account: str, runtime: str, package: bytes, sha256: str, /
    ) -> Unpacked:
        assert hashlib.sha256(package).hexdigest() == sha256
        assert runtime
        self.seen.append(f"{account}/{sha256}")
        if not package.startswith(b"PK"):
            raise Invalid("it is no zip")
        return self.unpacked


@dataclass
class Taken:
    """Takes events, as many as there is room for."""

    events: list[AsyncEvent] = field(default_factory=list)
    room: int = 1_000

    async def accept(self, event: AsyncEvent, /) -> None:
        if len(self.events) >= self.room:
            raise Throttled("no room", members={"Reason": "CallerRateLimitExceeded"})
        self.events.append(event)


@dataclass
class Rights:
    """A role may what stands here."""

    given: set[tuple[str, str, str]] = field(default_factory=set)
    everything: bool = False

    def may(self, role_arn: str, action: str, resource: str, /) -> bool:
        return self.everything or (role_arn, action, resource) in self.given


@dataclass
class Cells:
    """Gives each event back."""

    ran: list[Invocation] = field(default_factory=list)
    retired: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    error: str | None = None
    chances: list[float] = field(default_factory=list)

    def draw(self) -> float:
        return self.chances.pop()

    async def run(self, invocation: Invocation, /) -> InvocationResult:
        self.ran.append(invocation)
        return InvocationResult(
            payload=invocation.payload,
            ending=Ending.ERROR if self.error else Ending.SUCCESS,
            error=self.error,
            log_tail=b"tail",
        )

    async def retire(
        self, arn: str, /, *, version: str | None = None, keep: str | None = None
    ) -> None:
        self.retired.append((arn, version, keep))


@dataclass
class World:
    """Lambda, and somebody who calls it."""

    store: Store
    clock: SetClock
    cells: Cells
    workshop: Workshop
    taken: Taken
    rights: Rights
    service: LambdaService
    call: Caller

    def of(self, account: str) -> Caller:
        return self.call.by(session_of(account=account))

    async def settled(self) -> None:
        await self.service.settler.idle()

    async def made(self, name: str = "f", **more: object) -> Mapping[str, object]:
        """Make a function and wait until it is settled."""
        answer = await self.call("CreateFunction", **given(name, **more))
        await self.settled()
        return answer


def given(name: str = "f", /, **more: object) -> dict[str, object]:
    """Give the parameters of a good CreateFunction."""
    return {
        "FunctionName": name,
        "Runtime": "python3.11",
        "Role": ROLE,
        "Handler": "app.handler",
        "Code": {"ZipFile": ZIP},
        **more,
    }


def composed(
    store: Store,
    clock: SetClock,
    cells: Cells,
    workshop: Workshop,
    settings: FunctionSettings,
    taken: Taken | None = None,
    rights: Rights | None = None,
) -> LambdaService:
    envelope = Envelope(os.urandom)
    tokens = Tokens(key=bytes(32), envelope=envelope, clock=clock)
    return LambdaService.compose(
        records=store.records,
        blobs=store.blobs,
        roles=Roles(),
        runtimes=Runtimes(),
        packages=workshop,
        run=cells,
        events=taken or Taken(),
        rights=rights or Rights(),
        tokens=tokens,
        clock=clock,
        new_id=lambda: str(uuid.uuid4()),
        chance=cells.draw,
        secret=bytes(32),
        settings=settings,
    )


@asynccontextmanager
async def world(
    folder: Path, settings: FunctionSettings | None = None
) -> AsyncIterator[World]:
    """Build a world in a folder."""
    clock, cells, workshop = SetClock(), Cells(), Workshop()
    taken, rights = Taken(), Rights()
    async with store_at(folder, clock=clock) as store:
        service = composed(
            store,
            clock,
            cells,
            workshop,
            settings or FunctionSettings(),
            taken,
            rights,
        )
        yield World(
            store=store,
            clock=clock,
            cells=cells,
            workshop=workshop,
            taken=taken,
            rights=rights,
            service=service,
            call=Caller.of(service.operations),
        )
        await service.close()
