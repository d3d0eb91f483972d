"""
Disk space held back for what must still be written when the disk is full.

A file of that size is kept allocated.  When a reserved write (the platform's
own log, a deletion) finds the disk full, the file is cut by a slice and the
write tried again.  From then on everything else is refused up front, so that
nobody but the reserved uses the space, until the file could be made whole.

Limit: on a file system that copies on write (btrfs, ZFS), an allocated file is
no promise of space for others.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import final

from casemate.substrate.ports import SubstrateError

_SLICES = 16
_SLACK = 262_144
"""Bytes that must be free beyond the reserve before it is called whole again."""

FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})


@final
class Reserve:
    """The space held back.  The writer's thread cuts and restores it."""

    def __init__(self, path: Path, size: int) -> None:
        """Take hold of the file; a full disk leaves it smaller, and not whole."""
        flags = os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        self._file = os.open(path, flags, 0o600)
        self._size = size
        self._slice = max(size // _SLICES, 1)
        self.whole = False
        if os.fstat(self._file).st_size > size:
            os.ftruncate(self._file, size)
        self.restore()

    @property
    def held(self) -> int:
        """How many bytes are held back now."""
        return os.fstat(self._file).st_size

    def free(self) -> int:
        """How many bytes of the file system are free to this user."""
        facts = os.fstatvfs(self._file)
        return facts.f_bavail * facts.f_frsize

    def cut(self) -> bool:
        """Give one slice up; False when nothing is left."""
        held = self.held
        if not held:
            return False
        self.whole = False
        os.ftruncate(self._file, max(held - self._slice, 0))
        return True

    def restore(self) -> bool:
        """Try to hold all of it again; give whether it is whole."""
        if self.whole or not self._size:
            self.whole = True
            return True
        if self.free() < self._size - self.held + _SLACK:
            return False
        try:
            os.posix_fallocate(self._file, 0, self._size)
        except OSError as error:
            if error.errno not in FULL_ERRNOS:
                raise SubstrateError(f"the reserve cannot be made: {error}") from error
            return False
        self.whole = True
        return True

    def close(self) -> None:
        """Let go of the file; it stays allocated."""
        os.close(self._file)
