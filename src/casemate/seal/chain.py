"""
The audit chain: every entry's hash covers the hash of the entry before it.

    start = SHA-256("casemate audit chain v1" | 0x00 | instance)
    hash  = SHA-256("casemate audit entry v1" | 0x00 | previous hash (32)
                    | position (8) | at (8, signed) | length of data (8) | data)

Positions count from 1.  at: epoch milliseconds.  Integers are big-endian.
Fixed widths and the length keep two different entries from giving the same
bytes; the two purposes keep a start from being an entry.

What the chain alone does not show is a cut tail, or a second history written
from some point on with all of its hashes: checkpoints do (`verify`).
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import final

HASH_BYTES = 32
_START = b"casemate audit chain v1\x00"
_ENTRY = b"casemate audit entry v1\x00"
_NUMBERS = struct.Struct(">QqQ")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """
    One entry of the chain, as stored.

    data: the record's canonical JSON.  hash: what was stored beside it, not
    believed before `verify`.
    """

    position: int
    at: int
    data: bytes
    hash: bytes


def start(instance: str) -> bytes:
    """Give the hash before the first entry; it binds the chain to its platform."""
    return hashlib.sha256(_START + instance.encode()).digest()


def link(previous: bytes, *, position: int, at: int, data: bytes) -> bytes:
    """Give the hash of an entry that follows the entry with the hash `previous`."""
    if len(previous) != HASH_BYTES:
        raise ValueError("the hash before an entry has 32 bytes")
    numbers = _NUMBERS.pack(position, at, len(data))
    return hashlib.sha256(_ENTRY + previous + numbers + data).digest()


def packed(stored_hash: bytes, data: bytes) -> bytes:
    """Join hash and record into the bytes of one log entry."""
    return stored_hash + data


def unpacked(position: int, at: int, entry: bytes) -> Link:
    """Read a log entry back; one too short for a hash becomes a link that fails."""
    return Link(
        position=position, at=at, data=entry[HASH_BYTES:], hash=entry[:HASH_BYTES]
    )
