"""
Read the index of a zip archive so strictly that only one reading is possible.

Zip tells everything twice (central directory and local headers) and lets data
hide before, between and behind the entries; readers differ on what they
believe.  Here the archive must be exactly the entries, back to back, then the
directory, then its end, and both tellings must agree.  Steps:

 (1) the end record: one, at the end, one disk, no zip64 directory;
 (2) the directory: as many records as told, filling exactly its bytes;
 (3) each record: known method, not encrypted, a kind of file that is taken;
 (4) each local header: the same name, method, flags, sizes and checksum;
 (5) the entries lie back to back from byte 0 to the directory: no overlap, no gap.

Source: PKWARE APPNOTE 6.3.10, sections 4.3 to 4.5.
"""

from __future__ import annotations

import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from casemate_cell.zip_names import Names, RefusedError, parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Read = Callable[[int, int], bytes]
    """`read(offset, count)`; fewer bytes at the end of the archive."""

STORED: Final = 0
DEFLATED: Final = 8

_END: Final = struct.Struct("<4s4H2IH")
_RECORD: Final = struct.Struct("<4s6H3I5H2I")
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_END_MARK, _RECORD_MARK, _LOCAL_MARK = b"PK\x05\x06", b"PK\x01\x02", b"PK\x03\x04"
_DESCRIPTOR_MARK: Final = b"PK\x07\x08"
_ZIP64_LOCATOR_MARK: Final = b"PK\x06\x07"
_ZIP64_LOCATOR_SIZE: Final = 20
_COMMENT_LIMIT: Final = 1024
_DESCRIPTOR_FLAG: Final = 1 << 3
# Compression level (1, 2), descriptor (3) and UTF-8 names (11); no other is known.
_FLAGS: Final = 0b0000_1000_0000_1110
_SENTINEL: Final = 0xFFFFFFFF
_SHORT_SENTINEL: Final = 0xFFFF
_ZIP64_EXTRA: Final = 1
_UNICODE_PATH_EXTRA: Final = 0x7075


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """
    One entry whose two tellings agree.

    data: offset of its compressed bytes.  size: bytes once unpacked, as told.
    """

    parts: tuple[str, ...]
    kind: int
    executable: bool
    method: int
    data: int
    compressed: int
    size: int
    checksum: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Record:
    """A central directory record, with what the local header must repeat."""

    name: bytes
    flags: int
    method: int
    checksum: int
    compressed: int
    size: int
    mode: int
    local: int


def read_index(read: Read, size: int, *, limit: int) -> list[Entry]:
    """
    Give the entries of an archive of `size` bytes, at most `limit` of them.

    Raises RefusedError.
    """
    start, length, count = _end(read, size)
    if not count:
        raise RefusedError("the package has no entries")
    if count > limit:
        raise RefusedError(f"the package has {count} entries; the limit is {limit}")
    records = list(_records(read(start, length), count))
    names = Names()
    entries, spans = [], []
    for record in records:
        entry = _entry(read, record, names)
        entries.append(entry)
        spans.append((record, entry))
    _check_spans(read, spans, start)
    return entries


def _end(read: Read, size: int) -> tuple[int, int, int]:
    """(1) Find the end record; give the directory's offset, length and count."""
    reach = min(size, _END.size + _COMMENT_LIMIT)
    tail = read(size - reach, reach)
    place = tail.find(_END_MARK)
    if place < 0 or len(tail) - place < _END.size:
        raise RefusedError("the package is not a zip archive, or is cut short")
    fields = _END.unpack_from(tail, place)
    _mark, disk, first_disk, here, count, length, start, comment = fields
    if tail.find(_END_MARK, place + 1) >= 0 or place + _END.size + comment != len(tail):
        raise RefusedError("the package has data behind its end record")
    if disk or first_disk or here != count:
        raise RefusedError("the package is part of a set of archives")
    end = size - reach + place
    before = read(max(0, end - _ZIP64_LOCATOR_SIZE), min(end, _ZIP64_LOCATOR_SIZE))
    if (
        _SENTINEL in (length, start)
        or count == _SHORT_SENTINEL
        or before.startswith(_ZIP64_LOCATOR_MARK)
    ):
        raise RefusedError("the package has a zip64 directory, which none here needs")
    if start + length != end:
        raise RefusedError("the package has data before or behind its directory")
    return start, length, count


def _records(directory: bytes, count: int) -> Iterator[_Record]:
    """(2) Cut the directory into its records."""
    place = 0
    for _ in range(count):
        if len(directory) - place < _RECORD.size:
            raise RefusedError("the package's directory is cut short")
        fields = _RECORD.unpack_from(directory, place)
        (mark, _made, _needed, flags, method, _time, _date, checksum) = fields[:8]
        compressed, size, name_length, extra_length, comment_length = fields[8:13]
        disk, _internal, external, local = fields[13:]
        place += _RECORD.size
        extra_at = place + name_length
        name, extra = (
            directory[place:extra_at],
            directory[extra_at : extra_at + extra_length],
        )
        place = extra_at + extra_length + comment_length
        if mark != _RECORD_MARK or place > len(directory) or disk:
            raise RefusedError("the package's directory is damaged")
        if _SENTINEL in (compressed, size, local):
            raise RefusedError("the package has zip64 entries, which none here needs")
        _check_extra(extra, name)
        yield _Record(
            name=name,
            flags=flags,
            method=method,
            checksum=checksum,
            compressed=compressed,
            size=size,
            mode=external >> 16,
            local=local,
        )
    if place != len(directory):
        raise RefusedError("the package's directory has data that is no record")


def _entry(read: Read, record: _Record, names: Names) -> Entry:
    """(3) Judge one record, and (4) hold its local header against it."""
    parts = parts_of(record.name)
    shown = f"`{'/'.join(parts)[:80]!a}`"
    if record.flags & ~_FLAGS:
        raise RefusedError(f"{shown} is encrypted or uses a feature that is not taken")
    if record.method not in (STORED, DEFLATED):
        raise RefusedError(f"{shown} is packed by method {record.method}; use deflate")
    kind = _kind(record, shown)
    names.add(parts, folder=kind == stat.S_IFDIR)
    if kind == stat.S_IFDIR and record.size:
        raise RefusedError(f"{shown} is a folder with content")
    if record.method == STORED and record.compressed != record.size:
        raise RefusedError(f"{shown} is stored in another size than it tells")
    return Entry(
        parts=parts,
        kind=kind,
        executable=bool(record.mode & 0o111),
        method=record.method,
        data=_data_offset(read, record, shown),
        compressed=record.compressed,
        size=record.size,
        checksum=record.checksum,
    )


def _kind(record: _Record, shown: str) -> int:
    """Tell file, folder or link; setuid and the like are not part of it."""
    told = stat.S_IFMT(record.mode)
    by_name = stat.S_IFDIR if record.name.endswith(b"/") else stat.S_IFREG
    if told not in (0, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
        raise RefusedError(f"{shown} is a device, pipe or socket")
    if told == stat.S_IFLNK and by_name == stat.S_IFREG:
        return told
    if told not in (0, by_name):
        raise RefusedError(
            f"{shown} is a file by name and a folder by mode, or reverse"
        )
    return by_name


def _data_offset(read: Read, record: _Record, shown: str) -> int:
    """(4) Check the local header; give the offset of the data behind it."""
    header = read(record.local, _LOCAL.size)
    if len(header) < _LOCAL.size:
        raise RefusedError(f"{shown} has no local header")
    fields = _LOCAL.unpack(header)
    mark, _needed, flags, method, _time, _date, checksum, compressed, size = fields[:9]
    name_length, extra_length = fields[9:]
    behind = read(record.local + _LOCAL.size, name_length + extra_length)
    name, extra = behind[:name_length], behind[name_length:]
    if mark != _LOCAL_MARK or len(extra) != extra_length:
        raise RefusedError(f"{shown} has no local header")
    if (name, flags, method) != (record.name, record.flags, record.method):
        raise RefusedError(f"{shown} is told differently in directory and entry")
    wide = _check_extra(extra, name)
    if wide and _SENTINEL in (compressed, size):
        size, compressed = wide
    told = (checksum, compressed, size)
    later = bool(flags & _DESCRIPTOR_FLAG) and not any(told)
    if not later and told != (record.checksum, record.compressed, record.size):
        raise RefusedError(f"{shown} is told differently in directory and entry")
    return record.local + _LOCAL.size + len(name) + len(extra)


def _check_extra(extra: bytes, name: bytes) -> tuple[int, int] | None:
    """Walk extra fields; refuse a second name; give zip64's (size, compressed)."""
    wide = None
    place = 0
    while len(extra) - place >= 4:  # noqa: PLR2004 — id and length, two bytes each
        field, length = struct.unpack_from("<HH", extra, place)
        content = extra[place + 4 : place + 4 + length]
        place += 4 + length
        if field == _UNICODE_PATH_EXTRA and content[5:] != name:
            raise RefusedError(f"`{name[:80]!r}` has a second, different name")
        if field == _ZIP64_EXTRA and len(content) == 16:  # noqa: PLR2004 — two u64
            wide = struct.unpack("<QQ", content)
    # Up to three bytes of padding are what zipalign leaves; more is not a field.
    if place > len(extra):
        raise RefusedError(f"`{name[:80]!r}` has damaged extra fields")
    return (wide[0], wide[1]) if wide else None


def _check_spans(
    read: Read, spans: list[tuple[_Record, Entry]], directory: int
) -> None:
    """(5) Entries must fill the archive from byte 0 to the directory."""
    spans.sort(key=lambda span: span[0].local)
    starts = [record.local for record, _entry in spans] + [directory]
    if starts[0]:
        raise RefusedError("the package has data before its first entry")
    for index, (record, entry) in enumerate(spans):
        gap = starts[index + 1] - (entry.data + entry.compressed)
        shown = f"`{'/'.join(entry.parts)[:80]!a}`"
        if gap < 0:
            raise RefusedError(f"{shown} overlaps the next entry")
        if gap and not _is_descriptor(
            read(entry.data + entry.compressed, min(gap, 32)), record
        ):
            raise RefusedError(f"{shown} is followed by data of no entry")


def _is_descriptor(content: bytes, record: _Record) -> bool:
    """Say whether bytes are exactly the data descriptor that a record calls for."""
    if not record.flags & _DESCRIPTOR_FLAG:
        return False
    told = (record.checksum, record.compressed, record.size)
    bodies = (struct.pack("<III", *told), struct.pack("<IQQ", *told))
    return content in (*bodies, *(_DESCRIPTOR_MARK + body for body in bodies))
