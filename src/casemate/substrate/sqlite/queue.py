"""
Messages that are claimed under a lease, worked on, and acknowledged.

A lease is 128 random bits; the file keeps its hash.  It is good for one message
of one queue of one account, until it ends or the message is claimed again.
Delivery is at least once: a lease that ends gives the message to the next.

A message that goes to the dead letters is sealed anew for its new place in the
transaction that moves it: it is in one queue or the other, never in none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, final

import apsw

from casemate.substrate.ports import (
    ClaimRules,
    DamagedError,
    DeadLetters,
    Held,
    InFlightError,
    Message,
    TooLargeError,
)
from casemate.substrate.sqlite import letter
from casemate.substrate.sqlite.limits import Limits
from casemate.substrate.sqlite.readers import Readers, Row
from casemate.substrate.sqlite.tally import Place, Tally
from casemate.substrate.sqlite.vault import Vault
from casemate.substrate.sqlite.writer import Job, Writer

# Each statement names its index.  Left to itself SQLite looks a lease up among all
# that is visible later than a moment, which is a walk over the queue: 100 claims
# acknowledged in a second with 100,000 messages there, against 7,000.
_SEND = """
INSERT INTO messages (account, queue, name, sent_at, visible_at, received, body)
VALUES (?, ?, ?, ?, ?, 0, ?)
"""
_DUE = """
SELECT id, name, sent_at, received, before, first_at, body
FROM messages INDEXED BY messages_due
WHERE account = ? AND queue = ? AND visible_at <= ? AND sent_at > ?
ORDER BY visible_at, id LIMIT ?
"""
_CLAIM = """
UPDATE messages SET lease = ?, visible_at = ?, claimed_at = ?,
    received = received + 1, first_at = coalesce(first_at, ?)
WHERE id = ?
"""
_MOVE = """
UPDATE messages SET queue = ?, body = ?, visible_at = ?, before = received,
    lease = NULL, claimed_at = NULL
WHERE id = ?
"""
_EXTEND = """
UPDATE messages INDEXED BY messages_leased SET visible_at = ?
WHERE lease = ? AND account = ? AND queue = ? AND visible_at > ?
"""
_HELD = """
SELECT claimed_at, visible_at FROM messages INDEXED BY messages_leased
WHERE lease = ? AND account = ? AND queue = ?
"""
_MINE = """
SELECT id, name, sent_at, body FROM messages
WHERE lease = ? AND account = ? AND queue = ? AND visible_at > ?
"""
_PUT_BACK = """
UPDATE messages SET body = ?, visible_at = ?, lease = NULL, claimed_at = NULL
WHERE id = ?
"""
_HASTEN = """
UPDATE messages SET visible_at = ?1
WHERE account = ?2 AND queue = ?3 AND visible_at > ?1
"""
_NEXT_NAME = """
SELECT queue FROM messages WHERE account = ? AND queue > ? ORDER BY queue LIMIT 1
"""
_ACKNOWLEDGE = """
DELETE FROM messages INDEXED BY messages_leased
WHERE lease = ? AND account = ? AND queue = ? AND visible_at > ?
RETURNING length(body)
"""
_FORGET = """
DELETE FROM messages WHERE id IN (
    SELECT id FROM messages INDEXED BY messages_sent
    WHERE account = ? AND queue = ? AND sent_at <= ? LIMIT ?
) RETURNING length(body)
"""
_FIRST = """
SELECT min(visible_at) FROM messages INDEXED BY messages_due
WHERE account = ? AND queue = ?
"""
_VISIBLE = """
SELECT count(*) FROM messages INDEXED BY messages_due
WHERE account = ? AND queue = ? AND visible_at <= ?
"""
_HIDDEN = """
SELECT count(*) FILTER (WHERE lease IS NOT NULL),
       count(*) FILTER (WHERE lease IS NULL)
FROM messages INDEXED BY messages_due
WHERE account = ? AND queue = ? AND visible_at > ?
"""
_LEASE_BYTES: Final = 16
_CHUNK: Final = 1000
"""Messages that one transaction forgets, so that nobody waits long for it."""

_PUT_OFF: Final = (30.0, 3_600.0)
"""Seconds before a message with a broken seal is met again: the first, the longest."""

_EVER: Final = -1.0
"""Before any message was sent."""

_NO_RULES: Final = ClaimRules()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """
    A message due, opened.

    before: claims that it had when it came.  size: bytes, sealed.  body: None if
    its seal is broken.
    """

    number: int
    name: str
    sent_at: float
    received: int
    before: int
    first_at: float | None
    size: int
    attributes: Mapping[str, str]
    body: bytes | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Claimed:
    """What a claim did."""

    messages: Sequence[Message] = ()
    damaged: int = 0
    moved: int = 0


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
        self._tally = Tally(limits)
        self._watchers: list[Callable[[str, str], None]] = []
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
        now, place = self._now(), (account, queue)
        content = letter.joined(attributes or {}, body)
        self._fits(content)
        due = now + max(delay, 0.0)

        def apply(connection: apsw.Connection) -> None:
            sealed = self._vault.seal(account, content, *letter.place(queue, name, now))
            self._tally.take_in(connection, place, len(sealed))
            connection.execute(_SEND, (account, queue, name, now, due, sealed))

        await self._writer.run(Job(apply=apply, heard=lambda _: self._tell(place)))
        return name

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
        Claim the messages that are due, the longest due first.

        A message whose seal is broken is not given but put off, twice as long
        each time up to an hour: it cannot be opened, so it cannot be moved to
        where somebody would decide.  `damaged` counts the times it was met.
        """
        now, place, ruled = self._now(), (account, queue), rules or _NO_RULES

        def apply(connection: apsw.Connection) -> _Claimed:
            oldest = _EVER if ruled.keep is None else now - ruled.keep
            if ruled.keep is not None:
                self._forget(connection, place, oldest)
            most = limit
            if ruled.in_flight is not None:
                most = min(limit, self._room(connection, place, now, ruled.in_flight))
            rows = connection.execute(_DUE, (*place, now, oldest, most)).fetchall()
            due = [self._opened(place, row) for row in rows]
            return self._give(connection, place, due, now, lease, ruled.dead)

        def heard(claimed: _Claimed) -> None:
            if claimed.moved and ruled.dead is not None:
                self._tell((account, ruled.dead.queue))

        job = Job(apply=apply, heard=heard, grows=False)
        claimed: _Claimed = await self._writer.run(job)
        self.damaged += claimed.damaged
        return claimed.messages

    def due_in(self, account: str, queue: str) -> float | None:
        """Give the seconds until a message is visible; it is one index lookup."""
        first = self._readers.rows(_FIRST, (account, queue))[0][0]
        return None if first is None else float(str(first)) - self._now()

    def held(self, account: str, queue: str, lease: str) -> Held | None:
        """Tell of a claim, ended or not."""
        now = self._now()
        rows = self._readers.rows(_HELD, (letter.kept(lease), account, queue))
        if not rows:
            return None
        claimed, until = (float(str(value)) for value in rows[0])
        return Held(since=now - claimed, remains=until - now)

    async def extend(
        self, account: str, queue: str, lease: str, seconds: float
    ) -> bool:
        """Set the claim's end; 0 gives the message back at once."""
        now, place = self._now(), (account, queue)
        values = (now + seconds, letter.kept(lease), *place, now)

        def apply(connection: apsw.Connection) -> int:
            connection.execute(_EXTEND, values)
            return connection.changes()

        job = Job(apply=apply, grows=False, heard=lambda _: self._tell(place))
        count: int = await self._writer.run(job)
        return count > 0

    async def acknowledge(
        self, account: str, queue: str, lease: str, *, late: bool = False
    ) -> bool:
        """Remove a message that is claimed under this lease."""
        place = (account, queue)
        values = (letter.kept(lease), *place, _EVER if late else self._now())

        def apply(connection: apsw.Connection) -> int:
            return self._gone(connection, place, _ACKNOWLEDGE, values)

        count: int = await self._writer.run(Job(apply=apply, grows=False))
        return count > 0

    async def put_back(
        self, account: str, queue: str, lease: str, body: bytes, *, delay: float
    ) -> bool:
        """Give a message back with another body; its attributes stay."""
        now, place = self._now(), (account, queue)
        self._fits(body)

        def apply(connection: apsw.Connection) -> bool:
            mine = connection.execute(
                _MINE, (letter.kept(lease), *place, now)
            ).fetchall()
            if not mine:
                return False
            number, name, sent_at, sealed = mine[0]
            assert isinstance(sealed, bytes)  # noqa: S101 — STRICT tables hold these types
            seal = letter.place(queue, str(name), float(str(sent_at)))
            attributes, _ = letter.parted(self._vault.open(account, sealed, *seal))
            content = self._vault.seal(account, letter.joined(attributes, body), *seal)
            connection.execute(_PUT_BACK, (content, now + max(delay, 0.0), number))
            self._tally.resized(account, len(content) - len(sealed))
            return True

        done: bool = await self._writer.run(
            Job(apply=apply, heard=lambda _: self._tell(place))
        )
        return done

    async def hasten(self, account: str, queue: str, within: float) -> int:
        """Make every message visible within so many seconds."""
        place = (account, queue)
        latest = self._now() + within

        def apply(connection: apsw.Connection) -> int:
            connection.execute(_HASTEN, (latest, *place))
            return connection.changes()

        job = Job(apply=apply, grows=False, heard=lambda _: self._tell(place))
        count: int = await self._writer.run(job)
        return count

    def names(self, account: str, *, prefix: str = "") -> Sequence[str]:
        """Name the queues that have messages; one step of the index for each."""
        found: list[str] = []
        after = prefix
        while rows := self._readers.rows(_NEXT_NAME, (account, after)):
            after = str(rows[0][0])
            if not after.startswith(prefix):
                break
            found.append(after)
        return found

    async def forget(self, account: str, queue: str, *, older: float) -> int:
        """Remove what is old, a thousand messages to a transaction."""
        place, oldest = (account, queue), self._now() - older

        def apply(connection: apsw.Connection) -> int:
            return self._forget(connection, place, oldest)

        total = 0
        while count := await self._writer.run(Job(apply=apply, grows=False)):
            total += count
        return total

    def depth(self, account: str, queue: str) -> tuple[int, int, int]:
        """Count visible, claimed and delayed messages."""
        asked = (account, queue, self._now())
        ((visible,),) = self._readers.rows(_VISIBLE, asked)
        ((claimed, delayed),) = self._readers.rows(_HIDDEN, asked)
        return int(str(visible)), int(str(claimed)), int(str(delayed))

    def watch(self, changed: Callable[[str, str], None]) -> None:
        """Tell of each queue in which a message may become visible sooner."""
        self._watchers.append(changed)

    def before_commit(self, connection: apsw.Connection) -> None:
        """Write nothing: the messages are all there is."""

    def rolled_back(self) -> None:
        """Forget the counts."""
        self._tally.clear()

    def _fits(self, content: bytes) -> None:
        if len(content) > self._limits.letter_bytes:
            most = self._limits.letter_bytes
            raise TooLargeError(f"a message has at most {most} bytes")

    def _tell(self, place: Place) -> None:
        for changed in self._watchers:
            changed(*place)

    def _forget(self, connection: apsw.Connection, place: Place, oldest: float) -> int:
        return self._gone(connection, place, _FORGET, (*place, oldest, _CHUNK))

    def _gone(
        self,
        connection: apsw.Connection,
        place: Place,
        sql: str,
        values: tuple[str | bytes | float, ...],
    ) -> int:
        """Run a deletion that gives back the size of each row; give their count."""
        sizes = [int(str(row[0])) for row in connection.execute(sql, values)]
        self._tally.let_go(place, sizes)
        return len(sizes)

    def _room(
        self, connection: apsw.Connection, place: Place, now: float, most: int
    ) -> int:
        """Say how many more may be claimed.  Raises InFlightError for none."""
        flying = self._tally.flying_at_most(place)
        if flying >= most and not self._tally.counted_lately(place, now):
            rows = connection.execute(_HIDDEN, (*place, now)).fetchall()
            self._tally.counted(place, int(str(rows[0][0])), now)
            flying = self._tally.flying_at_most(place)
        if flying >= most:
            raise InFlightError(f"a queue has at most {most} messages claimed")
        return most - flying

    def _opened(self, place: Place, row: Row) -> _Due:
        number, name, sent_at, received, before, first_at, sealed = row
        assert isinstance(sent_at, float)  # noqa: S101 — STRICT tables hold these types
        assert isinstance(sealed, bytes)  # noqa: S101
        assert first_at is None or isinstance(first_at, float)  # noqa: S101
        account, queue = place
        attributes: Mapping[str, str] = {}
        body: bytes | None = None
        try:
            content = self._vault.open(
                account, sealed, *letter.place(queue, str(name), sent_at)
            )
            attributes, body = letter.parted(content)
        except DamagedError:
            pass
        return _Due(
            number=int(str(number)),
            name=str(name),
            sent_at=sent_at,
            received=int(str(received)),
            before=int(str(before)),
            first_at=first_at,
            size=len(sealed),
            attributes=attributes,
            body=body,
        )

    def _give(
        self,
        connection: apsw.Connection,
        place: Place,
        due: Sequence[_Due],
        now: float,
        lease: float,
        dead: DeadLetters | None,
    ) -> _Claimed:
        """Move the dead, claim the others."""
        messages: list[Message] = []
        claims: list[tuple[bytes, float, float, float, int]] = []
        damaged = moved = 0
        for one in due:
            if dead is not None and self._moved(connection, place, one, now, dead):
                moved += 1
                continue
            proof = self._randomness(_LEASE_BYTES).hex()
            until = now + (lease if one.body is not None else _put_off(one, lease))
            claims.append((letter.kept(proof), until, now, now, one.number))
            if one.body is None:
                damaged += 1
                continue
            messages.append(_message(one, one.body, proof, now, until))
        if claims:
            connection.executemany(_CLAIM, claims)
            self._tally.flew(place, len(claims))
        return _Claimed(messages=messages, damaged=damaged, moved=moved)

    def _moved(
        self,
        connection: apsw.Connection,
        place: Place,
        one: _Due,
        now: float,
        dead: DeadLetters,
    ) -> bool:
        """Move a message to the dead letters if it belongs there and has room."""
        if one.body is None or one.received - one.before < dead.receives:
            return False
        account, target = place[0], (place[0], dead.queue)
        if target != place and not self._tally.has_room(connection, target):
            return False
        content = letter.joined({**one.attributes, **dead.attributes}, one.body)
        sealed = self._vault.seal(
            account, content, *letter.place(dead.queue, one.name, one.sent_at)
        )
        connection.execute(_MOVE, (dead.queue, sealed, now, one.number))
        self._tally.moved(place, target, len(sealed) - one.size)
        return True


def _put_off(due: _Due, lease: float) -> float:
    """Say for how long a message with a broken seal is not met again, in seconds."""
    first = max(lease, _PUT_OFF[0])
    return max(lease, min(first * 2.0 ** min(due.received, 16), _PUT_OFF[1]))


def _message(due: _Due, body: bytes, lease: str, now: float, until: float) -> Message:
    return Message(
        id=due.name,
        lease=lease,
        body=body,
        attributes=due.attributes,
        receive_count=due.received + 1,
        sent_at=due.sent_at,
        first_at=now if due.first_at is None else due.first_at,
        until=until,
    )
