"""
Ranges of uids: 65,536 for each cell, shared with no other live cell on the host.

The whole span is cut into sections; a platform leases one of them by a lock on a
file, so that two platforms on one host never hand out the same range. Within the
section ranges are used in turn, so that one comes back as late as possible.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from pathlib import Path
from typing import Final

from casemate_warden.bundle import RANGE
from casemate_warden.words import Refused

BASE: Final = 1_000_000_000
SECTIONS: Final = 16
PER_SECTION: Final = 3_000


class Ranges:
    """The free ranges of one section."""

    def __init__(self, section: int) -> None:
        """All of `section` is free."""
        first = BASE + section * PER_SECTION * RANGE
        self._free = deque(first + index * RANGE for index in range(PER_SECTION))

    def take(self) -> int:
        """The first uid of a range that nobody has."""
        if not self._free:
            raise Refused("no_room", "every range of uids is in use")
        return self._free.popleft()

    def give_back(self, first_uid: int) -> None:
        """The cell is gone, with every file and process of the range."""
        self._free.append(first_uid)


class Lease:
    """One section, held by a lock on a file in a folder that platforms share."""

    def __init__(self, folder: Path) -> None:
        """Takes the first free section; `Refused` when all are out."""
        for section in range(SECTIONS):
            path = folder / f".range-{section}"
            held = _locked(path)
            if held is not None:
                self.section = section
                self._path = path
                self._held = held
                return
        raise Refused("no_room", f"{SECTIONS} platforms run on this host already")

    def release(self) -> None:
        """Every cell of the section is gone."""
        self._path.unlink()
        os.close(self._held)


def _locked(path: Path) -> int | None:
    """A descriptor with the lock on the file that now has this name, if it is free."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    held = os.open(path, flags, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its last holder may have removed it between our open and our lock.
        if os.fstat(held).st_ino == path.stat().st_ino:
            return held
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(held)
    return None
