"""
How much of the audit log those may fill of whom nobody knows who they are.

A refusal before the caller is proven is written while its source, and all
sources together, keep to a rate; the rest are counted, and the next one that is
written says how many were not.  Calls of known principals are never left out.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, final

from casemate.core.bucket import Bucket

BURST: Final = 100
"""Records that one source may write at once."""
RATE: Final = 1.0
"""Records a second of one source, after that."""
ALL_BURST: Final = 2_000
ALL_RATE: Final = 20.0
_SOURCES: Final = 10_000


@final
@dataclass(slots=True)
class _Source:
    bucket: Bucket
    untold: int = 0


@final
@dataclass(slots=True)
class Strangers:
    """Decides which refusals of strangers are written."""

    _all: Bucket = field(default_factory=lambda: Bucket.full(ALL_RATE, ALL_BURST, 0.0))
    _sources: OrderedDict[str, _Source] = field(default_factory=OrderedDict)

    def told(self, source: str, now: float) -> int | None:
        """
        Say whether a refusal is written.

        source: the peer's address, or the cell.  now: monotonic seconds.  Gives
        the count of this source's refusals that were left out since the last
        that was written, or None if this one is left out.
        """
        known = self._sources.pop(source, None)
        if known is None:
            known = _Source(Bucket.full(RATE, BURST, now))
        self._sources[source] = known
        if len(self._sources) > _SOURCES:
            self._sources.popitem(last=False)
        if known.bucket.take(now) or self._all.take(now):
            known.untold += 1
            return None
        untold, known.untold = known.untold, 0
        return untold
