"""
The keys of logs in the substrate.

    account  kind of thing           name                  value
    tenant   record `logs.groups`    REGION/GROUP          Group
    tenant   record `logs.streams`   REGION:GROUP:STREAM   Stream
    tenant   stream of the log       REGION:GROUP:STREAM   events

Neither a region nor a group's name can contain `:`, so where the stream's name
begins is never in doubt.

A group is deleted from the inside out: its streams' events, their records, then
its own, so that a crash half way leaves a group that can be deleted again and
never events that a later group of the name would show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from typing import Final

import msgspec

from casemate.services.logs.model import Group, GroupRef, Stream, weight
from casemate.services.logs.refusals import aborted, exists, full, no_group
from casemate.substrate.ports import (
    Change,
    Delete,
    FullError,
    Log,
    Put,
    Records,
    RevisionConflictError,
)

GROUPS: Final = "logs.groups"
STREAMS: Final = "logs.streams"

TRIES: Final = 8
PAGE: Final = 500
_CHUNK: Final = 1_000

encode = msgspec.json.Encoder().encode
_group = msgspec.json.Decoder(Group).decode
_stream = msgspec.json.Decoder(Stream).decode


def group_key(ref: GroupRef) -> str:
    """Give the key of a group's record."""
    return f"{ref.region}/{ref.name}"


def stream_key(ref: GroupRef, stream: str) -> str:
    """Give the key of a stream's record, which is the name of its log."""
    return f"{ref.region}:{ref.name}:{stream}"


@contextmanager
def translated() -> Iterator[None]:
    """Turn a full disk into AWS's words."""
    try:
        yield
    except FullError as cause:
        raise full() from cause


class Store:
    """Groups and streams, as kept."""

    def __init__(self, records: Records, log: Log) -> None:
        self.records = records
        self.log = log
        self.deleting: set[tuple[str, str]] = set()
        """Account and key of groups that are being deleted; nothing is written."""

    def group(self, ref: GroupRef) -> Group | None:
        """Read a group."""
        record = self.records.get(ref.account, GROUPS, group_key(ref))
        return _group(record.value) if record else None

    def stream(self, ref: GroupRef, stream: str) -> Stream | None:
        """Read a stream."""
        record = self.records.get(ref.account, STREAMS, stream_key(ref, stream))
        return _stream(record.value) if record else None

    def groups(
        self, account: str, region: str, *, prefix: str = "", after: str = ""
    ) -> Iterator[tuple[GroupRef, Group]]:
        """Give the groups of an account in the order of their names."""
        start = f"{region}/"
        last = start + after if after else ""
        while page := self.records.scan(
            account, GROUPS, prefix=start + prefix, after=last, limit=PAGE
        ):
            for record in page:
                name = record.key.removeprefix(start)
                yield (
                    GroupRef(account=account, region=region, name=name),
                    _group(record.value),
                )
            last = page[-1].key

    def streams(
        self, ref: GroupRef, *, prefix: str = "", after: str = ""
    ) -> Iterator[tuple[str, Stream]]:
        """Give the streams of a group in the order of their names."""
        start = stream_key(ref, "")
        last = start + after if after else ""
        while page := self.records.scan(
            ref.account, STREAMS, prefix=start + prefix, after=last, limit=PAGE
        ):
            for record in page:
                yield record.key.removeprefix(start), _stream(record.value)
            last = page[-1].key

    async def create_group(self, ref: GroupRef, group: Group) -> None:
        """Write a group that must not exist.  Raises Conflict, Unavailable."""
        await self._create(_new_group(ref, group), "group")

    async def create_stream(self, ref: GroupRef, stream: str, value: Stream) -> None:
        """Write a stream that must not exist.  Raises Conflict, Unavailable."""
        await self._create(_new_stream(ref, stream, value), "stream")

    async def _create(self, put: Put, what: str) -> None:
        with translated():
            try:
                await self.records.commit(put)
            except RevisionConflictError as lost:
                raise exists(what) from lost

    async def ensure(self, wanted: Sequence[tuple[GroupRef, str]], now: int) -> None:
        """Make the groups and streams that are missing.  Raises SubstrateError."""
        for _ in range(TRIES):
            try:
                await self.records.commit(*self._missing(wanted, now))
            except RevisionConflictError:
                continue
            return

    def _missing(
        self, wanted: Sequence[tuple[GroupRef, str]], now: int
    ) -> Sequence[Change]:
        changes: dict[tuple[str, str], Change] = {}
        for ref, stream in wanted:
            if self.group(ref) is None:
                put = _new_group(ref, Group(created_at=now))
                changes[ref.account, f"g{put.key}"] = put
            if self.stream(ref, stream) is None:
                put = _new_stream(ref, stream, Stream(created_at=now))
                changes[ref.account, f"s{put.key}"] = put
        return list(changes.values())

    async def change_group(self, ref: GroupRef, edit: Callable[[Group], Group]) -> None:
        """Change a group.  Raises NotFound, Conflict, Unavailable."""
        for _ in range(TRIES):
            record = self.records.get(ref.account, GROUPS, group_key(ref))
            if record is None:
                raise no_group()
            put = Put(
                account=ref.account,
                table=GROUPS,
                key=record.key,
                value=encode(edit(_group(record.value))),
                expected=record.revision,
            )
            with translated():
                try:
                    await self.records.commit(put)
                except RevisionConflictError:
                    continue
            return
        raise aborted()

    async def widen(self, ref: GroupRef, stream: str, *, late: int, early: int) -> None:
        """Note how far a stream's events may lie from when they were taken in."""
        for _ in range(TRIES):
            key = stream_key(ref, stream)
            record = self.records.get(ref.account, STREAMS, key)
            if record is None:
                return
            there = _stream(record.value)
            if late <= there.late and early <= there.early:
                return
            value = replace(
                there, late=max(late, there.late), early=max(early, there.early)
            )
            put = Put(
                account=ref.account,
                table=STREAMS,
                key=key,
                value=encode(value),
                expected=record.revision,
            )
            with translated():
                try:
                    await self.records.commit(put)
                except RevisionConflictError:
                    continue
            return
        raise aborted()

    def held(self, ref: GroupRef, stream: str) -> int:
        """Weigh a stream: the bytes of its messages."""
        key, size, after = stream_key(ref, stream), 0, 0
        while page := self.log.read(ref.account, key, after=after, limit=_CHUNK):
            size += sum(weight(entry) for entry in page)
            after = page[-1].position
        return size

    async def delete_streams(self, ref: GroupRef, streams: Sequence[str]) -> None:
        """Delete streams with their events.  Raises Unavailable."""
        with translated():
            for stream in streams:
                await self.log.drop(ref.account, stream_key(ref, stream))
            await self.records.commit(
                *(
                    Delete(
                        account=ref.account,
                        table=STREAMS,
                        key=stream_key(ref, stream),
                    )
                    for stream in streams
                )
            )

    async def delete_group(self, ref: GroupRef) -> None:
        """Delete a group with all that is in it.  Raises Unavailable."""
        place = (ref.account, group_key(ref))
        self.deleting.add(place)
        try:
            while names := [name for name, _ in islice(self.streams(ref), PAGE)]:
                await self.delete_streams(ref, names)
            with translated():
                await self.records.commit(
                    Delete(account=ref.account, table=GROUPS, key=group_key(ref))
                )
        finally:
            self.deleting.discard(place)


def _new_group(ref: GroupRef, group: Group) -> Put:
    return Put(
        account=ref.account,
        table=GROUPS,
        key=group_key(ref),
        value=encode(group),
        expected=0,
    )


def _new_stream(ref: GroupRef, stream: str, value: Stream) -> Put:
    return Put(
        account=ref.account,
        table=STREAMS,
        key=stream_key(ref, stream),
        value=encode(value),
        expected=0,
    )
