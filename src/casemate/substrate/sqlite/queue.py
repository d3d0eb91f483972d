"""
Messages that are claimed under a lease, worked on, and acknowledged.

A lease is 128 random bits; the file keeps its hash.  It is good for one message
of one queue of one account, until it ends or the message is claimed again.
Delivery is at least once: a lease that ends gives the message to the next.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import final

import apsw

from casemate.substrate.ports import DamagedError, FullError, Message
from casemate.substrate.sqlite.limits import Limits, TooLargeError
from casemate.substrate.sqlite.readers import Readers, Row, Value
from casemate.substrate.sqlite.vault import Vault
from casemate.substrate.sqlite.writer import Job, Writer

_SEND = "INSERT INTO messages VALUES (NULL, ?, ?, ?, ?, ?, 0, NULL, ?)"
_COUNT = "SELECT count(*) FROM messages WHERE account = ? AND queue = ?"
_DUE = """
SELECT id, name, sent_at, received, body FROM messages
WHERE account = ? AND queue = ? AND visible_at <= ?
ORDER BY visible_at, id LIMIT ?
"""
_CLAIM = """
UPDATE messages SET lease = ?, visible_at = ?, received = received + 1 WHERE id = ?
"""
_EXTEND = """
UPDATE messages SET visible_at = ?
WHERE lease = ? AND account = ? AND queue = ? AND visible_at > ?
"""
_ACKNOWLEDGE = """
DELETE FROM messages
WHERE lease = ? AND account = ? AND queue = ? AND visible_at > ?
"""
_DEPTH = """
SELECT count(*) FILTER (WHERE visible_at <= ?1),
       count(*) FILTER (WHERE visible_at > ?1 AND lease IS NOT NULL),
       count(*) FILTER (WHERE visible_at > ?1 AND lease IS NULL)
FROM messages WHERE account = ?2 AND queue = ?3
"""
_HEAD = struct.Struct(">I")
_LEASE_BYTES = 16


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A message due, opened, and the lease that it gets."""

    number: int
    lease: str
    message: Message | None


@final
class SqliteQueue:
    """The `Queue` of one file; a `writer.Memory` too."""

    def __init__(
        self,
        *,
        writer: Writer,
        readers: Readers,
        vault: Vault,
        limits: Limits,
        now: Callable[[], float],
        randomness: Callable[[int], bytes],
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._vault = vault
        self._limits = limits
        self._now = now
        self._randomness = randomness
        self._counts: dict[tuple[str, str], int] = {}
        self.damaged = 0

    async def send(
        self,
        account: str,
        queue: str,
        body: bytes,
        *,
        attributes: Mapping[str, str] | None = None,
        delay: float = 0.0,
    ) -> str:
        """Enqueue durably.  Raises FullError, TooLargeError, NoKeyError."""
        self._limits.check_names(account, queue)
        self._vault.check(account)
        name = self._randomness(_LEASE_BYTES).hex()
        now = self._now()
        content = _joined(attributes or {}, body)
        if len(content) > self._limits.entry_bytes:
            most = self._limits.entry_bytes
            raise TooLargeError(f"a message has at most {most} bytes")
        due = now + max(delay, 0.0)

        def apply(connection: apsw.Connection) -> None:
            place = ("message", queue, name, repr(now))
            sealed = self._vault.seal(account, content, *place)
            self._count(connection, (account, queue))
            connection.execute(_SEND, (account, queue, name, now, due, sealed))
            self._counts[account, queue] += 1

        await self._writer.run(Job(apply=apply))
        return name

    async def claim(
        self, account: str, queue: str, *, limit: int = 1, lease: float = 30.0
    ) -> Sequence[Message]:
        """
        Claim the messages that are due, the longest due first.

        A message whose seal is broken is put off by the lease like any other,
        but not given; `damaged` counts those.
        """
        now = self._now()
        until = now + lease

        def apply(connection: apsw.Connection) -> list[_Row]:
            due = connection.execute(_DUE, (account, queue, now, limit)).fetchall()
            rows = [self._claimed(account, queue, until, row) for row in due]
            leases = [(_kept(row.lease), until, row.number) for row in rows]
            if leases:
                connection.executemany(_CLAIM, leases)
            return rows

        rows: list[_Row] = await self._writer.run(Job(apply=apply, grows=False))
        given = [row.message for row in rows if row.message is not None]
        self.damaged += len(rows) - len(given)
        return given

    async def extend(
        self, account: str, queue: str, lease: str, seconds: float
    ) -> bool:
        """Set the claim's end; 0 gives the message back at once."""
        now = self._now()
        values = (now + seconds, _kept(lease), account, queue, now)
        return await self._changed(_EXTEND, values) > 0

    async def acknowledge(self, account: str, queue: str, lease: str) -> bool:
        """Remove a message that is claimed under this lease."""
        values = (_kept(lease), account, queue, self._now())
        return await self._changed(_ACKNOWLEDGE, values, (account, queue)) > 0

    def depth(self, account: str, queue: str) -> tuple[int, int, int]:
        """Count visible, claimed and delayed messages."""
        rows = self._readers.rows(_DEPTH, (self._now(), account, queue))
        visible, claimed, delayed = (int(str(value)) for value in rows[0])
        return visible, claimed, delayed

    def before_commit(self, connection: apsw.Connection) -> None:
        """Write nothing: the messages are all there is."""

    def rolled_back(self) -> None:
        """Forget the counts."""
        self._counts.clear()

    async def _changed(
        self,
        sql: str,
        values: tuple[Value, ...],
        fewer: tuple[str, str] | None = None,
    ) -> int:
        def apply(connection: apsw.Connection) -> int:
            connection.execute(sql, values)
            changes = connection.changes()
            if fewer in self._counts:
                self._counts[fewer] -= changes
            return changes

        count: int = await self._writer.run(Job(apply=apply, grows=False))
        return count

    def _count(self, connection: apsw.Connection, name: tuple[str, str]) -> None:
        if name not in self._counts:
            rows = connection.execute(_COUNT, name).fetchall()
            self._counts[name] = int(str(rows[0][0]))
        if self._counts[name] >= self._limits.messages:
            raise FullError(f"a queue has at most {self._limits.messages} messages")

    def _claimed(self, account: str, queue: str, until: float, row: Row) -> _Row:
        number, name, sent_at, received, sealed = row
        assert isinstance(sent_at, float)  # noqa: S101 — STRICT tables hold these types
        assert isinstance(sealed, bytes)  # noqa: S101
        lease = self._randomness(_LEASE_BYTES).hex()
        place = ("message", queue, str(name), repr(sent_at))
        message = None
        try:
            attributes, body = _parted(self._vault.open(account, sealed, *place))
        except DamagedError:
            pass
        else:
            message = Message(
                id=str(name),
                lease=lease,
                body=body,
                attributes=attributes,
                receive_count=int(str(received)) + 1,
                sent_at=sent_at,
                until=until,
            )
        return _Row(number=int(str(number)), lease=lease, message=message)


def _kept(lease: str) -> bytes:
    """Give what the file keeps of a lease: looking it up tells nothing by time."""
    return hashlib.sha256(lease.encode("utf-8", "surrogatepass")).digest()


def _joined(attributes: Mapping[str, str], body: bytes) -> bytes:
    head = json.dumps(dict(attributes), separators=(",", ":")).encode()
    return _HEAD.pack(len(head)) + head + body


def _parted(content: bytes) -> tuple[dict[str, str], bytes]:
    end = _HEAD.size + _HEAD.unpack_from(content)[0]
    attributes: dict[str, str] = json.loads(content[_HEAD.size : end])
    return attributes, content[end:]
