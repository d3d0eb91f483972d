"""
A cell's control group and `/tmp`, through descriptors that the warden opened.

Reads and writes of a few microseconds on kernel files, so they are made on the
loop.  Both versions: v1 (hybrid hosts) and v2 (untested here).
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Final, final

_STAT_BYTES: Final = 8192
_PROCESSES_BYTES: Final = 64  # room for more than one, which is all that is asked
_FILES: Final = {1: b"total_cache", 2: b"file"}
_SHARED: Final = {1: b"total_shmem", 2: b"shmem"}
_SWAPPED: Final = b"total_swap"  # version 1 only; under 2 a cell has no swap


@final
@dataclass(slots=True, kw_only=True)
class Cgroup:
    """
    The files of one cell's group.  version: 1 or 2.

    scratch: where to ask how full `/tmp` is; -1 before the cell has one.
    empty: what it said of `/tmp` while nothing of a tenant's could be in it.

    Once closed it touches none of the descriptors: a cell that ends while its
    answer is on the way is asked for its figures afterwards, and by then the
    numbers may be another tenant's.
    """

    version: int
    memory_peak: int
    memory_now: int
    memory_stat: int
    memory_events: int
    freezer: int
    processes: int
    scratch: int = -1
    empty: tuple[int, int] = (0, 0)
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

    def charged(self) -> int:
        """Give the bytes the cell has now, `/tmp` and cached files included."""
        return int(self._read(self.memory_now, 32) or b"0")

    def own(self) -> int:
        """
        Give the bytes of the cell's own memory, of whatever kind.

        All that is charged counts (memory files and shared maps, what the kernel
        holds for it) but for two: cached files, which the kernel takes back when
        it needs room, and the bytes of `/tmp`, which have a limit of their own.
        """
        # A function may fill or empty `/tmp` between two reads; the larger of both
        # sizes never makes memory of it.
        before = self._in_scratch()
        stat = self._read(self.memory_stat, _STAT_BYTES)
        charged = self.charged() + _field(stat, _SWAPPED)
        cached = _field(stat, _FILES[self.version]) - _field(
            stat, _SHARED[self.version]
        )
        return charged - cached - max(before, self._in_scratch())

    def weigh(self, scratch: int) -> None:
        """Take the descriptor that tells how full `/tmp` is."""
        if self.is_open:
            self.scratch = scratch
            self.empty = _used(scratch)
        else:
            os.close(scratch)

    def is_clean(self) -> bool:
        """
        Say whether `/tmp` is as it was given, and one process is left.

        That one is the runtime's own: it is the first of the cell's pid
        namespace, and with the first all others end.  A file that was removed
        and is still open counts as there; a process that has ended does not.
        """
        if not self.is_open or self.scratch < 0:
            return False
        return (
            self._read(self.processes, _PROCESSES_BYTES).count(b"\n") == 1
            and _used(self.scratch) == self.empty
        )

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
            self.memory_now,
            self.memory_stat,
            self.memory_events,
            self.freezer,
            self.processes,
        ):
            os.close(descriptor)
        if self.scratch >= 0:
            os.close(self.scratch)

    def _freezer(self, word: bytes) -> None:
        if not self.is_open:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        os.pwrite(self.freezer, word, 0)

    def _in_scratch(self) -> int:
        if not self.is_open or self.scratch < 0:
            return 0
        status = os.fstatvfs(self.scratch)
        return (status.f_blocks - status.f_bfree) * status.f_frsize

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


def _used(scratch: int) -> tuple[int, int]:
    """Count the blocks and the files of a filesystem, files without a name included."""
    status = os.fstatvfs(scratch)
    return status.f_blocks - status.f_bfree, status.f_files - status.f_ffree


def _field(text: bytes, name: bytes) -> int:
    """Read `name VALUE` from a flat keyed file; 0 if it is not there."""
    for line in text.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == name:
            return int(value)
    return 0
