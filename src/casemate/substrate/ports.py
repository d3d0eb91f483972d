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


class TooLargeError(SubstrateError):
    """A name or a value is longer than the store takes."""


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
    """
    A claimed message: `lease` proves the claim and is good until `until`.

    sent_at, first_at, until: epoch seconds; first_at is when it was claimed for
    the first time, in whatever queue.
    """

    id: str
    lease: str
    body: bytes
    attributes: Mapping[str, str]
    receive_count: int
    sent_at: float
    first_at: float
    until: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters:
    """
    Where messages go that nobody could finish.

    queue: of the same account.  receives: claims in the queue they are in after
    which they go there instead of being claimed again.  attributes: added to
    the message's own.
    """

    queue: str
    receives: int
    attributes: Mapping[str, str]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """
    What a queue asks of its claims.

    keep: seconds from a message's sending after which it is gone.  in_flight:
    messages that may be claimed at once.
    """

    keep: float | None = None
    in_flight: int | None = None
    dead: DeadLetters | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """
    What is known of the latest claim of a message, ended or not.

    since: seconds that have passed since the claim.  remains: seconds until it
    ends; 0 or less once it has.
    """

    since: float
    remains: float


class QueueFullError(FullError):
    """A queue, or an account's queues together, hold as much as they may."""


class InFlightError(SubstrateError):
    """As many messages of the queue are claimed as may be."""


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
        """
        Enqueue durably; give the message's id, 32 hex digits.  delay: seconds.

        Raises FullError, QueueFullError.
        """
        ...

    async def claim(
        self,
        account: str,
        queue: str,
        *,
        limit: int = 1,
        lease: float = 30.0,
        rules: ClaimRules | None = None,
    ) -> Sequence[Message]:
        """
        Claim up to `limit` visible messages for `lease` seconds.

        Under rules it may give none although some were visible: they have had
        their time, or went to the dead letters; `due_in` says whether to ask
        again.  Raises InFlightError.
        """
        ...

    def due_in(self, account: str, queue: str) -> float | None:
        """
        Give the seconds until a message becomes visible, or None for no message.

        0 or less: one is visible now.
        """
        ...

    def held(self, account: str, queue: str, lease: str) -> Held | None:
        """Tell of a claim; None once its message is gone or claimed again."""
        ...

    async def extend(
        self, account: str, queue: str, lease: str, seconds: float
    ) -> bool:
        """Set the claim to end `seconds` from now; False if it is no longer held."""
        ...

    async def acknowledge(
        self, account: str, queue: str, lease: str, *, late: bool = False
    ) -> bool:
        """
        Remove a claimed message; False if the claim is no longer held.

        late: also after the claim has ended, if nobody has claimed it since.
        """
        ...

    async def put_back(
        self, account: str, queue: str, lease: str, body: bytes, *, delay: float
    ) -> bool:
        """
        Give a claimed message back with another body, visible in `delay` seconds.

        False, and nothing done, if the claim is no longer held.  Raises FullError.
        """
        ...

    async def hasten(self, account: str, queue: str, within: float) -> int:
        """
        Make every message visible within so many seconds; give their count.

        For a clock that was set back: what was put off by it would be late.
        """
        ...

    def names(self, account: str, *, prefix: str = "") -> Sequence[str]:
        """Name the queues of an account that have messages, in order."""
        ...

    async def forget(self, account: str, queue: str, *, older: float) -> int:
        """
        Remove what was sent `older` seconds ago or before, claimed or not.

        Gives the count.  0 removes all that is there when it is called.
        """
        ...

    def depth(self, account: str, queue: str) -> tuple[int, int, int]:
        """Count visible, claimed and delayed messages.  Any thread may ask."""
        ...

    def watch(self, changed: Callable[[str, str], None]) -> None:
        """
        Call `changed(account, queue)` after each commit by which a message may
        become visible sooner: sent, moved, or its claim's end set anew.
        """
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
