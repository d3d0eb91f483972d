"""
What the platform's own operations need of their neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from casemate.core.arn import Arn
from casemate.core.function import Residue
from casemate.seal.checkpoint import Checkpoint
from casemate.seal.verdict import Verdict


class KeyRing(Protocol):
    """Holds the key under which an account's data is sealed."""

    async def add(self, account: str, /) -> None:
        """Make the account's key, durably, if it has none."""
        ...


class Role(Protocol):
    """A role that a session can be made of."""

    @property
    def arn(self) -> str: ...
    @property
    def id(self) -> str: ...


class Administrators(Protocol):
    """Knows the role by which the operator enters an account."""

    async def ensure_administrator(self, account: str, /, *, now: float) -> Role: ...


class Credentials(Protocol):
    """A session's credentials.  expires_at: seconds since the epoch."""

    @property
    def access_key_id(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def expires_at(self) -> float: ...


class Sessions(Protocol):
    """Seals claims into credentials: the keyholder."""

    async def session_new(
        self, claims: Mapping[str, object], seconds: int, /
    ) -> Credentials: ...


class Story(Protocol):
    """
    What the record knows of one request.

    record: in CloudTrail's event shape.  position: in the audit chain; None
    while it waits to be written.  log_lines: of the function, if one ran.
    """

    @property
    def record(self) -> Mapping[str, object]: ...
    @property
    def position(self) -> int | None: ...
    @property
    def log_lines(self) -> Sequence[str]: ...


class Stories(Protocol):
    """Finds stories of an account's own requests; None for any other."""

    async def story(self, account: str, request_id: str, /) -> Story | None: ...


class Audit(Protocol):
    """Verifies the audit chain."""

    async def verify(self, witness: Sequence[Checkpoint], /) -> Verdict: ...


class QuarantinedEvent(Protocol):
    """
    An event that had nowhere to go.

    target: its function's ARN, with a qualifier.  at: epoch seconds since when
    it is there.  condition: AWS's word for why it ended, or empty.
    """

    @property
    def id(self) -> str: ...
    @property
    def target(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def reason(self) -> str: ...
    @property
    def condition(self) -> str: ...
    @property
    def runs(self) -> int: ...
    @property
    def payload_bytes(self) -> int: ...


class Quarantine(Protocol):
    """The events of all accounts that had nowhere to go."""

    def page(
        self, account: str, /, *, after: str, limit: int
    ) -> Sequence[QuarantinedEvent]:
        """List an account's, the oldest first, past an id."""
        ...

    def find(self, account: str, identifier: str, /) -> QuarantinedEvent | None: ...

    def payload(self, account: str, identifier: str, /) -> bytes:
        """Give the event itself; empty if it is gone."""
        ...

    async def redrive(self, account: str, identifier: str, hops: int, /) -> bool:
        """Begin one again, `hops` from the first call; False if it is not there."""
        ...

    async def dispose(self, account: str, identifier: str, /) -> bool:
        """Forget one, durably; False if it is not there."""
        ...


class Residues(Protocol):
    """
    The residue policies of functions, by unqualified ARN.

    Each raises NotFound; what changes one also Conflict and Unavailable.
    """

    def get(self, arn: Arn, /) -> Residue: ...
    async def put(self, arn: Arn, residue: Residue, /) -> None: ...
    async def delete(self, arn: Arn, /) -> None: ...


class Platform(Protocol):
    """
    Says what is running.

    `status` gives GetStatus's members as the service's model has them;
    `runtimes` the names of the runtimes that functions can have.
    """

    async def status(self) -> Mapping[str, object]: ...
    def runtimes(self) -> Sequence[str]: ...
