"""
AWS's event stream encoding: messages of headers and a payload, each checked twice.

    u32be length of all, u32be length of the headers, u32be CRC-32 of these eight
    headers: u8 length, name, u8 type, value
    payload
    u32be CRC-32 of all before it

Only what the platform writes is here: text headers (type 7, with a u16be length).
Nothing is read.

Source: https://smithy.io/2.0/aws/amazon-eventstream.html
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final, final
from zlib import crc32

import orjson

from casemate.wire.json_shape import JsonWriters
from casemate.wire.model import OperationModel, Shape
from casemate.wire.trouble import UnsupportedProtocolError, WrongOutputError

MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"
HEADERS_LIMIT: Final = 128 * 1024
PAYLOAD_LIMIT: Final = 24 * 1024 * 1024

_LENGTHS: Final = struct.Struct(">II")
_CRC: Final = struct.Struct(">I")
_TEXT: Final = 7
_TEXT_HEAD: Final = struct.Struct(">BH")
_NAME_LIMIT: Final = 255
_VALUE_LIMIT: Final = 32_767
_BESIDES: Final = 16
"""Bytes of a message besides its headers and payload."""

EventWriter = Callable[[str, Mapping[str, object]], bytes]
"""Writes an event, of its name and its members.  Raises WrongOutputError."""


def message(headers: bytes, payload: bytes) -> bytes:
    """
    Frame a message.  headers: as `text_headers` writes them.

    Raises WrongOutputError for what no client would read.
    """
    if len(headers) > HEADERS_LIMIT or len(payload) > PAYLOAD_LIMIT:
        raise WrongOutputError("an event that is too large")
    whole = _BESIDES + len(headers) + len(payload)
    lengths = _LENGTHS.pack(whole, len(headers))
    start = b"".join((lengths, _CRC.pack(crc32(lengths)), headers))
    return b"".join((start, payload, _CRC.pack(crc32(payload, crc32(start)))))


def text_headers(headers: Mapping[str, str]) -> bytes:
    """Write headers that are texts.  Raises WrongOutputError for one too long."""
    return b"".join(_text_header(name, value) for name, value in headers.items())


def _text_header(name: str, value: str) -> bytes:
    named, valued = name.encode(), value.encode()
    if not 0 < len(named) <= _NAME_LIMIT or len(valued) > _VALUE_LIMIT:
        raise WrongOutputError(f"`{name[:64]!r}` cannot be a header of an event")
    return b"".join(
        (bytes((len(named),)), named, _TEXT_HEAD.pack(_TEXT, len(valued)), valued)
    )


def event_writer(operation: OperationModel, writers: JsonWriters) -> EventWriter:
    """Compile the writer of an operation's events, from its output shape."""
    written = {
        name: _Written.of(name, shape, writers)
        for name, shape in _union(operation).members.items()
    }

    def write(name: str, members: Mapping[str, object]) -> bytes:
        event = written.get(name)
        if event is None:
            raise WrongOutputError(f"`{operation.name}` has no event `{name}`")
        return message(event.headers, event.payload(members))

    return write


def _union(operation: OperationModel) -> Shape:
    shape = operation.output
    for member in shape.members.values() if shape else ():
        if member.traits.get("eventstream"):
            return member
    raise UnsupportedProtocolError(f"`{operation.name}` answers without events")


@final
class _Written:
    """One kind of event.  headers: those of every one, written."""

    __slots__ = ("_json", "_raw", "headers")

    def __init__(
        self, headers: bytes, raw: str | None, json: Callable[[object], object]
    ) -> None:
        self.headers = headers
        self._raw = raw
        self._json = json

    @classmethod
    def of(cls, name: str, shape: Shape, writers: JsonWriters) -> _Written:
        """Compile; the payload is a blob of its own, or the members as JSON."""
        raw = None
        for member, told in shape.members.items():
            if told.traits.get("eventheader"):
                raise UnsupportedProtocolError(f"`{member}` travels in an event header")
            if told.traits.get("eventpayload"):
                if told.type != "blob":
                    raise UnsupportedProtocolError(f"`{member}` is no payload of bytes")
                raw = member
        headers = text_headers(
            {
                ":event-type": name,
                ":content-type": (
                    "application/octet-stream" if raw else "application/json"
                ),
                ":message-type": "event",
            }
        )
        return cls(headers, raw, writers.writer(shape))

    def payload(self, members: Mapping[str, object]) -> bytes:
        """Write the members.  Raises WrongOutputError."""
        if self._raw is None:
            return orjson.dumps(self._json(members))
        value = members.get(self._raw, b"")
        if members.keys() - {self._raw} or not isinstance(value, bytes):
            raise WrongOutputError(f"this event has `{self._raw}`, of bytes, alone")
        return value
