"""
What the platform's own operations need of their neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

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


class Platform(Protocol):
    """
    Says what is running.

    `status` gives GetStatus's members as the service's model has them;
    `runtimes` the names of the runtimes that functions can have.
    """

    async def status(self) -> Mapping[str, object]: ...
    def runtimes(self) -> Sequence[str]: ...
