"""
Control frames of a managed Python cell, from the node's side.

    order   kind, deadline, five lengths; id, ARN, trace, client context, body
    said    word, two lengths; id, body

Numbers are of fixed size, big-endian.  What a cell says is bounded before it is
kept, and typed before it is believed: there is nothing in it to parse but two
lengths.  The first byte that breaks the form ends the cell.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, final

ORDER: Final = struct.Struct(">BqIIIII")
SAID: Final = struct.Struct(">BBI")
COUNTS: Final = struct.Struct(">QQ")
"""The body of `unpacked`: files, bytes."""
RESPONSE_LIMIT: Final = 6_291_556
"""Bytes of an answer: 6 MiB and 100 bytes, the number in Lambda's own error."""
ERROR_LIMIT: Final = 256 * 1024
REFUSAL_LIMIT: Final = 4096
ID_LIMIT: Final = 128
COUNT_LIMIT: Final = 1 << 40


class FrameError(Exception):
    """A cell has broken the form of its frames."""


class Order(IntEnum):
    """What a cell is told to do."""

    ASSIGN = 1
    INVOKE = 2
    UNPACK = 3
    BEGIN = 4


class Word(StrEnum):
    """What a cell may say."""

    WAITING = "waiting"
    INITIALIZED = "initialized"
    INIT_ERROR = "init_error"
    RESPONSE = "response"
    ERROR = "error"
    UNPACKED = "unpacked"
    UNPACK_REFUSED = "unpack_refused"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Form:
    """How a word is said.  body: bytes, at least and at most; has_id: if it has one."""

    word: Word
    body: tuple[int, int]
    has_id: bool = False


_FORMS: Final[Mapping[int, _Form]] = {
    1: _Form(word=Word.WAITING, body=(0, 0)),
    2: _Form(word=Word.INITIALIZED, body=(0, 0)),
    3: _Form(word=Word.INIT_ERROR, body=(0, ERROR_LIMIT)),
    4: _Form(word=Word.RESPONSE, body=(0, RESPONSE_LIMIT), has_id=True),
    5: _Form(word=Word.ERROR, body=(0, ERROR_LIMIT), has_id=True),
    6: _Form(word=Word.UNPACKED, body=(COUNTS.size, COUNTS.size)),
    7: _Form(word=Word.UNPACK_REFUSED, body=(0, REFUSAL_LIMIT)),
}
CODES: Final[Mapping[Word, int]] = {form.word: code for code, form in _FORMS.items()}
"""The byte that stands for each word."""


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


def order(kind: Order, words: Mapping[str, object]) -> bytes:
    """Write an order that is no event; its body is JSON."""
    body = _ENCODER.encode(words).encode()
    return ORDER.pack(kind, 0, 0, 0, 0, 0, len(body)) + body


def event(
    *,
    id: str,  # noqa: A002 — its name everywhere
    deadline_ms: int,
    arn: str,
    trace: str,
    client_context: str | None,
    payload: bytes,
) -> bytes:
    """Write the order to run an event.  deadline_ms: epoch milliseconds."""
    texts = id.encode(), arn.encode(), trace.encode(), (client_context or "").encode()
    head = ORDER.pack(Order.INVOKE, deadline_ms, *map(len, texts), len(payload))
    return b"".join((head, *texts, payload))


class Decoder:
    """Cuts what a cell writes into what it says; keeps one frame at the most."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._broken = False

    def feed(self, data: bytes | memoryview) -> list[Said]:
        """Take the next bytes; give what they complete.  Raises FrameError."""
        if self._broken:
            raise FrameError("the frames are broken already")
        try:
            return self._cut(data)
        except FrameError:
            self._broken = True
            self._held.clear()
            raise

    def _cut(self, data: bytes | memoryview) -> list[Said]:
        """Cut the frames off that are whole, and hold the rest."""
        said: list[Said] = []
        held = self._held
        if held:
            held += data
        source = held or data
        place = 0
        while one := _next(source, place):
            said.append(one[0])
            place = one[1]
        if held:
            del held[:place]
        else:
            held += data[place:]
        return said


def _next(data: bytes | bytearray | memoryview, place: int) -> tuple[Said, int] | None:
    """
    Read one frame and give where it ends; None if it is not whole yet.

    Its lengths are judged as soon as they are there.
    """
    start = place + SAID.size
    if len(data) < start:
        return None
    code, id_length, body_length = SAID.unpack_from(data, place)
    form = _FORMS.get(code)
    if form is None:
        raise FrameError(f"a frame of no known word, `{code}`")
    least, most = form.body
    if not least <= body_length <= most:
        raise FrameError(f"a body of {body_length} bytes with `{form.word}`")
    if id_length > ID_LIMIT or bool(id_length) is not form.has_id:
        raise FrameError(f"an id of {id_length} bytes with `{form.word}`")
    middle = start + id_length
    end = middle + body_length
    if len(data) < end:
        return None
    body = bytes(memoryview(data)[middle:end])
    if form.word is Word.UNPACKED:
        return _unpacked(body), end
    name = _id(bytes(data[start:middle]))
    return Said(word=form.word, id=name, body=body), end


def _id(raw: bytes) -> str:
    try:
        return raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise FrameError("an id that is no id") from error


def _unpacked(body: bytes) -> Said:
    files, size = COUNTS.unpack(body)
    if files > COUNT_LIMIT or size > COUNT_LIMIT:
        raise FrameError("a count that is no count")
    return Said(word=Word.UNPACKED, files=files, bytes=size)
