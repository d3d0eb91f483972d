"""The service: its nouns put together, and what the composer needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from casemate.core.arn import Arn
from casemate.core.clock import Clock
from casemate.core.operation import Operation, Parameters, Scope, operations_of
from casemate.seal.token import Tokens
from casemate.services.lambda_.aliases import Aliases
from casemate.services.lambda_.concurrency import Concurrency
from casemate.services.lambda_.configuration import Composer
from casemate.services.lambda_.deploy import Deployment
from casemate.services.lambda_.directory import Directory
from casemate.services.lambda_.eventconfig import EventConfigs
from casemate.services.lambda_.events import EventSettings
from casemate.services.lambda_.facts import ResourceFacts
from casemate.services.lambda_.functions import Functions
from casemate.services.lambda_.idempotency.names import Namer
from casemate.services.lambda_.idempotency.once import Once
from casemate.services.lambda_.idempotency.store import OnceStore
from casemate.services.lambda_.idempotent import Idempotency
from casemate.services.lambda_.ingest import Ingest
from casemate.services.lambda_.invoke import Invoking
from casemate.services.lambda_.layer_store import LayerStore
from casemate.services.lambda_.layers import Layers
from casemate.services.lambda_.names import refer
from casemate.services.lambda_.permissions import Permissions
from casemate.services.lambda_.plans import Plans
from casemate.services.lambda_.ports import (
    Chance,
    Events,
    NewId,
    Packages,
    Rights,
    Roles,
    Run,
    Runtimes,
)
from casemate.services.lambda_.recursion import Recursion
from casemate.services.lambda_.reservations import Reservation, Reservations
from casemate.services.lambda_.residues import Residues
from casemate.services.lambda_.settings import FunctionSettings
from casemate.services.lambda_.settle import Settler
from casemate.services.lambda_.store import Store
from casemate.services.lambda_.streaming import Streaming
from casemate.services.lambda_.tags import Tags
from casemate.services.lambda_.targets import Targets
from casemate.services.lambda_.usage import Usages
from casemate.services.lambda_.versions import Versions
from casemate.substrate.ports import Blobs, Records

NAME: Final = "lambda"
HOUSE: Final = "casemate"
"""The platform's own service, of which operations on functions are as well."""
INVOKE: Final = "lambda:InvokeFunction"

_RUNS_NOTHING: Final = ("Event", "DryRun")


@dataclass(frozen=True, slots=True, kw_only=True)
class LambdaService:
    """AWS Lambda."""

    name: str
    operations: tuple[Operation, ...]
    directory: Directory
    settler: Settler
    reservations: Reservations
    plans: Plans
    invoking: Invoking
    residues: Residues

    @classmethod
    def compose(
        cls,
        *,
        records: Records,
        blobs: Blobs,
        roles: Roles,
        runtimes: Runtimes,
        packages: Packages,
        run: Run,
        events: Events,
        rights: Rights,
        tokens: Tokens,
        clock: Clock,
        new_id: NewId,
        chance: Chance,
        secret: bytes,
        settings: FunctionSettings,
    ) -> Self:
        """
        Put the service together.  Nothing runs until `resume` or a call.

        secret: 32 bytes, under which idempotency keys are named.
        """
        store = Store(records, blobs)
        layers = LayerStore(records)
        directory = Directory(records, store, layers)
        settler = Settler(store, run)
        usages = Usages(records, store, settings)
        reservations = Reservations(records, store)
        configs = EventConfigs(records)
        targets = Targets(rights=rights)
        invoking = Invoking(
            directory=directory,
            settler=settler,
            run=run,
            settings=settings,
            clock=clock,
            chance=chance,
            ingest=Ingest(events=events),
            once=Once(OnceStore(records), clock, settings.once),
            namer=Namer(secret=secret),
        )
        nouns = (
            Functions(
                store=store,
                directory=directory,
                settler=settler,
                run=run,
                usages=usages,
                reservations=reservations,
                tokens=tokens,
                settings=settings,
            ),
            Deployment(
                store=store,
                directory=directory,
                settler=settler,
                composer=Composer(
                    settings=settings,
                    runtimes=runtimes,
                    roles=roles,
                    layers=layers.version,
                    targets=targets,
                ),
                packages=packages,
                usages=usages,
                clock=clock,
                new_id=new_id,
            ),
            invoking,
            Streaming(invoking=invoking),
            Versions(
                store=store,
                directory=directory,
                usages=usages,
                tokens=tokens,
                new_id=new_id,
            ),
            Aliases(
                store=store,
                directory=directory,
                tokens=tokens,
                settings=settings,
                new_id=new_id,
            ),
            Layers(
                layers=layers,
                store=store,
                settler=settler,
                packages=packages,
                runtimes=runtimes,
                usages=usages,
                tokens=tokens,
                settings=settings,
                clock=clock,
                new_id=new_id,
            ),
            Concurrency(
                store=store,
                directory=directory,
                reservations=reservations,
                settings=settings,
            ),
            Recursion(store=store, directory=directory),
            EventSettings(
                directory=directory,
                configs=configs,
                targets=targets,
                tokens=tokens,
                clock=clock,
            ),
            Tags(store=store, directory=directory),
            Permissions(
                store=store, directory=directory, settings=settings, new_id=new_id
            ),
        )
        return cls(
            name=NAME,
            operations=(
                *operations_of(NAME, *nouns),
                *operations_of(HOUSE, Idempotency(store=store, directory=directory)),
            ),
            directory=directory,
            settler=settler,
            reservations=reservations,
            plans=Plans(directory=directory, configs=configs),
            invoking=invoking,
            residues=Residues(store=store, run=run),
        )

    def share(
        self, parameters: Parameters, scope: Scope, caller: str = ""
    ) -> Reservation | None:
        """
        Tell the admit room which places the call of a function takes.

        None: those that the account's calls share.  A call that only says that
        it could be, or that is put off, runs nothing, and takes no share; nor does
        one whose answer is kept.  caller: the account that asked, if it is not
        that of the scope.
        """
        if parameters.get("InvocationType") in _RUNS_NOTHING:
            return None
        ref = refer(parameters, scope)
        share = self.reservations.share(ref)
        if share is None:
            return None
        if self.invoking.is_answered(ref, parameters, caller or scope.account):
            return None
        return share

    def resource_facts(self, arn: Arn) -> ResourceFacts | None:
        """Tell the authz room what is known of a function; None if it is not there."""
        return self.directory.resource_facts(arn)

    def resume(self) -> int:
        """Take up what an earlier run of the platform left; give the count."""
        return self.settler.resume()

    async def close(self) -> None:
        """Stop the work behind the answers; what is left is taken up at next start."""
        await self.settler.close()
