"""
The ports: what every store must do, whatever it is made of.

All keys and names may come from tenants.  A driver never joins them into a
path or a statement; account, table and key are separate columns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, final

SHARED = ""
"""The account of what belongs to no tenant."""


class SubstrateError(Exception):
    """A store cannot do what it was asked."""


class RevisionConflictError(SubstrateError):
    """A record was not in the revision that the change expected."""


class FullError(SubstrateError):
    """The disk, or the space set aside, is full; nothing was written."""


class DamagedError(SubstrateError):
    """Stored bytes do not match their seal or digest."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A document as stored.  revision counts from 1; expires_at is epoch seconds."""

    account: str
    table: str
    key: str
    value: bytes
    revision: int
    expires_at: float | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """
    Write a record.

    expected: the revision it must have; 0 means that it must not exist; None
    means whatever it is.
    """

    account: str
    table: str
    key: str
    value: bytes
    expected: int | None = None
    expires_at: float | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Delete:
    """
    Remove a record; `expected` as for Put, never 0.

    Removing nothing is no error.
    """

    account: str
    table: str
    key: str
    expected: int | None = None


Change = Put | Delete


class Records(Protocol):
    """Documents with revisions."""

    def get(self, account: str, table: str, key: str) -> Record | None:
        """Read one record, as of the last commit that was acknowledged."""
        ...

    def scan(
        self,
        account: str,
        table: str,
        *,
        prefix: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> Sequence[Record]:
        """Read records by prefix, past the key `after`, in the order of keys."""
        ...

    async def commit(self, *changes: Change) -> Sequence[int]:
        """
        Apply all changes or none, and return once they are durable.

        Gives the new revision of each (0 for a deletion).  Raises
        RevisionConflictError, FullError.
        """
        ...

    def watch(self, table: str, changed: Callable[[str, str], None]) -> None:
        """Call `changed(account, key)` after each commit that touches the table."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    One entry of a log.

    position: from 1, without gaps, in the order of appending.  at: epoch
    milliseconds, given by the writer.  kind: a short word of the writer's.
    """

    position: int
    at: int
    kind: str
    data: bytes


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """An entry to append."""

    at: int
    kind: str
    data: bytes


class Log(Protocol):
    """Ordered entries in named streams of an account."""

    async def append(
        self, account: str, stream: str, entries: Sequence[NewEntry]
    ) -> int:
        """Append in order, durably; give the last position.  Raises FullError."""
        ...

    def append_soon(
        self, account: str, stream: str, entries: Sequence[NewEntry]
    ) -> None:
        """
        Append with the next group commit (within 10 ms), without waiting.

        Entries are dropped, and counted, when the backlog is past its bound.
        """
        ...

    def read(
        self, account: str, stream: str, *, after: int = 0, limit: int = 1000
    ) -> Sequence[Entry]:
        """Read entries past a position, oldest first."""
        ...

    def read_back(
        self, account: str, stream: str, *, before: int | None = None, limit: int = 1000
    ) -> Sequence[Entry]:
        """Read entries before a position (None: the end), newest first."""
        ...

    def streams(
        self, account: str, *, prefix: str = "", after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """Name the streams of an account that have entries, in order."""
        ...

    async def trim(self, account: str, stream: str, *, before: int) -> int:
        """Delete the entries older than an epoch millisecond; give their count."""
        ...

    async def drop(self, account: str, stream: str) -> None:
        """Delete a stream."""
        ...


class Blobs(Protocol):
    """Bytes by their SHA-256, encrypted at rest, checked at every read."""

    async def put(self, account: str, data: bytes) -> str:
        """Store durably; give the lower-case hex digest.  Raises FullError."""
        ...

    async def get(self, account: str, digest: str) -> bytes:
        """Read.  Raises KeyError, DamagedError."""
        ...

    async def delete(self, account: str, digest: str) -> None:
        """Remove; removing nothing is no error."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A claimed message: `lease` proves the claim and is good until `until`."""

    id: str
    lease: str
    body: bytes
    attributes: Mapping[str, str]
    receive_count: int
    sent_at: float
    until: float


class Queue(Protocol):
    """Messages that are claimed, worked on, and acknowledged."""

    async def send(
        self,
        account: str,
        queue: str,
        body: bytes,
        *,
        attributes: Mapping[str, str] | None = None,
        delay: float = 0.0,
    ) -> str:
        """Enqueue durably; give the message's id.  delay: seconds."""
        ...

    async def claim(
        self, account: str, queue: str, *, limit: int = 1, lease: float = 30.0
    ) -> Sequence[Message]:
        """Claim up to `limit` visible messages for `lease` seconds."""
        ...

    async def extend(
        self, account: str, queue: str, lease: str, seconds: float
    ) -> bool:
        """Set the claim to end `seconds` from now; False if it is no longer held."""
        ...

    async def acknowledge(self, account: str, queue: str, lease: str) -> bool:
        """Remove a claimed message; False if the claim is no longer held."""
        ...

    def depth(self, account: str, queue: str) -> tuple[int, int, int]:
        """Count visible, claimed and delayed messages."""
        ...


class Counters(Protocol):
    """Numbers that only this node adds to; durable with the next group commit."""

    def add(self, account: str, name: str, amount: int = 1) -> int: ...
    def read(self, account: str, name: str) -> int: ...


class Signals(Protocol):
    """Publish and subscribe between nodes; on one machine, within the process."""

    def publish(self, subject: tuple[str, ...], data: bytes) -> None: ...
    def subscribe(
        self, subject: tuple[str, ...], heard: Callable[[tuple[str, ...], bytes], None]
    ) -> Callable[[], None]: ...
