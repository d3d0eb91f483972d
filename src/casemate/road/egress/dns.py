"""
DNS for a cell: bytes of a question in, bytes of an answer out; nothing forwarded.

Only the issued names exist.  A: the address; every other type: no data; every
other name: NXDOMAIN.  So neither a question nor its absence leaves the machine.

The question is read here by its fixed layout, not by a general DNS library:
one uncompressed name, a type and a class are all that there is to read, and
hostile bytes meet forty lines instead of a parser of every record type.
Nothing of a query is copied into the answer but its id, two flags and the
question itself, letter case included (which resolvers use as a nonce).

Sources: RFC 1035 section 4.1, RFC 6891 section 6.1 (a server without EDNS
ignores the OPT record), RFC 8020.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol, final

LARGEST_QUERY = 512
"""Bytes.  A question is at most 271, an OPT record of a stub adds some 20."""
_HEADER = struct.Struct(">6H")
_QUESTION = struct.Struct(">2H")
_ANSWER = struct.Struct(">HHHIH4s")
_OPT = struct.Struct(">BHHIH")
_QR, _AA, _RD, _RA, _CD = 0x8000, 0x0400, 0x0100, 0x0080, 0x0010
_OPCODE = 0x7800
_A, _OPT_TYPE, _IXFR, _AXFR, _IN = 1, 41, 251, 252, 1
_NAME_AT_12 = 0xC00C
_LONGEST_LABEL, _LONGEST_NAME = 63, 255
# A cell lives for minutes; its names and addresses never change in that time.
_TTL = 60


class Code(IntEnum):
    """Response codes."""

    NOERROR = 0
    FORMERR = 1
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


class Zone(Protocol):
    """The names of one cell."""

    def __call__(self, name: bytes, /) -> ipaddress.IPv4Address | None:
        """Give the address of a name in lower case without its last dot."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """
    What comes of a query.

    data: bytes to send; None drops it.  refused: the name that was asked for
    and does not exist, printable, for the record.
    """

    data: bytes | None
    refused: str | None = None


class _BadQuestionError(ValueError):
    """The bytes are not one question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    raw: bytes
    labels: tuple[bytes, ...]
    type: int
    klass: int


def answer(  # noqa: PLR0911 — one return for each way a query ends
    query: bytes, zone: Zone
) -> Reply:
    """Answer one query.  Total: any bytes give a reply or are dropped."""
    # (1) Without a header there is nobody to answer; an answer is never
    # answered (two such servers would talk for ever).
    if not _HEADER.size <= len(query) <= LARGEST_QUERY:
        return Reply(data=None)
    number, flags, *counts = _HEADER.unpack_from(query)
    if flags & _QR:
        return Reply(data=None)
    # (2) A standard query with one question, and at most an OPT record behind.
    echoed = flags & (_OPCODE | _RD | _CD)
    if flags & _OPCODE:
        return Reply(data=_compose(number, echoed, Code.NOTIMP))
    try:
        question = _read(query, tuple(counts))
    except _BadQuestionError:
        return Reply(data=_compose(number, echoed, Code.FORMERR))
    # (3) Of the Internet, and no transfer of a zone.
    if question.klass != _IN or question.type in {_AXFR, _IXFR}:
        return Reply(data=_compose(number, echoed, Code.REFUSED, question))
    # (4) A name that was issued to this cell, or none.
    name = b".".join(question.labels)
    address = None if _has_dot(question) else zone(name.lower())
    if address is None:
        return Reply(
            data=_compose(number, echoed, Code.NXDOMAIN, question),
            refused=_printable(question.labels),
        )
    given = address if question.type == _A else None
    return Reply(data=_compose(number, echoed, Code.NOERROR, question, given))


def _has_dot(question: _Question) -> bool:
    """Tell whether a dot hides inside a label, where it separates nothing."""
    return any(b"." in label for label in question.labels)


def _read(query: bytes, counts: tuple[int, ...]) -> _Question:
    questions, answers, authorities, additional = counts
    if questions != 1 or answers or authorities or additional > 1:
        raise _BadQuestionError
    labels, at = _labels(query)
    end = at + _QUESTION.size
    if end > len(query):
        raise _BadQuestionError
    kind, klass = _QUESTION.unpack_from(query, at)
    _must_be_opt(query[end:], additional)
    return _Question(
        raw=query[_HEADER.size : end], labels=labels, type=kind, klass=klass
    )


def _labels(query: bytes) -> tuple[tuple[bytes, ...], int]:
    """Read the name; compression has nothing to point at in a question."""
    labels: list[bytes] = []
    at = _HEADER.size
    while at < len(query):
        length = query[at]
        if length > _LONGEST_LABEL or at - _HEADER.size + length + 1 > _LONGEST_NAME:
            raise _BadQuestionError
        at += 1
        if not length:
            return tuple(labels), at
        labels.append(query[at : at + length])
        at += length
    raise _BadQuestionError


def _must_be_opt(rest: bytes, additional: int) -> None:
    """Accept nothing behind the question, or one whole OPT record."""
    if not additional and not rest:
        return
    if not additional or len(rest) < _OPT.size:
        raise _BadQuestionError
    root, kind, _size, _flags, length = _OPT.unpack_from(rest)
    if root or kind != _OPT_TYPE or len(rest) != _OPT.size + length:
        raise _BadQuestionError


def _compose(
    number: int,
    echoed: int,
    code: Code,
    question: _Question | None = None,
    address: ipaddress.IPv4Address | None = None,
) -> bytes:
    # Authoritative and "recursion available": without both, stub resolvers
    # take an empty answer for a referral and ask again elsewhere.
    flags = _QR | _AA | _RA | echoed | code
    counts = (int(question is not None), int(address is not None), 0, 0)
    data = _HEADER.pack(number, flags, *counts)
    if question is not None:
        data += question.raw
    if address is not None:
        data += _ANSWER.pack(_NAME_AT_12, _A, _IN, _TTL, 4, address.packed)
    return data


def _printable(labels: tuple[bytes, ...]) -> str:
    """Write a name as RFC 1035 section 5.1 does; it may hold any byte."""
    return ".".join("".join(map(_character, label)) for label in labels) or "."


def _character(byte: int) -> str:
    text = chr(byte)
    plain = text.isascii() and (text.isalnum() or text in "-_*")
    return text if plain else f"\\{byte:03d}"
