"""
The lines of functions, on their way into their log.

`write` never waits and never raises for what a function did: it is called on
the path of an invocation.  A group or a stream that is missing is made a moment
later, together with the others that are.  What is past a bound is dropped,
counted, and told in the stream itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from casemate.core.bucket import Bucket
from casemate.core.clock import Clock
from casemate.core.errors import Refusal
from casemate.core.function import FunctionVersion
from casemate.services.logs.extent import Extents
from casemate.services.logs.ledger import Ledger
from casemate.services.logs.model import NEAR, GroupRef, Source, packed, weight
from casemate.services.logs.ports import LogLine
from casemate.services.logs.settings import LogSettings
from casemate.services.logs.store import (
    GROUPS,
    STREAMS,
    Store,
    group_key,
    stream_key,
)
from casemate.substrate.ports import NewEntry, SubstrateError

_TOLD_EVERY: Final = 1.0
"""Seconds between two lines that tell of drops in one stream."""

_TELLING: Final = 1_048_576
"""Bytes past the account's bound that may tell of what was dropped for it."""

_BUCKETS: Final = 20_000
_AGAIN: Final = 1.0
"""Seconds until groups and streams that could not be made are tried again."""


@final
@dataclass(slots=True)
class _Drops:
    """What was dropped of one stream since it was last told."""

    lines: int = 0
    bytes: int = 0
    told: float = 0.0


class Intake:
    """Takes lines in."""

    def __init__(
        self,
        *,
        store: Store,
        extents: Extents,
        ledger: Ledger,
        clock: Clock,
        settings: LogSettings,
    ) -> None:
        self._store = store
        self._extents = extents
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._known: set[tuple[str, str]] = set()
        self._wanted: dict[tuple[str, str], tuple[GroupRef, str]] = {}
        self._making: asyncio.Task[None] | None = None
        self._buckets: dict[tuple[str, ...], Bucket] = {}
        self._drops: dict[tuple[GroupRef, str], _Drops] = {}
        self.dropped_lines = 0
        """All lines that were dropped since the start; a metric."""
        store.records.watch(STREAMS, self._changed)
        store.records.watch(GROUPS, self._group_changed)

    def write(
        self, function: FunctionVersion, stream: str, lines: Sequence[LogLine]
    ) -> None:
        """Take lines of a function in, in order; each is an event of the stream."""
        ref = GroupRef(
            account=function.account, region=function.region, name=function.log_group
        )
        key = stream_key(ref, stream)
        now = int(self._clock.now() * 1000)
        ingested = self._extents.moment(ref.account, key, now)
        entries = self._passing(ref, stream, lines, ingested)
        told = self._told(ref, stream, ingested)
        if told is not None:
            entries.append(told)
        if entries:
            self._append(ref, stream, entries, ingested)

    async def idle(self) -> None:
        """Wait until every group and stream that was asked for is made."""
        while self._making is not None:
            await asyncio.shield(self._making)

    def _passing(
        self, ref: GroupRef, stream: str, lines: Sequence[LogLine], ingested: int
    ) -> list[NewEntry]:
        entries: list[NewEntry] = []
        closed = (ref.account, group_key(ref)) in self._store.deleting
        room = self._settings.stored_bytes - self._ledger.total(ref.account)
        for line in lines:
            message = line.text.encode("utf-8", "replace") + b"\n"
            size = len(message)
            if closed or size > room or not self._admits(ref, size):
                self._drop(ref, stream, 1, size)
                continue
            room -= size
            entries.append(
                packed(
                    # Within what every search expects of a function's stream.
                    at=min(max(line.at, ingested - NEAR), ingested + NEAR),
                    ingested=ingested,
                    source=Source.PLATFORM if line.platform else Source.FUNCTION,
                    message=message,
                )
            )
        return entries

    def _admits(self, ref: GroupRef, size: int) -> bool:
        now = self._clock.monotonic()
        group = self._bucket((ref.account, ref.name), self._settings.group_rate, now)
        account = self._bucket((ref.account,), self._settings.account_rate, now)
        return group.spend(size, now) and account.spend(size, now)

    def _bucket(self, key: tuple[str, ...], rate: int, now: float) -> Bucket:
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= _BUCKETS:
                self._buckets.pop(next(iter(self._buckets)))
            burst = float(rate * self._settings.burst_seconds)
            bucket = self._buckets[key] = Bucket.full(rate, burst, now)
        return bucket

    def _append(
        self, ref: GroupRef, stream: str, entries: list[NewEntry], ingested: int
    ) -> None:
        key = stream_key(ref, stream)
        size = sum(weight(entry) for entry in entries)
        try:
            self._store.log.append_soon(ref.account, key, entries)
        except SubstrateError:
            self._drop(ref, stream, len(entries), size)
            return
        self._ensure(ref, stream)
        self._ledger.add(ref, size)
        times = [entry.at for entry in entries]
        self._extents.wrote(
            ref.account, key, first=min(times), last=max(times), ingested=ingested
        )

    def _drop(self, ref: GroupRef, stream: str, lines: int, size: int) -> None:
        self.dropped_lines += lines
        drops = self._drops.setdefault((ref, stream), _Drops())
        drops.lines += lines
        drops.bytes += size

    def _told(self, ref: GroupRef, stream: str, ingested: int) -> NewEntry | None:
        """Give the line that tells of drops, if it is time for one."""
        drops = self._drops.get((ref, stream))
        now = self._clock.monotonic()
        if drops is None or not drops.lines or now - drops.told < _TOLD_EVERY:
            return None
        if (ref.account, group_key(ref)) in self._store.deleting:
            return None
        if self._ledger.total(ref.account) > self._settings.stored_bytes + _TELLING:
            return None
        told = (
            f"CASEMATE dropped {drops.lines} log lines ({drops.bytes} bytes): the log "
            f"takes {self._settings.group_rate} bytes a second of a function, "
            f"{self._settings.account_rate} of an account, and "
            f"{self._settings.stored_bytes} in all\n"
        )
        drops.lines = drops.bytes = 0
        drops.told = now
        return packed(
            at=ingested,
            ingested=ingested,
            source=Source.PLATFORM,
            message=told.encode(),
        )

    def tell(self) -> None:
        """Tell of drops in streams that have gone silent; called each minute."""
        now = int(self._clock.now() * 1000)
        for ref, stream in tuple(self._drops):
            ingested = self._extents.moment(ref.account, stream_key(ref, stream), now)
            told = self._told(ref, stream, ingested)
            if told is not None:
                self._append(ref, stream, [told], ingested)
            elif not self._drops[ref, stream].lines:
                del self._drops[ref, stream]

    def _ensure(self, ref: GroupRef, stream: str) -> None:
        place = (ref.account, stream_key(ref, stream))
        if place in self._known:
            return
        if self._store.stream(ref, stream) is not None and self._store.group(ref):
            self._known.add(place)
            return
        self._wanted[place] = (ref, stream)
        if self._making is None:
            self._making = asyncio.get_running_loop().create_task(self._make())

    async def _make(self) -> None:
        try:
            while self._wanted:
                wanted = dict(self._wanted)
                try:
                    await self._store.ensure(
                        tuple(wanted.values()), int(self._clock.now() * 1000)
                    )
                except (SubstrateError, Refusal):
                    await asyncio.sleep(_AGAIN)
                    continue
                for place in wanted:
                    self._wanted.pop(place, None)
        finally:
            self._making = None

    def _changed(self, account: str, key: str) -> None:
        self._known.discard((account, key))

    def _group_changed(self, account: str, key: str) -> None:
        if self._store.records.get(account, GROUPS, key) is None:
            region, _, name = key.partition("/")
            self._ledger.forget(GroupRef(account=account, region=region, name=name))
            self._known = {place for place in self._known if place[0] != account}
