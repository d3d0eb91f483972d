"""
Events that have nowhere to go, until somebody decides.

    account  table                    key         value
    tenant   lambda.quarantine        request id  Summary
    tenant   lambda.quarantine.event  request id  the event and its life

A request id begins with its time, so the order of keys is that of arrival.
What cannot be read has no request id: its message's id stands for it, and its
bytes are kept as they were.
Nothing is ever dropped to make room: an account whose quarantine is full is
told so when it wants to add events (`intake`), and what it has added already
still finds its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final
from uuid import UUID

import msgspec

from casemate.road.dispatch.events.kept import Kept, write
from casemate.substrate.ports import Delete, Put, Records

SUMMARIES: Final = "lambda.quarantine"
EVENTS: Final = "lambda.quarantine.event"
_PAGE: Final = 1_000


@final
class Summary(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What a list tells of a quarantined event.

    at: epoch seconds since when it is here.  condition: why its function's part
    ended, or empty.  payload_bytes: of the event.
    """

    id: str
    target: str
    at: float
    reason: str
    condition: str
    runs: int
    payload_bytes: int


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Summary).decode


@final
class Quarantine:
    """The quarantines of all accounts."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._counts: dict[str, int] = {}

    async def put(self, kept: Kept, reason: str, at: float) -> Summary:
        """Keep an event, durably; one that is there already is written over."""
        event, life = kept.event, kept.life
        summary = Summary(
            id=event.id,
            target=event.target,
            at=at,
            reason=reason,
            condition=str(life.condition or ""),
            runs=life.runs,
            payload_bytes=len(event.payload),
        )
        await self._put(event.account, summary, write(kept))
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
        )
        await self._put(account, summary, data)
        return summary

    async def _put(self, account: str, summary: Summary, data: bytes) -> None:
        key = summary.id
        self.count(account)  # before the commit, which would be counted twice
        new = self._records.get(account, SUMMARIES, key) is None
        await self._records.commit(
            Put(account=account, table=SUMMARIES, key=key, value=_encode(summary)),
            Put(account=account, table=EVENTS, key=key, value=data),
        )
        self._counts[account] += new

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
        self.count(account)
        there = self._records.get(account, SUMMARIES, identifier) is not None
        await self._records.commit(
            Delete(account=account, table=SUMMARIES, key=identifier),
            Delete(account=account, table=EVENTS, key=identifier),
        )
        self._counts[account] -= there

    def count(self, account: str) -> int:
        """Count an account's events here."""
        if account not in self._counts:
            total, after = 0, ""
            while page := self.page(account, after=after, limit=_PAGE):
                total += len(page)
                after = page[-1].id
            self._counts[account] = total
        return self._counts[account]
