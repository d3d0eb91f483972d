"""
How far a stream reaches in time, kept in memory.

Everything that is written to a stream passes here, so an extent that was read
once stays true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from casemate.services.logs.model import unpacked
from casemate.services.logs.store import STREAMS
from casemate.substrate.ports import Log, Records

_KEPT: Final = 50_000


@final
@dataclass(slots=True, kw_only=True)
class Extent:
    """
    From where to where a stream reaches: epoch milliseconds.

    first and last are the events' own times, began and ingested when the first
    and the last were taken in.
    """

    first: int
    last: int
    began: int
    ingested: int


class Extents:
    """The extents of streams."""

    def __init__(self, records: Records, log: Log) -> None:
        self._records = records
        self._log = log
        self._kept: dict[tuple[str, str], Extent] = {}
        records.watch(STREAMS, self._changed)

    def of(self, account: str, key: str) -> Extent | None:
        """Give the extent of a stream; None if it is empty."""
        kept = self._kept.get((account, key))
        return kept or self._load(account, key)

    def moment(self, account: str, key: str, now: int) -> int:
        """Give the moment of taking in for what comes now; it never goes back."""
        there = self.of(account, key)
        return max(now, there.ingested) if there else now

    def wrote(
        self, account: str, key: str, *, first: int, last: int, ingested: int
    ) -> None:
        """Note what was written.  first, last: the earliest and latest of it."""
        there = self.of(account, key)
        if there is None:
            self._keep(
                account,
                key,
                Extent(first=first, last=last, began=ingested, ingested=ingested),
            )
            return
        there.first, there.last = min(first, there.first), max(last, there.last)
        there.ingested = max(ingested, there.ingested)

    def forget(self, account: str, key: str) -> None:
        """Forget what is known of a stream that was trimmed or dropped."""
        self._kept.pop((account, key), None)

    def _changed(self, account: str, key: str) -> None:
        if self._records.get(account, STREAMS, key) is None:
            self.forget(account, key)

    def _load(self, account: str, key: str) -> Extent | None:
        first = self._log.read(account, key, limit=1)
        last = self._log.read_back(account, key, limit=1)
        if not first or not last:
            return None
        head, tail = unpacked(key, first[0]), unpacked(key, last[0])
        extent = Extent(
            first=head.at,
            last=max(tail.at, head.at),
            began=head.ingested,
            ingested=tail.ingested,
        )
        self._keep(account, key, extent)
        return extent

    def _keep(self, account: str, key: str, extent: Extent) -> None:
        if len(self._kept) >= _KEPT:
            self._kept.pop(next(iter(self._kept)))
        self._kept[account, key] = extent


def seek(log: Log, account: str, key: str, moment: int) -> int:
    """
    Find the position after which all was taken in at `moment` or later.

    A bisection over positions: events are taken in in order.
    """
    newest = log.read_back(account, key, limit=1)
    if not newest:
        return 0
    low, high = 0, newest[0].position
    while low < high:
        middle = (low + high) // 2
        found = log.read(account, key, after=middle, limit=1)
        if not found or unpacked(key, found[0]).ingested >= moment:
            high = middle
        else:
            low = found[0].position
    return low
