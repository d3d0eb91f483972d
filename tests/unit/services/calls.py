"""
Calls as the road would hand them to a service, for tests of services alone.

Nothing here is a mock: the stages are the real dataclasses, and the resource
is the one that the operation declares.  What the rooms would have checked, a
test of a service takes as given.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import ParamSpec

from casemate.core.call import (
    Admitted,
    Allowed,
    Arrival,
    Door,
    Inside,
    Known,
    Sound,
    Trace,
)
from casemate.core.errors import Refusal
from casemate.core.operation import Operation, Told
from casemate.core.principal import Kind, Principal

ACCOUNT = "111122223333"
OTHER_ACCOUNT = "444455556666"
REGION = "us-east-1"
NOW = 1_700_000_000.0
OF_EVERY_OPERATION = frozenset(
    {"ValidationException", "ValidationError", "ServiceFailure"}
)
"""Codes that no operation has to declare: a broken rule of the model, no disk."""


Args = ParamSpec("Args")


def law(test: Callable[Args, Awaitable[None]]) -> Callable[Args, None]:
    """Run an asynchronous test to its end."""

    @functools.wraps(test)
    def run(*args: Args.args, **kwargs: Args.kwargs) -> None:
        async def whole() -> None:
            await test(*args, **kwargs)

        asyncio.run(whole())

    return run


async def refused(call: Awaitable[object]) -> Refusal:
    """Wait for the refusal of a call that must not succeed."""
    try:
        await call
    except Refusal as refusal:
        return refusal
    raise AssertionError("the call was not refused")


def session_of(
    role: str = "builder",
    *,
    account: str = ACCOUNT,
    session: str = "alice",
    role_id: str = "AROAAAAAAAAAAAAAAAAAA",
) -> Principal:
    """Make the principal of a role's session."""
    return Principal(
        kind=Kind.SESSION,
        account=account,
        arn=f"arn:aws:sts::{account}:assumed-role/{role}/{session}",
        id=f"{role_id}:{session}",
        name=session,
        access_key_id="ASIAAAAAAAAAAAAAAAAA",
        role_arn=f"arn:aws:iam::{account}:role/{role}",
        session_name=session,
        issued_at=NOW,
        expires_at=NOW + 3600,
    )


def user_of(
    name: str = "alice",
    *,
    account: str = ACCOUNT,
    user_id: str = "AIDAAAAAAAAAAAAAAAAAA",
) -> Principal:
    """Make the principal of a user."""
    return Principal(
        kind=Kind.USER,
        account=account,
        arn=f"arn:aws:iam::{account}:user/{name}",
        id=user_id,
        name=name,
        access_key_id="AKIAAAAAAAAAAAAAAAAA",
    )


def admitted(
    operation: Operation,
    parameters: Mapping[str, object] | None = None,
    *,
    principal: Principal | None = None,
    region: str = REGION,
    at: float = NOW,
    resource: str | None = None,
    request_id: str = "11111111-2222-4333-8444-555555555555",
    door: Door = Door.HTTPS,
    hops: int = 0,
) -> Admitted:
    """
    Make a call that has come through all the rooms before dispatch.

    The resource is the operation's own, as `authz` would have found it, unless
    one is given.
    """
    who = principal or session_of()
    arrival = Arrival(
        id=request_id,
        at=at,
        started=at,
        trace=Trace(trace_id="0" * 31 + "1", span_id="0" * 15 + "1", hops=hops),
        door=door,
        peer="192.0.2.1",
        cell=None,
        operation=operation,
        claim=Inside(service=f"{operation.service}.test", account=who.account),
        parameters=dict(parameters or {}),
        region=region,
    )
    known = Known(arrival=arrival, principal=who)
    named = (
        resource
        if resource is not None
        else str(operation.resource(arrival.parameters, known.scope))
    )
    allowed = Allowed(known=known, resource=named, because=("test#all",))
    return Admitted(sound=Sound(allowed=allowed))


def must_declare(operation: Operation, code: str) -> None:
    """Hold a refusal to what its operation says that it may answer."""
    declared = {*operation.errors, *OF_EVERY_OPERATION}
    assert code in declared, f"{operation.name} does not declare {code}"


class Answer(dict[str, object]):
    """Output members, with what was said beside them."""

    def __init__(self, told: Told) -> None:
        super().__init__(told.result)
        self.notes = told.notes
        self.headers = told.headers


@dataclass(frozen=True, slots=True)
class Caller:
    """
    Somebody who calls operations by name: `await caller("GetRole", RoleName="x")`.

    A member that the operation does not accept fails the test at once: on the
    road, `validate` would have refused it.  So does a refusal under a code that
    the operation does not declare: clients are told what they can meet.
    """

    operations: Mapping[str, Operation]
    principal: Principal = field(default_factory=session_of)
    region: str = REGION
    at: float = NOW
    hops: int = 0
    door: Door = Door.HTTPS

    @classmethod
    def of(
        cls, operations: Iterable[Operation], principal: Principal | None = None
    ) -> Caller:
        """Make a caller of a service's operations."""
        return cls(
            operations={o.name: o for o in operations},
            principal=principal or session_of(),
        )

    def by(self, principal: Principal) -> Caller:
        """Make the same calls as somebody else."""
        return replace(self, principal=principal)

    def hopping(self, hops: int, door: Door = Door.CELL) -> Caller:
        """Make the same calls so many hops from the first."""
        return replace(self, hops=hops, door=door)

    async def __call__(
        self, name: str, /, **parameters: object
    ) -> Mapping[str, object]:
        operation = self.operations[name]
        taken = (*operation.accepts, *operation.only)
        roots = {path.partition(".")[0] for path in taken}
        stray = parameters.keys() - roots
        assert set() == stray, f"{name} does not accept {stray}"
        call = admitted(
            operation,
            parameters,
            principal=self.principal,
            region=self.region,
            at=self.at,
            door=self.door,
            hops=self.hops,
        )
        try:
            told = await operation.method(call)
            return Answer(told) if isinstance(told, Told) else told
        except Refusal as refusal:
            must_declare(operation, refusal.code)
            raise
