"""
The composition root: every room, every service, each handed its neighbours.

Nothing here decides anything about a call; what is wired to what can be read
from top to bottom.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import casemate
from casemate.app.asynchronous import EventDeliveries, EventRuns
from casemate.app.audit import Auditor
from casemate.app.events import Events
from casemate.app.explain import Explainer
from casemate.app.inside import InsideCalls
from casemate.app.keyring import FILE, ONCE, TOKENS, KeyRing
from casemate.app.neighbours import (
    AccountIds,
    CellCredentials,
    Cells,
    Checkpoints,
    ColdStarts,
    FunctionShares,
    NewKeys,
    RoleRights,
    SigningKeys,
    StoredCode,
    TrustedRoles,
)
from casemate.app.quarantine import QuarantineKeeper, Quarantinings
from casemate.app.refusals import Refusals
from casemate.app.resources import Resources
from casemate.app.rules import ModelRules
from casemate.app.settings import Settings
from casemate.app.status import Status
from casemate.app.witness import Witness
from casemate.core.clock import Clock
from casemate.road.admit.room import Admit, Limits
from casemate.road.authn.replay import Replays
from casemate.road.authn.room import Authn
from casemate.road.authz.room import Authz
from casemate.road.dispatch.events.driver import Driver
from casemate.road.dispatch.events.intake import Bounds, Intake
from casemate.road.dispatch.events.lanes import Lanes, Workers
from casemate.road.dispatch.events.quarantine import Quarantine
from casemate.road.dispatch.room import Dispatch
from casemate.road.ingress.catalog import Catalog
from casemate.road.record.ledger import Ledger
from casemate.road.record.metrics import Metrics
from casemate.road.record.room import Record
from casemate.road.record.story import Recent, Stories
from casemate.road.road import Road
from casemate.road.sandbox.invoke import Sandbox
from casemate.road.sandbox.settings import Settings as SandboxSettings
from casemate.road.sandbox.warden import Warden
from casemate.road.validate.room import Validate
from casemate.seal.envelope import Envelope
from casemate.seal.keyholder import Keyholder, PublicKeys
from casemate.seal.token import Tokens
from casemate.services.casemate_.accounts import Accounts
from casemate.services.casemate_.operator import OperatorSessions
from casemate.services.casemate_.service import Casemate
from casemate.services.iam.directory import Directory
from casemate.services.iam.service import Iam
from casemate.services.lambda_.service import LambdaService
from casemate.services.lambda_.settings import FunctionSettings
from casemate.services.logs.requests import RequestLines
from casemate.services.logs.service import LogsService
from casemate.services.logs.settings import LogSettings
from casemate.services.logs.store import Store as LogStore
from casemate.services.sqs.service import SqsService
from casemate.services.sqs.settings import QueueSettings
from casemate.services.sts.service import Sts
from casemate.substrate.sqlite import Store, open_store
from casemate.wire import load

MODELS: Final = Path(casemate.__file__).parent / "data"
_SERVICES: Final = ("iam", "sts", "lambda", "logs", "sqs", "casemate")
_LIMITS: Final = Limits()
"""Of every account: what admission holds it to is what it is told it has."""

_SHARE: Final = 0.75
"""Of the host's memory, what cells and unpacked packages may take together: the
kernel's own limit for them is 80 %, and cells that wait need some of it."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """The composed platform: what the node starts, serves and stops."""

    store: Store
    keyholder: Keyholder
    accounts: Accounts
    operators: OperatorSessions
    sandbox: Sandbox
    ledger: Ledger
    metrics: Metrics
    admit: Admit
    catalog: Catalog
    authn: Authn
    road: Road
    functions: LambdaService
    logs: LogsService
    queues: SqsService
    events: Events
    refusals: Refusals
    replays: Replays | None
    witness: Witness | None
    intake: Intake
    driver: Driver


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """
    What the composition builds upon: the store, the keys, the sandbox's host.

    witness: the file that receives checkpoints, if the operator named one.
    """

    settings: Settings
    clock: Clock
    keyholder: Keyholder
    public: PublicKeys
    keyring: KeyRing
    store: Store
    tokens: Tokens
    warden: Warden
    witness: int | None = None


async def open_site(
    settings: Settings,
    clock: Clock,
    keyholder: Keyholder,
    warden: Warden,
    witness: int | None,
) -> Site:
    """Open the keys and the store of the node's folder."""
    keyring = KeyRing(settings.folder / "keys", keyholder)
    await keyring.open()
    envelope = Envelope(os.urandom)
    store = open_store(
        settings.folder,
        file_key=keyring.named(FILE),
        keyring=keyring,
        envelope=envelope,
        clock=clock,
        randomness=os.urandom,
    )
    return Site(
        settings=settings,
        clock=clock,
        keyholder=keyholder,
        public=await keyholder.public(),
        keyring=keyring,
        store=store,
        tokens=Tokens(key=keyring.named(TOKENS), envelope=envelope, clock=clock),
        warden=warden,
        witness=witness,
    )


def compose(site: Site) -> House:
    """Put the house together.  Raises where a declaration is not sound."""
    settings, clock, store = site.settings, site.clock, site.store
    directory = Directory(store.records, os.urandom)
    new_keys = NewKeys(keyholder=site.keyholder)
    accounts = Accounts(
        records=store.records,
        keyring=site.keyring,
        administrators=directory,
        entropy=os.urandom,
        clock=clock,
    )
    logs = LogsService.compose(
        records=store.records,
        log=store.log,
        tokens=site.tokens,
        accounts=AccountIds(accounts=accounts),
        clock=clock,
        settings=LogSettings(),
        region=settings.region,
    )
    queues = SqsService.compose(
        records=store.records,
        messages=store.queue,
        tokens=site.tokens,
        accounts=AccountIds(accounts=accounts),
        clock=clock,
        new_id=lambda: os.urandom(16).hex(),
        settings=QueueSettings(endpoint=settings.endpoint),
        region=settings.region,
    )
    metrics = Metrics()
    sandbox = Sandbox(
        warden=site.warden,
        settings=_sandbox_settings(settings),
        code=StoredCode(blobs=store.blobs),
        credentials=CellCredentials(keys=new_keys, clock=clock),
        lines=logs.intake,
        started=ColdStarts(metrics=metrics),
        clock=clock,
    )
    witness = None if site.witness is None else Witness(site.witness)
    status = Status(settings=settings, sandbox=sandbox, clock=clock, witness=witness)
    resources = Resources(
        owners={
            "iam": directory.resource_facts,
            "lambda": lambda arn, _action: functions.resource_facts(arn),
            "sqs": lambda arn, _action: queues.resource_facts(arn),
        }
    )
    quarantine = Quarantine(store.records)
    lanes = Lanes(Workers())
    intake = Intake(
        queue=store.queue,
        quarantine=quarantine,
        lanes=lanes,
        clock=clock,
        bounds=Bounds(),
    )
    functions = _functions(
        site,
        directory,
        sandbox,
        status,
        events=intake,
        rights=RoleRights(directory=directory, resources=resources),
    )
    ledger = Ledger(
        log=store.log,
        instance=settings.instance,
        sign=Checkpoints(keyholder=site.keyholder, witness=witness).sign,
        clock=clock,
    )
    recent = Recent()
    own = Casemate(
        accounts=accounts,
        tokens=site.tokens,
        stories=Explainer(
            stories=Stories(log=store.log, recent=recent),
            lines=RequestLines(store=LogStore(store.records, store.log), log=store.log),
        ),
        audit=Auditor(
            log=store.log,
            ledger=ledger,
            audit_key=site.public.audit_key,
            instance=settings.instance,
        ),
        platform=status,
        quarantine=QuarantineKeeper(quarantine=quarantine, intake=intake),
        residues=functions.residues,
    )
    iam = Iam(
        records=store.records,
        tokens=site.tokens,
        keys=new_keys,
        entropy=os.urandom,
        directory=directory,
    )
    sts = Sts(directory=directory, sessions=new_keys)
    operations = (
        *iam.operations,
        *sts.operations,
        *functions.operations,
        *logs.operations,
        *queues.operations,
        *own.operations,
    )
    codecs = {name: load(name, MODELS) for name in _SERVICES}
    rules = ModelRules(codecs=codecs)
    rules.prove(operations)
    replays = Replays(since=clock.now()) if settings.replay == "refuse" else None
    admit = Admit(
        limits=_LIMITS, shares=FunctionShares(functions=functions), clock=clock
    )
    authn = Authn(
        keys=SigningKeys(keyholder=site.keyholder),
        directory=directory,
        clock=clock,
        region=settings.region,
        replays=replays,
    )
    road = Road(
        record=Record(book=ledger, metrics=metrics, recent=recent, clock=clock),
        authn=authn,
        authz=Authz(
            identities=directory,
            resources=resources,
        ),
        validate=Validate(rules=rules),
        admit=admit,
        dispatch=Dispatch(),
    )
    events = Events(ledger=ledger, clock=clock, region=settings.region)
    catalog = Catalog.compose(codecs.values(), operations)
    calls = InsideCalls(road=road, catalog=catalog, clock=clock, region=settings.region)
    driver = Driver(
        intake=intake,
        lanes=lanes,
        queue=store.queue,
        quarantine=quarantine,
        plans=functions.plans,
        run=EventRuns(calls=calls),
        deliver=EventDeliveries(
            calls=calls,
            roles=TrustedRoles(directory=directory),
            queue_url=lambda arn: f"{settings.endpoint}/{arn.account}/{arn.resource}",
        ),
        tell=Quarantinings(events=events),
        clock=clock,
        chance=lambda: int.from_bytes(os.urandom(4)) / 2**32,
    )
    return House(
        store=store,
        keyholder=site.keyholder,
        accounts=accounts,
        operators=OperatorSessions(
            accounts=accounts,
            administrators=directory,
            sessions=new_keys,
            clock=clock,
        ),
        sandbox=sandbox,
        ledger=ledger,
        metrics=metrics,
        admit=admit,
        catalog=catalog,
        authn=authn,
        road=road,
        functions=functions,
        logs=logs,
        queues=queues,
        events=events,
        refusals=Refusals(events=events, sandbox=sandbox),
        replays=replays,
        witness=witness,
        intake=intake,
        driver=driver,
    )


def _functions(
    site: Site,
    directory: Directory,
    sandbox: Sandbox,
    status: Status,
    *,
    events: Intake,
    rights: RoleRights,
) -> LambdaService:
    cells = Cells(sandbox=sandbox)
    return LambdaService.compose(
        records=site.store.records,
        blobs=site.store.blobs,
        roles=TrustedRoles(directory=directory),
        runtimes=status,
        packages=cells,
        run=cells,
        events=events,
        rights=rights,
        tokens=site.tokens,
        clock=site.clock,
        new_id=lambda: str(uuid.uuid4()),
        chance=chance,
        secret=site.keyring.named(ONCE),
        settings=FunctionSettings(
            architecture=os.uname().machine,
            concurrent_executions=_LIMITS.places,
            unsafe_secrets_in_environment="secrets-in-environment"
            in site.settings.unsafe,
            unsafe_public_policies="public-policies" in site.settings.unsafe,
        ),
    )


def chance() -> float:
    """Draw a number from 0, which can come, to 1, which cannot, in steps of 2^-53."""
    return (int.from_bytes(os.urandom(7)) >> 3) * 2.0**-53


def _sandbox_settings(settings: Settings) -> SandboxSettings:
    return SandboxSettings(
        region=settings.region,
        runtimes=settings.runtimes,
        pool=settings.pool,
        memory_mb=int(settings.memory_mb * _SHARE) - settings.trees_mb,
        trees_mb=settings.trees_mb,
    )
