"""
FilterLogEvents: a group's streams together.

1. Streams are chosen by name, and by whether they reach into the time asked for.
2. They are merged in the order in which events were taken in; the place in that
   order is the whole of a token.
3. A call looks at a bounded count of entries and bytes, gives what matched, and a
   token if there may be more: a page can be empty and not the last, as in AWS.
4. Of a stream that waits in the merge little is held: a heavy event is read again
   when it is its turn.

Within a page events stand in the order of their own times.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

from __future__ import annotations

import asyncio
import hashlib
import heapq
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from casemate.core.call import Admitted
from casemate.core.operation import operation
from casemate.services.logs import names
from casemate.services.logs.extent import Extents, seek
from casemate.services.logs.model import Event, GroupRef, Stream, unpacked
from casemate.services.logs.pace import Pace, Seats
from casemate.services.logs.paging import Paging, size
from casemate.services.logs.parameters import integer, text, texts
from casemate.services.logs.pattern import Matcher, compile_pattern
from casemate.services.logs.refusals import INVALID, invalid, no_group, no_stream
from casemate.services.logs.settings import EVENT_OVERHEAD, PAGE_BYTES, LogSettings
from casemate.services.logs.store import Store, stream_key
from casemate.substrate.ports import Log

MOST: Final = 10_000
_NAMED: Final = 100
_CHUNK: Final = 100
_HELD: Final = 2_000
"""Entries that all streams of one merge read ahead together."""
_HEAVY: Final = 16_384
"""Bytes of a message that is not kept while its stream waits."""
_TURN: Final = 500
"""Entries, or streams, after which others get their turn."""

Order = tuple[int, str, int]
_BEGIN: Final[Order] = (0, "", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """What is asked for.  start, end: epoch milliseconds, end included."""

    ref: GroupRef
    names: tuple[str, ...]
    prefix: str
    start: int
    end: int | None
    pattern: str
    matches: Matcher
    most: int

    @property
    def query(self) -> tuple[object, ...]:
        return (
            self.ref.arn,
            self.names,
            self.prefix,
            self.start,
            self.end,
            self.pattern,
        )

    def wants(self, event: Event) -> bool:
        """Tell whether an event is one that is asked for."""
        if event.at < self.start or (self.end is not None and event.at > self.end):
            return False
        return self.matches(event.message)


@dataclass(slots=True, kw_only=True)
class _Source:
    """A stream in the merge.  until: the last moment of taking in that matters."""

    log: Log
    account: str
    key: str
    name: str
    since: int
    until: int | None
    pace: Pace
    most: int = _CHUNK
    after: int = -1
    ready: deque[Event] = field(default_factory=deque)

    def head(self) -> Event | None:
        """Give the next event, or None at the end."""
        if not self.ready:
            self._fill()
        return self.ready[0] if self.ready else None

    def next(self) -> Event | None:
        """Go past the head; give the next event, or None at the end."""
        self.ready.popleft()
        return self.head()

    def _fill(self) -> None:
        if self.after < 0:
            self.after = seek(self.log, self.account, self.key, self.since)
        entries = self.log.read(
            self.account, self.key, after=self.after, limit=self.pace.chunk(self.most)
        )
        self.pace.note(entries)
        for entry in entries:
            event = unpacked(self.name, entry)
            self.after = entry.position
            if self.until is not None and event.ingested > self.until:
                break
            self.ready.append(event)

    def rest(self) -> None:
        """(4) Let go of what waits from the first heavy event on."""
        light = 0
        for event in self.ready:
            if len(event.message) >= _HEAVY:
                break
            light += 1
        if light < len(self.ready):
            self.after = self.ready[light].position - 1
            while len(self.ready) > light:
                self.ready.pop()


@dataclass(slots=True, kw_only=True)
class _Page:
    """What was found, and the place up to which was looked."""

    cursor: Order
    found: list[Event] = field(default_factory=list)
    held: int = 0
    looked: int = 0

    def takes(self, event: Event, search: _Search) -> bool:
        """Look at an event; False when it is wanted and the page is full."""
        self.looked += 1
        if event.order <= self.cursor:
            return True  # of the page before
        if search.wants(event):
            held = len(event.message.encode()) + EVENT_OVERHEAD
            if self.found and (
                self.held + held > PAGE_BYTES or len(self.found) >= search.most
            ):
                return False
            self.held += held
            self.found.append(event)
        self.cursor = event.order
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Searching:
    """Searches groups."""

    store: Store
    extents: Extents
    paging: Paging
    settings: LogSettings
    seats: Seats = field(default_factory=Seats)

    @operation(
        "FilterLogEvents",
        action="logs:FilterLogEvents",
        resource=names.of_group,
        accepts=(
            "logGroupName",
            "logGroupIdentifier",
            "logStreamNames",
            "logStreamNamePrefix",
            "startTime",
            "endTime",
            "filterPattern",
            "nextToken",
            "limit",
            "interleaved",
            "startFromHead",
            "unmask",
        ),
        only={"unmask": (False,), "startFromHead": (True,)},
        mutates=False,
        paginated=True,
        errors=(INVALID, "ResourceNotFoundException", "ServiceUnavailableException"),
    )
    async def filter(self, call: Admitted) -> Mapping[str, object]:
        """
        Search the events of a group.

        `interleaved` is looked at by nobody, as AWS documents: streams are
        always merged.
        """
        search = _search(call)
        if self.store.group(search.ref) is None:
            raise no_group()
        cursor = _read(self.paging.position(call, search.query))
        async with self.seats.of(search.ref.account):
            page, is_more = await self._merged(search, cursor)
        # (3)
        answer: dict[str, object] = {
            "events": [_shown(event) for event in sorted(page.found, key=_by_time)],
            "searchedLogStreams": [],
        }
        if is_more:
            answer["nextToken"] = self.paging.token(
                call, search.query, _write(page.cursor)
            )
        return answer

    async def _merged(self, search: _Search, cursor: Order) -> tuple[_Page, bool]:
        """Give what was found from a place on, and whether there may be more."""
        pace = Pace(most_bytes=self.settings.scanned_bytes)
        # (1)
        heap, sources = await self._sources(search, cursor, pace)
        # (2)
        page = _Page(cursor=cursor)
        while heap and page.looked < self.settings.scanned:
            await pace.turn()
            order, index = heapq.heappop(heap)
            source = sources[index]
            event = source.head()
            if event is None:
                continue
            if event.order != order:
                # What stood in the heap was a bound; now the event is known.
                heapq.heappush(heap, (event.order, index))
                if len(sources) > 1:
                    source.rest()
                continue
            if not page.takes(event, search):
                heapq.heappush(heap, (event.order, index))
                break
            following = source.next()
            if following is not None:
                heapq.heappush(heap, (following.order, index))
                if len(sources) > 1:
                    source.rest()
            if pace.is_spent and page.cursor > cursor:
                break
            if page.looked % _TURN == 0:
                await asyncio.sleep(0)
        return page, bool(heap)

    async def _sources(
        self, search: _Search, cursor: Order, pace: Pace
    ) -> tuple[list[tuple[Order, int]], list[_Source]]:
        heap: list[tuple[Order, int]] = []
        sources: list[_Source] = []
        for count, (name, stream) in enumerate(self._chosen(search)):
            source = self._source(search, cursor, name, stream, pace)
            if source is not None:
                heap.append(((source.since, name, 0), len(sources)))
                sources.append(source)
            if count % _TURN == _TURN - 1:
                await asyncio.sleep(0)
        heapq.heapify(heap)
        for source in sources:
            source.most = max(1, min(_CHUNK, _HELD // len(sources)))
        return heap, sources

    def _chosen(self, search: _Search) -> Iterator[tuple[str, Stream]]:
        if not search.names:
            yield from self.store.streams(search.ref, prefix=search.prefix)
            return
        for name in dict.fromkeys(search.names):
            stream = self.store.stream(search.ref, name)
            if stream is None:
                raise no_stream()
            yield name, stream

    def _source(
        self, search: _Search, cursor: Order, name: str, stream: Stream, pace: Pace
    ) -> _Source | None:
        """Give a stream's place in the merge; None if it has nothing to give."""
        ref = search.ref
        key = stream_key(ref, name)
        extent = self.extents.of(ref.account, key)
        if extent is None:
            return None
        if search.end is not None and extent.began - stream.late > search.end:
            return None
        since = max(cursor[0], search.start - stream.early, 0)
        if extent.ingested < since:
            return None
        until = None if search.end is None else search.end + stream.late
        return _Source(
            log=self.store.log,
            account=ref.account,
            key=key,
            name=name,
            since=since,
            until=until,
            pace=pace,
        )


def _search(call: Admitted) -> _Search:
    parameters = call.parameters
    chosen = texts(parameters, "logStreamNames") or ()
    prefix = text(parameters, "logStreamNamePrefix") or ""
    if chosen and prefix:
        raise invalid("give either `logStreamNames` or `logStreamNamePrefix`")
    if len(chosen) > _NAMED:
        raise invalid(f"`logStreamNames` has more than {_NAMED} names")
    pattern = text(parameters, "filterPattern") or ""
    return _Search(
        ref=names.here(names.named(parameters, call.scope), call.scope),
        names=tuple(names.stream_name(name) for name in chosen),
        prefix=prefix,
        start=integer(parameters, "startTime") or 0,
        end=integer(parameters, "endTime"),
        pattern=pattern,
        matches=compile_pattern(pattern),
        most=size(parameters, MOST, MOST),
    )


def _shown(event: Event) -> dict[str, object]:
    return {
        "logStreamName": event.stream,
        "timestamp": event.at,
        "message": event.message,
        "ingestionTime": event.ingested,
        "eventId": event_id(event),
    }


def event_id(event: Event) -> str:
    """Give an event's id: 56 digits, the same whenever it is read."""
    digest = hashlib.sha256(event.stream.encode()).digest()
    stream = int.from_bytes(digest[:8]) % 10**16
    return f"{event.at:020d}{stream:016d}{event.position:020d}"


def _by_time(event: Event) -> tuple[int, str, int]:
    return (event.at, event.stream, event.position)


def _write(order: Order) -> bytes:
    ingested, stream, position = order
    return f"{ingested}:{position}:{stream}".encode()


def _read(position: bytes) -> Order:
    if not position:
        return _BEGIN
    ingested, place, stream = position.decode().split(":", 2)
    return int(ingested), stream, int(place)
