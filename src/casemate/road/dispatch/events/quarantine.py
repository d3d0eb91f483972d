"""
Events that have nowhere to go, until somebody decides.

    account  table                    key         value
    tenant   lambda.quarantine        request id  Summary
    tenant   lambda.quarantine.event  request id  the event and its life

A request id begins with its time, so the order of keys is that of arrival.
What cannot be read has no request id: its message's id stands for it, and its
bytes are kept as they were.
No event is ever dropped to make room: an account whose quarantine is full is
told so when it wants to add events (`intake`), and what it has added already
still finds its place.  What functions answered is let go of past a bound, and
said so: an event of a few bytes may have an answer of six million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final
from uuid import UUID

import msgspec

from casemate.road.dispatch.events.kept import Kept, write
from casemate.road.dispatch.events.life import unanswered
from casemate.substrate.ports import Delete, Put, Records

SUMMARIES: Final = "lambda.quarantine"
EVENTS: Final = "lambda.quarantine.event"
ANSWERED: Final = 256 * 1_048_576
"""Bytes of an account past which no answer is kept with an event."""
_PAGE: Final = 1_000


@final
class Summary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What a list tells of a quarantined event.

    at: epoch seconds since when it is here.  condition: why its function's part
    ended, or empty.  payload_bytes: of the event.  kept_bytes: of all that is
    kept of it.
    """

    id: str
    target: str
    at: float
    reason: str
    condition: str
    runs: int
    payload_bytes: int
    kept_bytes: int = 0


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Summary).decode


@final
@dataclass(slots=True)
class _Held:
    """What an account has here."""

    events: int = 0
    bytes: int = 0

    def add(self, summary: Summary, sign: int) -> None:
        self.events += sign
        self.bytes += sign * summary.kept_bytes


@final
class Quarantine:
    """The quarantines of all accounts."""

    def __init__(self, records: Records, answered: int = ANSWERED) -> None:
        self._records = records
        self._answered = answered
        self._held: dict[str, _Held] = {}

    async def put(self, kept: Kept, reason: str, at: float) -> Summary:
        """Keep an event, durably; one that is there already is written over."""
        data = write(kept)
        if self._of(kept.event.account).bytes + len(data) > self._answered:
            kept = Kept(event=kept.event, life=unanswered(kept.life))
            if len(bare := write(kept)) < len(data):
                data = bare
                reason = f"{reason} (too much is kept here to keep the answer as well)"
        event, life = kept.event, kept.life
        summary = Summary(
            id=event.id,
            target=event.target,
            at=at,
            reason=reason,
            condition=str(life.condition or ""),
            runs=life.runs,
            payload_bytes=len(event.payload),
            kept_bytes=len(data),
        )
        await self._put(event.account, summary, data)
        return summary

    async def put_unread(
        self, account: str, target: str, message: str, data: bytes, at: float
    ) -> Summary:
        """Keep a message of a function's queue that is no event known here."""
        summary = Summary(
            id=str(UUID(hex=message)),
            target=target,
            at=at,
            reason="the event cannot be read",
            condition="",
            runs=0,
            payload_bytes=len(data),
            kept_bytes=len(data),
        )
        await self._put(account, summary, data)
        return summary

    async def _put(self, account: str, summary: Summary, data: bytes) -> None:
        key = summary.id
        held = self._of(account)
        before = self._records.get(account, SUMMARIES, key)
        # Counted first: others are on their way while this one is committed.
        held.add(summary, 1)
        try:
            await self._records.commit(
                Put(account=account, table=SUMMARIES, key=key, value=_encode(summary)),
                Put(account=account, table=EVENTS, key=key, value=data),
            )
        except BaseException:
            held.add(summary, -1)
            raise
        if before is not None:
            held.add(_decode(before.value), -1)

    def page(self, account: str, *, after: str, limit: int) -> Sequence[Summary]:
        """List the oldest first, past an id."""
        found = self._records.scan(account, SUMMARIES, after=after, limit=limit)
        return [_decode(record.value) for record in found]

    def find(self, account: str, identifier: str) -> tuple[Summary, bytes] | None:
        """Find one with all that is kept of it, as `kept` reads it if it can be."""
        summary = self._records.get(account, SUMMARIES, identifier)
        kept = self._records.get(account, EVENTS, identifier)
        if summary is None or kept is None:
            return None
        return _decode(summary.value), kept.value

    async def remove(self, account: str, identifier: str) -> None:
        """Forget one, durably."""
        held = self._of(account)
        there = self._records.get(account, SUMMARIES, identifier)
        await self._records.commit(
            Delete(account=account, table=SUMMARIES, key=identifier),
            Delete(account=account, table=EVENTS, key=identifier),
        )
        if there is not None:
            held.add(_decode(there.value), -1)

    def count(self, account: str) -> int:
        """Count an account's events here."""
        return self._of(account).events

    def bytes(self, account: str) -> int:
        """Count the bytes that are kept of them."""
        return self._of(account).bytes

    def _of(self, account: str) -> _Held:
        """Give what an account has here; it is read once, and followed from then on."""
        held = self._held.get(account)
        if held is None:
            held, after = _Held(), ""
            while page := self.page(account, after=after, limit=_PAGE):
                for summary in page:
                    held.add(summary, 1)
                after = page[-1].id
            self._held[account] = held
        return held
