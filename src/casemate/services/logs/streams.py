"""The operations on streams: make, list, delete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from casemate.core.call import Admitted
from casemate.core.clock import Clock
from casemate.core.operation import operation
from casemate.services.logs import names
from casemate.services.logs.extent import Extents
from casemate.services.logs.ledger import Ledger
from casemate.services.logs.model import GroupRef, Stream
from casemate.services.logs.paging import Paging, size
from casemate.services.logs.parameters import flag, needed, text
from casemate.services.logs.refusals import (
    INVALID,
    invalid,
    limit,
    no_group,
    no_stream,
)
from casemate.services.logs.settings import LogSettings
from casemate.services.logs.store import Store, stream_key

PAGE: Final = 50
_ERRORS: Final = (INVALID, "ResourceNotFoundException", "ServiceUnavailableException")


@dataclass(frozen=True, slots=True, kw_only=True)
class Streams:
    """Log streams."""

    store: Store
    extents: Extents
    ledger: Ledger
    listing: Paging
    clock: Clock
    settings: LogSettings

    @operation(
        "CreateLogStream",
        action="logs:CreateLogStream",
        resource=names.of_group,
        accepts=("logGroupName", "logStreamName"),
        mutates=True,
        errors=(*_ERRORS, "LimitExceededException", "ResourceAlreadyExistsException"),
    )
    async def create(self, call: Admitted) -> Mapping[str, object]:
        """Make a stream in a group."""
        ref = self._group(call)
        stream = names.stream_name(needed(call.parameters, "logStreamName"))
        most = self.settings.streams
        if sum(1 for _ in islice(self.store.streams(ref), most)) >= most:
            raise limit(f"the log group has {most} streams, which is the most")
        now = int(self.clock.now() * 1000)
        await self.store.create_stream(ref, stream, Stream(created_at=now))
        return {}

    @operation(
        "DescribeLogStreams",
        action="logs:DescribeLogStreams",
        resource=names.of_group,
        accepts=(
            "logGroupName",
            "logGroupIdentifier",
            "logStreamNamePrefix",
            "orderBy",
            "descending",
            "nextToken",
            "limit",
        ),
        mutates=False,
        paginated=True,
        errors=_ERRORS,
    )
    async def describe(self, call: Admitted) -> Mapping[str, object]:
        """List the streams of a group, by name or by the time of the last event."""
        ref = self._group(call)
        parameters = call.parameters
        prefix = text(parameters, "logStreamNamePrefix") or ""
        by_time = text(parameters, "orderBy") == "LastEventTime"
        if by_time and prefix:
            raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
        descending = flag(parameters, "descending")
        most = size(parameters, PAGE, PAGE)
        query = (ref.arn, prefix, by_time, descending)
        keyed = sorted(
            (
                (self._last(ref, name) if by_time else 0, name, stream)
                for name, stream in self.store.streams(ref, prefix=prefix)
            ),
            key=_place,
            reverse=descending,
        )
        if position := self.listing.position(call, query):
            after = _read(position)
            keyed = [
                one
                for one in keyed
                if (_place(one) < after if descending else _place(one) > after)
            ]
        answer: dict[str, object] = {
            "logStreams": [self._shown(ref, name, s) for _, name, s in keyed[:most]]
        }
        if len(keyed) > most:
            moment, name, _ = keyed[most - 1]
            position = f"{moment}:{name}".encode()
            answer["nextToken"] = self.listing.token(call, query, position)
        return answer

    @operation(
        "DeleteLogStream",
        action="logs:DeleteLogStream",
        resource=names.of_stream,
        accepts=("logGroupName", "logStreamName"),
        mutates=True,
        errors=(*_ERRORS, "OperationAbortedException"),
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        """Delete a stream with its events."""
        ref = self._group(call)
        stream = names.stream_name(needed(call.parameters, "logStreamName"))
        if self.store.stream(ref, stream) is None:
            raise no_stream()
        held = self.store.held(ref, stream)
        await self.store.delete_streams(ref, [stream])
        self.extents.forget(ref.account, stream_key(ref, stream))
        self.ledger.add(ref, -held)
        return {}

    def _group(self, call: Admitted) -> GroupRef:
        ref = names.here(names.named(call.parameters, call.scope), call.scope)
        if self.store.group(ref) is None:
            raise no_group()
        return ref

    def _last(self, ref: GroupRef, name: str) -> int:
        extent = self.extents.of(ref.account, stream_key(ref, name))
        return extent.last if extent else 0

    def _shown(self, ref: GroupRef, name: str, stream: Stream) -> dict[str, object]:
        shown: dict[str, object] = {
            "logStreamName": name,
            "creationTime": stream.created_at,
            "arn": f"{ref.arn}:log-stream:{name}",
            "storedBytes": 0,  # AWS gives no size of a stream since 2019
        }
        extent = self.extents.of(ref.account, stream_key(ref, name))
        if extent:
            shown["firstEventTimestamp"] = extent.first
            shown["lastEventTimestamp"] = extent.last
            shown["lastIngestionTime"] = extent.ingested
        return shown


def _place(one: tuple[int, str, Stream]) -> tuple[int, str]:
    return one[:2]


def _read(position: bytes) -> tuple[int, str]:
    moment, _, name = position.decode().partition(":")
    return int(moment), name
