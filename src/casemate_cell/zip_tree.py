"""
Write the entries of an archive below one descriptor, and nowhere else.

Every step goes by `openat` from the root's descriptor and follows no link;
files are made, never opened; links are made last, so nothing can be written
through one.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from casemate_cell.zip_index import STORED
from casemate_cell.zip_names import RefusedError, inside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from casemate_cell.zip_index import Entry, Read

CHUNK = 1 << 18
LINK_LIMIT = 1024
RATIO_LIMIT = 100
RATIO_FLOOR = 16 << 20
"""Bytes below which the ratio is not judged; a file of zeros packs 1,000 to 1."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """What is there now; bytes as written, not as told."""

    files: int
    bytes: int


class Tree:
    """Writes one archive's entries below a root descriptor."""

    def __init__(self, root: int, read: Read, archive_size: int, limit: int) -> None:
        """Write below `root`, at most `limit` bytes in all."""
        self._root = root
        self._read = read
        self._archive_size = archive_size
        self._limit = limit
        self._bytes = 0
        self._files = 0
        self._open_parts: tuple[str, ...] = ()
        self._open = os.dup(root)

    def write(self, entries: list[Entry]) -> Written:
        """Write them all.  Raises RefusedError; what is there then is thrown away."""
        links = [entry for entry in entries if entry.kind == stat.S_IFLNK]
        linked = {entry.parts for entry in links}
        try:
            for entry in entries:
                _refuse_passing(entry.parts, linked)
                self._write_one(entry)
            for entry in links:
                self._link(entry, linked)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise RefusedError("the package does not fit in its space") from error
            raise RefusedError(f"the package cannot be written: {error}") from error
        finally:
            os.close(self._open)
        return Written(files=self._files, bytes=self._bytes)

    def _write_one(self, entry: Entry) -> None:
        if entry.kind == stat.S_IFDIR:
            self._folder(entry.parts)
        elif entry.kind == stat.S_IFREG:
            content = self._content(entry)
            if _is_stale(entry.parts):
                # Byte code that came along may say another thing than its source
                # (X2): it is checked like the rest and not written.
                for _chunk in content:
                    pass
                return
            self._file(entry, content)

    def _file(self, entry: Entry, content: Iterator[bytes]) -> None:
        mode = 0o755 if entry.executable else 0o644
        folder = self._folder(entry.parts[:-1])
        descriptor = os.open(entry.parts[-1], _NEW, mode, dir_fd=folder)
        try:
            for chunk in content:
                view = memoryview(chunk)
                while view:
                    view = view[os.write(descriptor, view) :]
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        self._files += 1

    def _link(self, entry: Entry, linked: set[tuple[str, ...]]) -> None:
        content = b"".join(self._content(entry))
        try:
            target = content.decode()
        except UnicodeDecodeError as error:
            raise RefusedError("a link's target is not UTF-8") from error
        if len(content) > LINK_LIMIT:
            raise RefusedError(f"a link's target is longer than {LINK_LIMIT} bytes")
        _refuse_passing(inside(entry.parts, target), linked)
        folder = self._folder(entry.parts[:-1])
        os.symlink(target, entry.parts[-1], dir_fd=folder)
        self._files += 1

    def _folder(self, parts: tuple[str, ...]) -> int:
        """Make and open a folder, step by step; the last one is kept open."""
        if parts == self._open_parts:
            return self._open
        here = os.dup(self._root)
        try:
            for part in parts:
                here = _step(here, part)
        except BaseException:
            os.close(here)
            raise
        os.close(self._open)
        self._open, self._open_parts = here, parts
        return here

    def _content(self, entry: Entry) -> Iterator[bytes]:
        """Unpack an entry in bounded pieces; size and checksum must be as told."""
        shown = f"`{'/'.join(entry.parts)[:80]!a}`"
        checksum = size = 0
        pieces = _stored if entry.method == STORED else _inflated
        for piece in pieces(self._read, entry, shown):
            size += len(piece)
            if size > entry.size:
                raise RefusedError(f"{shown} holds more than it tells")
            checksum = zlib.crc32(piece, checksum)
            self._count(len(piece))
            yield piece
        if (size, checksum) != (entry.size, entry.checksum):
            raise RefusedError(f"{shown} is damaged: size or checksum is not as told")

    def _count(self, more: int) -> None:
        self._bytes += more
        if self._bytes > self._limit:
            raise RefusedError(
                f"unpacked, the package is larger than {self._limit} bytes"
            )
        if self._bytes > max(RATIO_FLOOR, RATIO_LIMIT * self._archive_size):
            raise RefusedError(
                f"the package unpacks to more than {RATIO_LIMIT} times its size"
            )


def _step(here: int, part: str) -> int:
    """Go one folder down, making it; closes where it came from."""
    try:
        os.mkdir(part, 0o755, dir_fd=here)
    except FileExistsError:
        below = os.open(part, _FOLDER, dir_fd=here)
    else:
        below = os.open(part, _FOLDER, dir_fd=here)
        os.fchmod(below, 0o755)
    os.close(here)
    return below


def _stored(read: Read, entry: Entry, _shown: str) -> Iterator[bytes]:
    end = entry.data + entry.compressed
    for place in range(entry.data, end, CHUNK):
        yield read(place, min(CHUNK, end - place))


def _inflated(read: Read, entry: Entry, shown: str) -> Iterator[bytes]:
    """Inflate with a bound on each step's output, whatever the input claims."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    end = entry.data + entry.compressed
    place = entry.data
    try:
        while not inflate.eof:
            pending = inflate.unconsumed_tail
            if not pending:
                pending = read(place, min(CHUNK, end - place))
                place += len(pending)
            piece = inflate.decompress(pending, CHUNK)
            if piece:
                yield piece
            elif not pending:
                raise RefusedError(f"{shown} is damaged: its data ends too early")
    except zlib.error as error:
        raise RefusedError(f"{shown} is damaged: {error}") from error
    if inflate.unused_data or place != end:
        raise RefusedError(f"{shown} has data behind its end")


def _refuse_passing(parts: tuple[str, ...], linked: set[tuple[str, ...]]) -> None:
    """Refuse a place that is reached through a link of the package's own."""
    for depth in range(1, len(parts)):
        if parts[:depth] in linked:
            name = "/".join(parts)[:80]
            raise RefusedError(f"`{name!a}` lies behind a symbolic link")


def _is_stale(parts: tuple[str, ...]) -> bool:
    return len(parts) > 1 and parts[-2] == "__pycache__" and parts[-1].endswith(".pyc")
