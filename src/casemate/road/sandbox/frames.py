"""
Control frames of a managed Python cell, from the node's side.

`u32be header length, u32be body length, header (JSON), body`.  What a cell
sends is bounded before it is kept, and typed before it is believed; the first
byte that breaks the form ends the cell.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

LENGTHS: Final = struct.Struct(">II")
HEADER_LIMIT: Final = 4096
RESPONSE_LIMIT: Final = 6_291_556
"""Bytes of an answer: 6 MiB and 100 bytes, the number in Lambda's own error."""
ERROR_LIMIT: Final = 256 * 1024
ID_LIMIT: Final = 128
COUNT_LIMIT: Final = 1 << 40


class FrameError(Exception):
    """A cell has broken the form of its frames."""


class Word(StrEnum):
    """What a cell may say."""

    WAITING = "waiting"
    INITIALIZED = "initialized"
    INIT_ERROR = "init_error"
    RESPONSE = "response"
    ERROR = "error"
    UNPACKED = "unpacked"
    UNPACK_REFUSED = "unpack_refused"


_BODY_LIMITS: Final[Mapping[Word, int]] = {
    Word.WAITING: 0,
    Word.INITIALIZED: 0,
    Word.INIT_ERROR: ERROR_LIMIT,
    Word.RESPONSE: RESPONSE_LIMIT,
    Word.ERROR: ERROR_LIMIT,
    Word.UNPACKED: 0,
    Word.UNPACK_REFUSED: 4096,
}
_MEMBERS: Final[Mapping[Word, frozenset[str]]] = {
    Word.WAITING: frozenset({"type"}),
    Word.INITIALIZED: frozenset({"type"}),
    Word.INIT_ERROR: frozenset({"type"}),
    Word.RESPONSE: frozenset({"type", "id"}),
    Word.ERROR: frozenset({"type", "id"}),
    Word.UNPACKED: frozenset({"type", "files", "bytes"}),
    Word.UNPACK_REFUSED: frozenset({"type"}),
}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One thing that a cell said.  id: of the invocation, or empty."""

    word: Word
    id: str = ""
    body: bytes = b""
    files: int = 0
    bytes: int = 0


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), check_circular=False)


def encode(header: Mapping[str, object], body: bytes = b"") -> bytes:
    """Write a frame of the node's."""
    text = _ENCODER.encode(header).encode()
    return LENGTHS.pack(len(text), len(body)) + text + body


class Decoder:
    """Cuts what a cell writes into what it says; keeps one frame at the most."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._header: dict[str, object] | None = None
        self._word = Word.WAITING
        self._body_length = 0
        self._broken = False

    def feed(self, data: bytes | memoryview) -> list[Said]:
        """Take the next bytes; give what they complete.  Raises FrameError."""
        if self._broken:
            raise FrameError("the frames are broken already")
        self._held += data
        said: list[Said] = []
        try:
            while (one := self._next()) is not None:
                said.append(one)
        except FrameError:
            self._broken = True
            self._held.clear()
            raise
        return said

    def _next(self) -> Said | None:
        if self._header is None and not self._read_header():
            return None
        if self._header is None or len(self._held) < self._body_length:
            return None
        body = bytes(memoryview(self._held)[: self._body_length])
        del self._held[: self._body_length]
        header, self._header = self._header, None
        return _said(self._word, header, body)

    def _read_header(self) -> bool:
        if len(self._held) < LENGTHS.size:
            return False
        header_length, body_length = LENGTHS.unpack_from(self._held)
        if not 0 < header_length <= HEADER_LIMIT:
            raise FrameError(f"a header of {header_length} bytes")
        if body_length > RESPONSE_LIMIT:
            raise FrameError(f"a body of {body_length} bytes")
        end = LENGTHS.size + header_length
        if len(self._held) < end:
            return False
        header = _parse(bytes(memoryview(self._held)[LENGTHS.size : end]))
        del self._held[:end]
        word = _word(header)
        if body_length > _BODY_LIMITS[word]:
            raise FrameError(f"a body of {body_length} bytes with `{word}`")
        self._header, self._word, self._body_length = header, word, body_length
        return True


def _parse(text: bytes) -> dict[str, object]:
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError("a header that is not JSON") from error
    if not isinstance(header, dict):
        raise FrameError("a header that is not an object")
    return header


def _word(header: Mapping[str, object]) -> Word:
    kind = header.get("type")
    try:
        word = Word(kind)  # type: ignore[arg-type] # any value is judged here
    except (ValueError, TypeError) as error:
        raise FrameError("a frame of no known type") from error
    if header.keys() != _MEMBERS[word]:
        raise FrameError(f"a `{word}` with other members than its own")
    return word


def _said(word: Word, header: Mapping[str, object], body: bytes) -> Said:
    request_id = header.get("id", "")
    if not isinstance(request_id, str) or len(request_id) > ID_LIMIT:
        raise FrameError(f"a `{word}` whose id is no id")
    return Said(
        word=word,
        id=request_id,
        body=body,
        files=_count(header.get("files", 0)),
        bytes=_count(header.get("bytes", 0)),
    )


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= COUNT_LIMIT:
        raise FrameError("a count that is no count")
    return value
