"""
The keyholder's folder: small files, each replaced whole and durably.

A file is written beside, synced, renamed over the old one, and the folder is
synced: after a power loss there is the old file or the new one.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Self

from casemate_keyholder.refusal import StartRefusedError

_LARGEST = 65_536
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """An open folder; names in it are constants of this program, never input."""

    descriptor: int

    @classmethod
    def open(cls, path: str) -> Self:
        """Open a folder.  Raises StartRefusedError if others may enter it."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        status = os.fstat(descriptor)
        if stat.S_IMODE(status.st_mode) & 0o077 or status.st_uid != os.geteuid():
            os.close(descriptor)
            raise StartRefusedError(
                "the keyholder's folder must be its own, with mode 0700"
            )
        return cls(descriptor=descriptor)

    def status(self, name: str) -> os.stat_result:
        """Look at a file, not through a link.  Raises FileNotFoundError."""
        return os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)

    def has(self, name: str) -> bool:
        """Tell whether the file is there."""
        try:
            self.status(name)
        except FileNotFoundError:
            return False
        return True

    def read(self, name: str) -> bytes:
        """Read a whole file.  Raises OSError; StartRefusedError if absurdly large."""
        descriptor = os.open(name, _READ, dir_fd=self.descriptor)
        with open(descriptor, "rb") as file:  # noqa: PTH123 — a descriptor
            data = file.read(_LARGEST + 1)
        if len(data) > _LARGEST:
            raise StartRefusedError(f"`{name}` is damaged: it is too large")
        return data

    def write(self, name: str, data: bytes) -> None:
        """Replace a file, durably.  Raises OSError; the old file is then whole."""
        beside = f"{name}.new"
        descriptor = os.open(beside, _CREATE, 0o600, dir_fd=self.descriptor)
        with open(descriptor, "wb") as file:  # noqa: PTH123 — a descriptor
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, name, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        os.fsync(self.descriptor)
