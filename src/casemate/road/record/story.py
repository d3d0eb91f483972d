"""
Finding the record of one request again.

The last records are kept in memory by their request id.  An older one is found
in the log: a request id carries its time, positions have no gaps and times in
the log go forward, so a binary search gives the place and a bounded walk the
record.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, final

import orjson

from casemate.core.identifier import moment
from casemate.road.record.draft import Draft
from casemate.road.record.ledger import STREAM
from casemate.seal import chain
from casemate.substrate.ports import SHARED, Log

_RECENT: Final = 20_000
_PAGE: Final = 500
_WALK: Final = 200_000
_LONGEST_CALL: Final = 1_000.0
"""Seconds: no call lasts longer than Lambda's 900 and its wait."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A record, and its position in the chain; None while it waits to be written."""

    record: dict[str, object]
    position: int | None


@final
@dataclass(slots=True)
class Recent:
    """The last records, by request id."""

    records: OrderedDict[str, Draft] = field(default_factory=OrderedDict)

    def add(self, request_id: str, draft: Draft) -> None:
        """Remember a record."""
        self.records[request_id] = draft
        if len(self.records) > _RECENT:
            self.records.popitem(last=False)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stories:
    """Find records for those whose account they are about."""

    log: Log
    recent: Recent

    def find(self, account: str, request_id: str) -> Found | None:
        """
        Give the record of a request of the account, or None.

        A request of another account is not found, just as one that never was.
        """
        found = self._in_memory(request_id) or self._in_log(request_id)
        return found if found and account in _concerned(found.record) else None

    def _in_memory(self, request_id: str) -> Found | None:
        known = self.recent.records.get(request_id)
        if known is None:
            return None
        in_log = self._in_log(request_id)
        return in_log or Found(record=orjson.loads(known()), position=None)

    def _in_log(self, request_id: str) -> Found | None:
        at = moment(request_id)
        if at is None:
            return None
        position = self._before(int(at * 1000))
        until = int((at + _LONGEST_CALL) * 1000)
        needle = f'"requestID":"{request_id}"'.encode()
        for _ in range(_WALK // _PAGE):
            page = self.log.read(SHARED, STREAM, after=position, limit=_PAGE)
            for entry in page:
                if entry.at > until:
                    return None
                if needle in entry.data:
                    data = chain.unpacked(entry.position, entry.at, entry.data).data
                    record = orjson.loads(data)
                    # A caller's parameters may hold the very words of a record.
                    if record.get("requestID") == request_id:
                        return Found(record=record, position=entry.position)
            if not page:
                return None
            position = page[-1].position
        return None

    def _before(self, at: int) -> int:
        """Find the last position whose entry is older than `at` (epoch ms)."""
        last = self.log.read_back(SHARED, STREAM, limit=1)
        low, high = 0, last[0].position if last else 0
        while low < high:
            middle = (low + high) // 2
            page = self.log.read(SHARED, STREAM, after=middle, limit=1)
            if page and page[0].at < at:
                low = middle + 1
            else:
                high = middle
        return low


def _concerned(record: Mapping[str, object]) -> set[object]:
    """Name the accounts that a record is about: who called, and whose thing it was."""
    resources = record.get("resources")
    owners = resources if isinstance(resources, list) else []
    return {
        record.get("recipientAccountId"),
        *(owner.get("accountId") for owner in owners if isinstance(owner, dict)),
    }
