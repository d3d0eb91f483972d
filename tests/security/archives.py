"""
Zip archives that lie: every field of both tellings can be set.

`zipfile` writes only archives that are whole, so these are put together by
hand.  Source: PKWARE APPNOTE 6.3.10, section 4.3.
"""

from __future__ import annotations

import stat
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_RECORD: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_DATE: Final = (2026 - 1980) << 9 | 1 << 5 | 1
UNIX: Final = 3 << 8 | 20

HANDLER: Final = b"def handler(event, context):\n    return 'ran'\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    One entry.  What is None is told truthfully.

    raw: the bytes as stored.  told_*: what the directory says instead.
    local_*: what the local header says instead.  at: another entry's place.
    """

    name: bytes
    raw: bytes = b""
    method: int = 0
    size: int = 0
    checksum: int = 0
    flags: int = 0
    mode: int = stat.S_IFREG | 0o644
    extra: bytes = b""
    told_size: int | None = None
    told_compressed: int | None = None
    told_checksum: int | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    at: int | None = None


def stored(name: str | bytes, content: bytes = b"", **lies: object) -> Entry:
    """Make an entry that is not compressed."""
    return Entry(
        **{
            "name": name.encode() if isinstance(name, str) else name,
            "raw": content,
            "size": len(content),
            "checksum": zlib.crc32(content),
            **lies,
        }  # type: ignore[arg-type] # the caller's lies have the fields' types
    )


def deflated(name: str, content: bytes, level: int = 6, **lies: object) -> Entry:
    """Make a compressed entry."""
    press = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
    raw = press.compress(content) + press.flush()
    told = {
        "raw": raw,
        "method": 8,
        "size": len(content),
        "checksum": zlib.crc32(content),
    }
    return stored(name, b"", **{**told, **lies})


def link(name: str, target: str) -> Entry:
    """Make a symbolic link."""
    return stored(name, target.encode(), mode=stat.S_IFLNK | 0o777)


def archive(
    entries: Sequence[Entry], *, before: bytes = b"", behind: bytes = b""
) -> bytes:
    """Put an archive together."""
    body, directory = bytearray(before), bytearray()
    for entry in entries:
        place = len(body) if entry.at is None else entry.at
        if entry.at is None:
            body += _local(entry)
        directory += _record(entry, place)
    count = min(len(entries), 0xFFFF)
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), len(body), 0)
    return bytes(body + directory + end + behind)


def package(*entries: Entry, before: bytes = b"", behind: bytes = b"") -> bytes:
    """Put a package together whose handler is whole; the entries come behind it."""
    return archive(
        [stored("handler.py", HANDLER), *entries], before=before, behind=behind
    )


def _local(entry: Entry) -> bytes:
    name = entry.name if entry.local_name is None else entry.local_name
    size = entry.size if entry.local_size is None else entry.local_size
    head = _LOCAL.pack(
        b"PK\x03\x04",
        20,
        entry.flags,
        entry.method,
        0,
        _DATE,
        entry.checksum,
        len(entry.raw),
        size,
        len(name),
        len(entry.extra),
    )
    return head + name + entry.extra + entry.raw


def _record(entry: Entry, place: int) -> bytes:
    head = _RECORD.pack(
        b"PK\x01\x02",
        UNIX,
        20,
        entry.flags,
        entry.method,
        0,
        _DATE,
        _or(entry.told_checksum, entry.checksum),
        _or(entry.told_compressed, len(entry.raw)),
        _or(entry.told_size, entry.size),
        len(entry.name),
        len(entry.extra),
        0,
        0,
        0,
        entry.mode << 16,
        place,
    )
    return head + entry.name + entry.extra


def _or(told: int | None, true: int) -> int:
    return true if told is None else told
