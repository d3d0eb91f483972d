"""
A cell's control group, through descriptors that the warden opened.

Reads and writes of a few microseconds on kernel files, so they are made on the
loop.  Both versions: v1 (hybrid hosts) and v2 (untested here).
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import final

_STAT_BYTES = 8192


@final
@dataclass(slots=True, kw_only=True)
class Cgroup:
    """
    The files of one cell's group.  version: 1 or 2.

    Once closed it touches none of the descriptors: a cell that ends while its
    answer is on the way is asked for its figures afterwards, and by then the
    numbers may be another tenant's.
    """

    version: int
    memory_peak: int
    memory_stat: int
    memory_events: int
    freezer: int
    is_open: bool = True

    def freeze(self) -> None:
        """Stop every thread of the cell.  Raises OSError when the cell is gone."""
        self._freezer(b"1" if self.version == 2 else b"FROZEN")  # noqa: PLR2004 — cgroup v2

    def thaw(self) -> None:
        """Let them run again.  Raises OSError when the cell is gone."""
        self._freezer(b"0" if self.version == 2 else b"THAWED")  # noqa: PLR2004 — cgroup v2

    def peak(self) -> int:
        """Give the most bytes the cell has had at once, `/tmp` included."""
        return int(self._read(self.memory_peak, 32) or b"0")

    def anonymous(self) -> int:
        """Give the bytes of the cell's own memory, without files and `/tmp`."""
        name = b"anon" if self.version == 2 else b"total_rss"  # noqa: PLR2004 — cgroup v2
        return _field(self._read(self.memory_stat, _STAT_BYTES), name)

    def kills(self) -> int:
        """Count processes of the cell that the kernel killed for memory."""
        return _field(self._read(self.memory_events, 1024), b"oom_kill")

    def close(self) -> None:
        """Let go of the files."""
        if not self.is_open:
            return
        self.is_open = False
        for descriptor in (
            self.memory_peak,
            self.memory_stat,
            self.memory_events,
            self.freezer,
        ):
            os.close(descriptor)

    def _freezer(self, word: bytes) -> None:
        if not self.is_open:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        os.pwrite(self.freezer, word, 0)

    def _read(self, descriptor: int, count: int) -> bytes:
        """Read a file of the group; a group that is gone has nothing to tell."""
        if not self.is_open:
            return b""
        try:
            return os.pread(descriptor, count, 0)
        except OSError as error:
            if error.errno == errno.ENODEV:
                return b""
            raise


def _field(text: bytes, name: bytes) -> int:
    """Read `name VALUE` from a flat keyed file; 0 if it is not there."""
    for line in text.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == name:
            return int(value)
    return 0
