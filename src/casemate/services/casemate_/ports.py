"""
What the platform's own operations need of their neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol


class Tokens(Protocol):
    """Seals positions.  `open` raises TokenError for what it did not seal."""

    def seal(
        self, account: str, operation: str, query: bytes, position: bytes, /
    ) -> str: ...

    def open(
        self, account: str, operation: str, query: bytes, token: str, /
    ) -> bytes: ...


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


class Finding(Protocol):
    """One fault of the audit chain."""

    @property
    def fault(self) -> str: ...
    @property
    def first(self) -> int: ...
    @property
    def last(self) -> int: ...
    @property
    def says(self) -> str: ...


class Verdict(Protocol):
    """What verifying the audit chain has found."""

    @property
    def sound(self) -> bool: ...
    @property
    def count(self) -> int: ...
    @property
    def head(self) -> bytes: ...
    @property
    def checkpointed(self) -> int: ...
    @property
    def witnessed(self) -> int: ...
    @property
    def findings(self) -> Sequence[Finding]: ...
    @property
    def more(self) -> int: ...


class Audit(Protocol):
    """Verifies the audit chain."""

    async def verify(self) -> Verdict: ...


class Platform(Protocol):
    """
    Says what is running.

    `status` gives GetStatus's members as the service's model has them;
    `runtimes` the names of the runtimes that functions can have.
    """

    async def status(self) -> Mapping[str, object]: ...
    def runtimes(self) -> Sequence[str]: ...
