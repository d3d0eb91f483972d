"""
Request ids.

A request id is a UUID version 7 (RFC 9562, section 5.7): its first 48 bits are
the time in milliseconds, so the record of a request can be found in a log that
is ordered by time, without an index that every call would have to write.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Final

Randomness = Callable[[int], bytes]
"""Gives so many unpredictable bytes."""

_RANDOM_BYTES: Final = 10
_VERSION: Final = 7


def request_id(now: float, randomness: Randomness) -> str:
    """Make a request id for a moment in epoch seconds."""
    tail = int.from_bytes(randomness(_RANDOM_BYTES))
    stamp = int(now * 1000) & 0xFFFF_FFFF_FFFF
    value = stamp << 80 | tail
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def moment(identifier: str) -> float | None:
    """Read the epoch seconds back; None if this is no id of ours."""
    try:
        value = uuid.UUID(identifier)
    except ValueError:
        return None
    if value.version != _VERSION or str(value) != identifier:
        return None
    return (value.int >> 80) / 1000
