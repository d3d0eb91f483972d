"""
A call, as it grows on the road.

Every room takes the type that the room before it returns, and adds one fact.
A function that needs an `Admitted` cannot be given anything less; mypy is the
guard, and a test refuses a room that makes another's stage.

    Arrival -> Known -> Allowed -> Sound -> Admitted -> Outcome
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Protocol, final

from casemate.core.operation import Operation, Parameters, Scope
from casemate.core.principal import Kind, Principal


class Door(StrEnum):
    """Where a call came in."""

    HTTPS = "https"
    CELL = "cell"
    OPERATOR = "operator"
    SERVICE = "service"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """
    The lineage of a call.

    trace_id: 32 hex digits; span_id and parent_id: 16 (W3C trace context).
    hops counts the platform's own hops since the first door.
    """

    trace_id: str
    span_id: str
    parent_id: str = ""
    sampled: bool = True
    hops: int = 0

    def amazon(self) -> str:
        """Write AWS's form: `Root=1-8hex-24hex;Parent=16hex;Sampled=1`."""
        root = f"1-{self.trace_id[:8]}-{self.trace_id[8:]}"
        return f"Root={root};Parent={self.span_id};Sampled={int(self.sampled)}"

    def w3c(self) -> str:
        """Write the W3C form: `00-trace-span-flags`."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """
    An HTTP request, whole and in bounds, nothing in it believed.

    path and query: as they came on the wire, undecoded, the query without `?`.
    headers: in their order, names in lower case, values stripped, both as the
    latin-1 text they were.  body: de-chunked; still `aws-chunked` if it was.
    peer: the address it came from, without the port.  cell: the id of the cell
    on whose descriptor it was accepted; None from outside.
    """

    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    peer: str
    cell: str | None = None

    def header(self, name: str) -> str | None:
        """Give the first value of a header (name in lower case), or None."""
        for key, value in self.headers:
            if key == name:
                return value
        return None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Acting:
    """
    A session of a role that a service made for itself.

    role_id: the role's unique id; one that was re-created has another.
    issued_at: epoch seconds.
    """

    role_arn: str
    role_id: str
    session_name: str
    issued_at: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """
    Who asked for what is done later, and how that call came.

    peer: its address, empty for a call from a cell or from inside.
    source_arn, source_account: of a call by a service.
    """

    principal: Principal
    peer: str = ""
    user_agent: str = ""
    referer: str = ""
    source_arn: str = ""
    source_account: str = ""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """
    A call that the platform makes itself, as a service, for an account.

    acting: the role as which the service acts, if it acts as one.  sender: on
    whose behalf it calls, who then must have the right as well.
    """

    service: str
    account: str
    source_arn: str = ""
    acting: Acting | None = None
    sender: Sender | None = None


Event = tuple[str, Mapping[str, object]]
"""One event of an answer that is a stream of them: its name and its members."""


class Events(Protocol):
    """A bounded stream of events; whoever is given one closes it."""

    async def __anext__(self) -> Event:
        """Give the next; raise StopAsyncIteration after the last."""
        ...

    async def aclose(self) -> None:
        """Read no more; closing twice is no error."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """
    The head of an answer whose events follow while the call runs.

    The call is on the road until its last event is read: its place is held and
    its record open, and its outcome comes after.
    """

    result: Mapping[str, object]
    events: Events


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """
    What came in, parsed but not believed.

    at: seconds since the epoch; started: monotonic seconds.
    claim: what authn has to prove, a signed request or an inside caller.
    begin: takes the head of an answer that begins before the call has ended; None
    where the operation has no such answer.
    """

    id: str
    at: float
    started: float
    trace: Trace
    door: Door
    peer: str
    cell: str | None
    operation: Operation
    claim: Request | Inside
    parameters: Parameters
    region: str
    begin: Callable[[Beginning], None] | None = None


def asker(known: Known) -> str:
    """Give the account that asked: of what is done later, that of who sent it."""
    claim = known.arrival.claim
    if isinstance(claim, Inside) and claim.sender is not None:
        return claim.sender.principal.account
    return known.principal.account


def sender_of(known: Known) -> Sender:
    """Keep what a later decision on the same right needs."""
    claim, principal = known.arrival.claim, known.principal
    if isinstance(claim, Request):
        return Sender(
            principal=principal,
            peer="" if claim.cell else claim.peer,
            user_agent=claim.header("user-agent") or "",
            referer=claim.header("referer") or "",
        )
    if claim.acting is not None:
        return Sender(principal=principal)
    return Sender(
        principal=principal, source_arn=claim.source_arn, source_account=claim.account
    )


@lru_cache(maxsize=1024)
def _scope(account: str, region: str, user: str) -> Scope:
    """Give the scope of a caller; one call asks for it several times."""
    return Scope(account=account, region=region, user=user)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """An arrival whose sender is proven.  Only `authn` makes one."""

    arrival: Arrival
    principal: Principal

    @property
    def scope(self) -> Scope:
        """Where the call is made: the caller's account, the request's region."""
        who = self.principal
        user = who.name if who.kind is Kind.USER else ""
        return _scope(who.account, self.arrival.region, user)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """
    A known call that policy permits.  Only `authz` makes one.

    because: the statements that decided, for the record
    (`policy-name#statement-id`).
    """

    known: Known
    resource: str
    because: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Sound:
    """An allowed call that keeps its schema.  Only `validate` makes one."""

    allowed: Allowed


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A sound call that holds its place.  Only `admit` makes one."""

    sound: Sound

    @property
    def known(self) -> Known:
        return self.sound.allowed.known

    @property
    def arrival(self) -> Arrival:
        return self.sound.allowed.known.arrival

    @property
    def principal(self) -> Principal:
        return self.sound.allowed.known.principal

    @property
    def parameters(self) -> Parameters:
        return self.sound.allowed.known.arrival.parameters

    @property
    def scope(self) -> Scope:
        return self.sound.allowed.known.scope


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What the caller is told: the operation's output members.

    notes: what the record says besides.  headers: of the HTTP answer, beside
    those of the service's model.
    """

    result: Mapping[str, object]
    notes: Mapping[str, object] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()
