"""
Keys as kept.

    account  table           key  value
    tenant   lambda.once     KEY  Entry
    tenant   lambda.answers  KEY  the answer's bytes

KEY is a keyed hash.  The account is the function's.  An answer and the entry
that says that there is one are written in one commit, and both expire at once;
the store's sweep removes them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Final, final

import msgspec

from casemate.services.lambda_.idempotency.machine import Entry
from casemate.substrate.ports import (
    Change,
    Delete,
    Put,
    Record,
    Records,
    RevisionConflictError,
)

ENTRIES: Final = "lambda.once"
ANSWERS: Final = "lambda.answers"
_PAGE: Final = 500

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Entry).decode


@final
@dataclass(slots=True)
class _Live:
    """The keys of an account that have not expired, and what they take."""

    entries: dict[str, Entry] = field(default_factory=dict)
    ends: list[tuple[float, str]] = field(default_factory=list)
    bytes: int = 0
    is_whole: bool = False

    def set(self, key: str, entry: Entry | None) -> None:
        """Note what a key is now; None: it is gone."""
        before = self.entries.pop(key, None)
        self.bytes -= before.size if before else 0
        if entry is not None:
            self.entries[key] = entry
            self.bytes += entry.size
            heappush(self.ends, (entry.until, key))

    def expire(self, now: float) -> None:
        """Forget what has had its time."""
        while self.ends and self.ends[0][0] <= now:
            _, key = heappop(self.ends)
            entry = self.entries.get(key)
            if entry is not None and entry.until <= now:
                self.set(key, None)


class OnceStore:
    """Reads and writes keys, and counts those of an account."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._accounts: dict[str, _Live] = {}

    def read(self, account: str, key: str) -> tuple[Entry | None, int]:
        """Give what is known of a key, and its revision; 0 for nothing."""
        record = self._records.get(account, ENTRIES, key)
        return (_decode(record.value), record.revision) if record else (None, 0)

    def answer(self, account: str, key: str) -> bytes | None:
        """Read an answer."""
        record = self._records.get(account, ANSWERS, key)
        return record.value if record else None

    async def used(self, account: str, now: float) -> tuple[int, int]:
        """Count the live keys of an account, and the bytes of their answers."""
        live = self._accounts.setdefault(account, _Live())
        if not live.is_whole:
            await self._load(account, live)
        live.expire(now)
        return len(live.entries), live.bytes

    async def write(
        self,
        account: str,
        key: str,
        entry: Entry,
        *,
        expected: int,
        answer: bytes | None = None,
    ) -> int | None:
        """
        Write an entry, and its answer with it; give the revision once it is durable.

        None: it was not in the revision expected.  Raises FullError.
        """
        changes: list[Change] = [
            Put(
                account=account,
                table=ENTRIES,
                key=key,
                value=_encode(entry),
                expected=expected,
                expires_at=entry.until,
            )
        ]
        if answer is not None:
            changes.append(
                Put(
                    account=account,
                    table=ANSWERS,
                    key=key,
                    value=answer,
                    expires_at=entry.until,
                )
            )
        try:
            revision = (await self._records.commit(*changes))[0]
        except RevisionConflictError:
            return None
        self._note(account, key, entry)
        return revision

    async def forget(self, account: str, key: str, *, expected: int) -> None:
        """Remove an entry; one that is another's by now stays."""
        gone = Delete(account=account, table=ENTRIES, key=key, expected=expected)
        try:
            await self._records.commit(gone)
        except RevisionConflictError:
            return
        self._note(account, key, None)

    def _note(self, account: str, key: str, entry: Entry | None) -> None:
        self._accounts.setdefault(account, _Live()).set(key, entry)

    async def _load(self, account: str, live: _Live) -> None:
        """Count what an earlier run left; others have their turn between pages."""
        after = ""
        while page := self._page(account, after):
            for record in page:
                if record.key not in live.entries:
                    live.set(record.key, _decode(record.value))
            after = page[-1].key
            await asyncio.sleep(0)
        live.is_whole = True

    def _page(self, account: str, after: str) -> Sequence[Record]:
        return self._records.scan(account, ENTRIES, after=after, limit=_PAGE)
