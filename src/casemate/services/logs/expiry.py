"""
Forgetting in time: retention, and the oldest streams of a crowded group.

Called each minute.  It looks at a group at a time and lets others in between.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from casemate.core.errors import Refusal
from casemate.services.logs.extent import Extents
from casemate.services.logs.intake import Intake
from casemate.services.logs.ledger import Ledger
from casemate.services.logs.model import Group, GroupRef, Stream, weight
from casemate.services.logs.ports import Accounts
from casemate.services.logs.settings import DAY, LogSettings
from casemate.services.logs.store import Store, stream_key, translated
from casemate.substrate.ports import SubstrateError

_CHUNK = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Removes what has had its time."""

    store: Store
    extents: Extents
    ledger: Ledger
    intake: Intake
    accounts: Accounts
    settings: LogSettings
    region: str

    async def expire(self, now: float) -> int:
        """
        Remove events past their group's retention; give their count.

        now: epoch seconds.  A group that cannot be worked on now is worked on
        in the next minute.
        """
        removed = 0
        for account in self.accounts.all():
            for ref, group in list(self.store.groups(account, self.region)):
                try:
                    removed += await self._group(ref, group, int(now * 1000))
                except (Refusal, SubstrateError):
                    continue
                await asyncio.sleep(0)
        self.intake.tell()
        await self.ledger.flush()
        return removed

    async def _group(self, ref: GroupRef, group: Group, now: int) -> int:
        removed = 0
        streams = list(self.store.streams(ref))
        if group.retention_days is not None:
            cut = now - group.retention_days * DAY
            for name, stream in streams:
                removed += await self._stream(ref, name, stream, cut)
        if len(streams) > self.settings.streams:
            await self._crowd(ref, [name for name, _ in streams])
        return removed

    async def _stream(self, ref: GroupRef, name: str, stream: Stream, cut: int) -> int:
        key = stream_key(ref, name)
        extent = self.extents.of(ref.account, key)
        if extent is None:
            if stream.created_at < cut:
                await self.store.delete_streams(ref, [name])
            return 0
        if extent.began - stream.late >= cut:
            return 0
        size = self._older(ref, key, cut, stream)
        with translated():
            count = await self.store.log.trim(ref.account, key, before=cut)
        self.extents.forget(ref.account, key)
        self.ledger.add(ref, -size)
        return count

    def _older(self, ref: GroupRef, key: str, cut: int, stream: Stream) -> int:
        """Weigh the events that are about to go."""
        size, after = 0, 0
        while page := self.store.log.read(ref.account, key, after=after, limit=_CHUNK):
            size += sum(weight(entry) for entry in page if entry.at < cut)
            after = page[-1].position
            if page[-1].at - stream.early - stream.late >= cut:
                break
        return size

    async def _crowd(self, ref: GroupRef, names: list[str]) -> None:
        """Delete the streams that were written to the longest ago."""

        def written(name: str) -> int:
            extent = self.extents.of(ref.account, stream_key(ref, name))
            return extent.ingested if extent else 0

        names.sort(key=written)
        for name in names[: len(names) - self.settings.streams]:
            size = self.store.held(ref, name)
            await self.store.delete_streams(ref, [name])
            self.extents.forget(ref.account, stream_key(ref, name))
            self.ledger.add(ref, -size)
