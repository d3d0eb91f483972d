"""What is kept of groups, streams and events."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, final

from casemate.substrate.ports import Entry, NewEntry

_INGESTED: Final = struct.Struct(">Q")

NEAR: Final = 60_000
"""Milliseconds by which every event may differ from when it was taken in."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRef:
    """Which group."""

    account: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        """Give the ARN, without the `:*` that stands for its streams."""
        return f"arn:aws:logs:{self.region}:{self.account}:log-group:{self.name}"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """
    A log group.

    created_at: epoch milliseconds.  retention_days: None keeps for ever.
    stored_bytes: of messages, as of the last minute.
    """

    created_at: int
    retention_days: int | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    stored_bytes: int = 0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """
    A log stream.

    created_at: epoch milliseconds.  late, early: milliseconds by which its
    events' own times may lie before and after the moment they were taken in;
    a search by time looks that much further.
    """

    created_at: int
    late: int = NEAR
    early: int = NEAR


class Source(StrEnum):
    """Who wrote an event."""

    CLIENT = "client"
    FUNCTION = "function"
    PLATFORM = "platform"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event.  at, ingested: epoch milliseconds.  position: in its stream."""

    stream: str
    position: int
    at: int
    ingested: int
    message: str

    @property
    def order(self) -> tuple[int, str, int]:
        """Give its place among all events of its group."""
        return (self.ingested, self.stream, self.position)


def packed(*, at: int, ingested: int, source: Source, message: bytes) -> NewEntry:
    """Make an entry of the substrate's log.  message: UTF-8."""
    return NewEntry(at=at, kind=source.value, data=_INGESTED.pack(ingested) + message)


def unpacked(stream: str, entry: Entry) -> Event:
    """Read an entry of the substrate's log."""
    (ingested,) = _INGESTED.unpack_from(entry.data)
    return Event(
        stream=stream,
        position=entry.position,
        at=entry.at,
        ingested=ingested,
        message=entry.data[_INGESTED.size :].decode("utf-8", "replace"),
    )


def weight(entry: Entry | NewEntry) -> int:
    """Give the bytes of an entry's message."""
    return len(entry.data) - _INGESTED.size
