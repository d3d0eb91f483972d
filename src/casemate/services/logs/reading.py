"""
GetLogEvents: one stream, forward and backward.

A page is a run of positions.  The forward token is the place after the run, the
backward token the place before it; where there is nothing (more) that way, the
token that came in goes out again, which is how a client knows the end.  Within
a page events stand in the order of their own times.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from casemate.core.call import Admitted
from casemate.core.operation import operation
from casemate.services.logs import names
from casemate.services.logs.extent import seek
from casemate.services.logs.model import Event, GroupRef, Stream, unpacked
from casemate.services.logs.pace import Pace, Seats
from casemate.services.logs.paging import Paging, size
from casemate.services.logs.parameters import flag, integer, needed, text
from casemate.services.logs.refusals import INVALID, invalid, no_group, no_stream
from casemate.services.logs.settings import EVENT_OVERHEAD, PAGE_BYTES, LogSettings
from casemate.services.logs.store import Store, stream_key
from casemate.substrate.ports import Entry

MOST: Final = 10_000
_CHUNK: Final = 500
_ALWAYS: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    """A stream and the times asked for: from `start`, before `end`, epoch ms."""

    account: str
    key: str
    name: str
    start: int
    end: int
    most: int


@dataclass(slots=True, kw_only=True)
class _Page:
    """
    Events found, and the run of positions that was looked at.

    after: the position before the run; before: the position past it.
    """

    events: list[Event]
    after: int
    before: int
    bytes: int = 0
    looked: int = 0

    def takes(self, event: Event, window: _Window) -> bool:
        """Take an event if it is asked for; False when the page is full."""
        if not window.start <= event.at < window.end:
            return True
        held = len(event.message.encode()) + EVENT_OVERHEAD
        if self.events and self.bytes + held > PAGE_BYTES:
            return False
        self.bytes += held
        self.events.append(event)
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Reads streams."""

    store: Store
    paging: Paging
    settings: LogSettings
    seats: Seats = field(default_factory=Seats)

    @operation(
        "GetLogEvents",
        action="logs:GetLogEvents",
        resource=names.of_stream,
        accepts=(
            "logGroupName",
            "logGroupIdentifier",
            "logStreamName",
            "startTime",
            "endTime",
            "nextToken",
            "limit",
            "startFromHead",
            "unmask",
        ),
        only={"unmask": (False,)},
        mutates=False,
        paginated=True,
        errors=(INVALID, "ResourceNotFoundException", "ServiceUnavailableException"),
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """Read a page of a stream."""
        ref = names.here(names.named(call.parameters, call.scope), call.scope)
        name = names.stream_name(needed(call.parameters, "logStreamName"))
        stream = self._stream(ref, name)
        window = _window(call, ref, name)
        query = (ref.arn, name, window.start, window.end)
        given = text(call.parameters, "nextToken")
        if given is None:
            forward = flag(call.parameters, "startFromHead")
            position = self._edge(window, stream, forward=forward)
        else:
            forward, position = self._place(call, query, given)
        async with self.seats.of(ref.account):
            page = await (
                self._forward(window, position)
                if forward
                else self._backward(window, position)
            )
        return self._answer(call, query, page, given, forward=forward)

    def _stream(self, ref: GroupRef, name: str) -> Stream:
        if self.store.group(ref) is None:
            raise no_group()
        stream = self.store.stream(ref, name)
        if stream is None:
            raise no_stream()
        return stream

    def _edge(self, window: _Window, stream: Stream, *, forward: bool) -> int:
        """Give where a first page begins: a position to read after, or before."""
        log = self.store.log
        if forward:
            if not window.start:
                return 0
            moment = window.start - stream.early
            return seek(log, window.account, window.key, moment)
        if window.end == _ALWAYS:
            newest = log.read_back(window.account, window.key, limit=1)
            return newest[0].position + 1 if newest else 1
        # Past it, nothing is old enough to have been taken in so late.
        moment = window.end + stream.late + 1
        return seek(log, window.account, window.key, moment) + 1

    def _place(
        self, call: Admitted, query: tuple[object, ...], given: str
    ) -> tuple[bool, int]:
        direction, _, token = given.partition("/")
        if direction not in ("f", "b"):
            raise invalid("The specified nextToken is invalid.")
        position = self.paging.opened(call, (*query, direction), token)
        return direction == "f", int(position)

    async def _forward(self, window: _Window, after: int) -> _Page:
        page = _Page(events=[], after=after, before=after + 1)
        pace = Pace(most_bytes=self.settings.scanned_bytes)
        while page.looked < self.settings.scanned and not pace.is_spent:
            limit = pace.chunk(_CHUNK)
            entries = self.store.log.read(
                window.account, window.key, after=page.before - 1, limit=limit
            )
            pace.note(entries)
            for entry in entries:
                if not self._fits(page, window, entry):
                    return page
                page.before = entry.position + 1
            if len(entries) < limit:
                return page
            await pace.turn()
        return page

    async def _backward(self, window: _Window, before: int) -> _Page:
        page = _Page(events=[], after=before - 1, before=before)
        pace = Pace(most_bytes=self.settings.scanned_bytes)
        while page.looked < self.settings.scanned and not pace.is_spent:
            limit = pace.chunk(_CHUNK)
            entries = self.store.log.read_back(
                window.account, window.key, before=page.after + 1, limit=limit
            )
            pace.note(entries)
            for entry in entries:
                if not self._fits(page, window, entry):
                    return page
                page.after = entry.position - 1
            if len(entries) < limit:
                return page
            await pace.turn()
        return page

    def _fits(self, page: _Page, window: _Window, entry: Entry) -> bool:
        page.looked += 1
        if len(page.events) >= window.most:
            return False
        return page.takes(unpacked(window.name, entry), window)

    def _answer(
        self,
        call: Admitted,
        query: tuple[object, ...],
        page: _Page,
        given: str | None,
        *,
        forward: bool,
    ) -> dict[str, object]:
        still = page.before == page.after + 1  # nothing was passed over
        events = sorted(page.events, key=lambda event: (event.at, event.position))

        def token(direction: str, position: int) -> str:
            if given is not None and still and (direction == "f") is forward:
                return given
            place = str(position).encode()
            return f"{direction}/{self.paging.token(call, (*query, direction), place)}"

        return {
            "events": [
                {"timestamp": e.at, "message": e.message, "ingestionTime": e.ingested}
                for e in events
            ],
            "nextForwardToken": token("f", page.before - 1),
            "nextBackwardToken": token("b", page.after + 1),
        }


def _window(call: Admitted, ref: GroupRef, name: str) -> _Window:
    start = integer(call.parameters, "startTime")
    end = integer(call.parameters, "endTime")
    return _Window(
        account=ref.account,
        key=stream_key(ref, name),
        name=name,
        start=start or 0,
        end=_ALWAYS if end is None else end,
        most=size(call.parameters, MOST, MOST),
    )
