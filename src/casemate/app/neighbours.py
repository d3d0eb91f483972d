"""
Ports that one room declares and another's neighbour fills.

Small joints, each a few lines: they translate names, and decide nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from casemate.app.resources import Resources
from casemate.app.witness import Witness
from casemate.core.arn import Arn
from casemate.core.call import Sound, asker
from casemate.core.clock import Clock
from casemate.core.errors import Unavailable
from casemate.core.function import (
    FunctionVersion,
    Invocation,
    InvocationResult,
    Split,
)
from casemate.core.principal import Kind, Principal
from casemate.core.session import SessionClaims
from casemate.policy import iam
from casemate.road.authn.room import RefusedKeyError
from casemate.road.record.ledger import UnsignedError
from casemate.road.record.metrics import Metrics
from casemate.road.sandbox.invoke import Sandbox
from casemate.road.sandbox.trees import Unpacked
from casemate.seal.keyholder import (
    Keyholder,
    KeyholderError,
    KeyholderRefusedError,
    SessionCredentials,
    SigningKey,
)
from casemate.services.casemate_.accounts import Accounts
from casemate.services.iam.directory import Directory, Role
from casemate.services.lambda_.reservations import Reservation
from casemate.services.lambda_.service import INVOKE, LambdaService
from casemate.substrate.ports import Blobs, SubstrateError

CELL_SESSION: Final = 4 * 3600
"""Seconds that a cell's credentials last: its life, and one invocation more."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeys:
    """Signing keys for `authn`, from the keyholder."""

    keyholder: Keyholder

    async def signing_key(
        self,
        access_key_id: str,
        token: str | None,
        date: str,
        region: str,
        service: str,
    ) -> SigningKey:
        """Derive a day's key.  Raises RefusedKeyError."""
        try:
            return await self.keyholder.signing_key(
                access_key_id, token, date, region, service
            )
        except KeyholderRefusedError as error:
            raise RefusedKeyError(error.code, error.reason) from error
        except KeyholderError as error:
            raise RefusedKeyError("Gone", str(error)) from error


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NewKeys:
    """New access keys and sessions, from the keyholder."""

    keyholder: Keyholder

    async def access_key_new(self) -> tuple[str, str]:
        """Give a new key's id and its secret."""
        try:
            made = await self.keyholder.access_key_new()
        except KeyholderError as error:
            raise _unavailable(error) from error
        return made.access_key_id, made.secret

    async def session_new(
        self, claims: Mapping[str, object], seconds: int
    ) -> SessionCredentials:
        """Make a session."""
        try:
            return await self.keyholder.session_new(claims, seconds)
        except KeyholderError as error:
            raise _unavailable(error) from error


def _unavailable(error: KeyholderError) -> Unavailable:
    return Unavailable(
        "the keyholder does not answer, so nothing can be issued; try again",
        evidence={"cause": str(error)},
    )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CellCredentials:
    """A role's credentials, good in one cell."""

    keys: NewKeys
    clock: Clock

    async def __call__(self, function: FunctionVersion, cell: str) -> Mapping[str, str]:
        """Give the environment variables of a session of the function's role."""
        claims = SessionClaims(
            account=function.account,
            role_arn=function.role_arn,
            role_id=function.role_id,
            session_name=function.name,
            issued_at=self.clock.now(),
            cell=cell,
        )
        made = await self.keys.session_new(claims.to_json(), CELL_SESSION)
        return {
            "AWS_ACCESS_KEY_ID": made.access_key_id,
            "AWS_SECRET_ACCESS_KEY": made.secret,
            "AWS_SESSION_TOKEN": made.token,
        }


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedRoles:
    """Roles that a service may assume."""

    directory: Directory

    def trusts(self, role_arn: str, service: str) -> Role | None:
        """Give the role if it exists and its trust lets the service assume it."""
        role = self.directory.role(role_arn)
        if role is None or role.trust is None:
            return None
        decision = iam.decide(
            iam.Ask(
                principal=iam.PrincipalView(
                    arn="",
                    account=role.account,
                    kind=Kind.SERVICE,
                    id=service,
                    service=service,
                ),
                action="sts:AssumeRole",
                resource=role_arn,
                context={"aws:SourceAccount": role.account},
            ),
            identity=(),
            resource_account=role.account,
            resource_policies=(role.trust,),
            policy_required=True,
        )
        return role if decision.allowed else None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRights:
    """What roles may, for services that ask before a role is used."""

    directory: Directory
    resources: Resources

    def may(self, role_arn: str, action: str, resource: str) -> bool:
        """Tell whether a session of a role may do something now."""
        role, arn = self.directory.role(role_arn), Arn.parse(resource)
        if role is None:
            return False
        session = SessionClaims(
            account=role.account,
            role_arn=role.arn,
            role_id=role.id,
            session_name="lambda",
            issued_at=0.0,
        )
        principal = Principal(
            kind=Kind.SESSION,
            account=role.account,
            arn=session.arn,
            id=session.id,
            name=role.name,
            role_arn=role.arn,
            session_name=session.session_name,
        )
        identity = self.directory.identity(principal)
        facts = self.resources.facts(arn, action)
        view = iam.PrincipalView.of(principal)
        tags = {f"aws:PrincipalTag/{key}": tag for key, tag in identity.tags.items()}
        return iam.decide(
            iam.Ask(
                principal=view,
                action=action,
                resource=resource,
                context={**tags, **iam.principal_context(view)},
            ),
            identity=identity.policies,
            boundary=identity.boundary,
            resource_account=arn.account,
            resource_policies=facts.policies if facts else (),
            policy_required=facts.required if facts else False,
        ).allowed


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """The sandbox, as the Lambda service knows it."""

    sandbox: Sandbox

    async def check(
        self, account: str, runtime: str, package: bytes, sha256: str
    ) -> Unpacked:
        """Unpack a zip in a workshop cell.  Raises Invalid with the reason."""
        return await self.sandbox.check(account, package, sha256, runtime)

    async def run(self, invocation: Invocation) -> InvocationResult:
        """Run one event."""
        return await self.sandbox.run(invocation)

    async def retire(
        self, arn: str, *, version: str | None = None, keep: str | None = None
    ) -> None:
        """Stop using a function's cells, but those of the revision to keep."""
        self.sandbox.retire(arn, version=version, keep=keep)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStarts:
    """Cold starts, as the metrics count them."""

    metrics: Metrics

    def __call__(self, split: Split) -> None:
        """Count each stage of one."""
        for name, milliseconds in split.stages():
            self.metrics.stage(name, milliseconds / 1000)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionShares:
    """What functions have reserved, as admission knows it."""

    functions: LambdaService

    def share(self, sound: Sound) -> Reservation | None:
        """Give the share of the function that a call runs, if it runs one."""
        arrival = sound.allowed.known.arrival
        if arrival.operation.action != INVOKE:
            return None
        known = sound.allowed.known
        return self.functions.share(arrival.parameters, known.scope, asker(known))

    def places(self, account: str) -> int:
        """Count the places that an account has set aside."""
        return self.functions.reservations.places(account)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCode:
    """Packages for the sandbox, checked against their digest by the store."""

    blobs: Blobs

    async def __call__(self, account: str, sha256: str) -> bytes:
        """Read a package.  Raises Unavailable."""
        try:
            return await self.blobs.get(account, sha256)
        except (KeyError, SubstrateError) as error:
            raise Unavailable(
                "the function's package cannot be read; deploy it again",
                evidence={"cause": repr(error)},
            ) from error


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoints:
    """Signs the audit chain's checkpoints, and has them witnessed."""

    keyholder: Keyholder
    witness: Witness | None = None

    async def sign(self, count: int, link: bytes, at: float) -> tuple[bytes, bytes]:
        """Give the statement and its signature."""
        try:
            signed = await self.keyholder.checkpoint(count, link.hex(), at)
        except KeyholderRefusedError as error:
            disowned = error.code in ("RolledBack", "Forked")
            raise UnsignedError(str(error), disowned=disowned) from error
        except KeyholderError as error:
            raise UnsignedError(str(error)) from error
        if self.witness is not None:
            self.witness.hand(count, signed.statement, signed.signature)
        return signed.statement, signed.signature


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AccountIds:
    """The accounts' ids, for those who look after every account."""

    accounts: Accounts

    def all(self) -> list[str]:
        """List them."""
        found: list[str] = []
        while page := self.accounts.page(after=found[-1] if found else "", limit=1000):
            found += [account.id for account in page]
        return found
