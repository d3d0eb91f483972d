"""The lines of one request, for the story that the operator is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from casemate.services.logs.extent import seek
from casemate.services.logs.model import GroupRef, Source, unpacked
from casemate.services.logs.store import Store, stream_key
from casemate.substrate.ports import Entry, Log

_STREAMS: Final = 200
_ENTRIES: Final = 2_000
_CHUNK: Final = 50
LINES: Final = 200
"""Lines that a story shows."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLines:
    """Finds what a function wrote while it worked on one request."""

    store: Store
    log: Log

    def find(self, ref: GroupRef, request_id: str, since: int) -> list[str]:
        """
        Give the lines from the request's START to its END, at most `LINES`.

        since: epoch milliseconds, of the request's arrival.
        """
        for name, _ in list(self.store.streams(ref))[-_STREAMS:]:
            if found := self._in_stream(ref, name, request_id, since):
                return found
        return []

    def _in_stream(
        self, ref: GroupRef, name: str, request_id: str, since: int
    ) -> list[str]:
        key = stream_key(ref, name)
        after = seek(self.log, ref.account, key, since)
        found: list[str] = []
        for entry in self._entries(ref.account, key, after):
            message = unpacked(name, entry).message.rstrip("\n")
            own = entry.kind == Source.PLATFORM and request_id in message
            if found or (own and message.startswith("START")):
                found.append(message)
            if (own and message.startswith("REPORT")) or len(found) >= LINES:
                break
        return found

    def _entries(self, account: str, key: str, after: int) -> Iterator[Entry]:
        """Read on from a place, a little at a time: an entry may have 256 KB."""
        for _ in range(_ENTRIES // _CHUNK):
            page = self.log.read(account, key, after=after, limit=_CHUNK)
            yield from page
            if len(page) < _CHUNK:
                return
            after = page[-1].position
