"""
Records in memory, exact and bounded.

Two dictionaries, young and old: what is used lives in the young one; when that
is full, it becomes the old one, and the old one is forgotten.  A hit is one
look-up in a dictionary.  An absent record is remembered as None.

Dropped: an ordered dictionary that moves each hit to its end; it cost twice as
much, and a second thread could fall between its two steps.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from enum import Enum
from typing import Final, final

from casemate.substrate.ports import Record

Name = tuple[str, str, str]
"""Account, table, key."""


class Unknown(Enum):
    """What a look-up gives for a name that is not remembered."""

    UNKNOWN = 0


UNKNOWN: Final = Unknown.UNKNOWN

_OVERHEAD = 600
"""Bytes of Python's objects for one entry, measured roughly."""

_LARGEST = 16
"""A value larger than this part of the cache is not remembered."""


@final
class Cache:
    """
    What `Records.get` has read, and what has been committed since.

    `young` is for reading by `young.get(name, UNKNOWN)`; on UNKNOWN ask
    `older`, then the file, then `fill`.
    """

    def __init__(self, size: int) -> None:
        self.young: dict[Name, Record | None] = {}
        self._old: dict[Name, Record | None] = {}
        self._half = size // 2
        self._bytes = 0
        self._lock = threading.Lock()
        self._commits = 0

    def commits(self) -> int:
        """Count the commits seen; to be taken before reading the file."""
        return self._commits

    def older(self, name: Name) -> Record | Unknown | None:
        """Look where what was not used lately is, and make it young."""
        with self._lock:
            found = self._old.get(name, UNKNOWN)
            if found is UNKNOWN:
                return UNKNOWN
            if name in self.young:
                return self.young[name]
            self._keep(name, self._old[name])
            return found

    def fill(self, name: Name, record: Record | None, commits: int) -> None:
        """
        Remember what was read, unless a commit came between.

        The reader may have seen the state before that commit, and would put an
        old record over the new one for good.
        """
        with self._lock:
            if commits == self._commits:
                self._keep(name, record)

    def committed(self, changes: Mapping[Name, Record | None]) -> None:
        """Replace what is remembered of the records that a commit has changed."""
        with self._lock:
            self._commits += 1
            for name, record in changes.items():
                if name in self.young or name in self._old:
                    self._old.pop(name, None)
                    self._keep(name, record)

    def _keep(self, name: Name, record: Record | None) -> None:
        size = _OVERHEAD + sum(map(len, name)) + (len(record.value) if record else 0)
        if size > self._half // _LARGEST:
            self.young.pop(name, None)
            self._old.pop(name, None)
            return
        self.young[name] = record
        self._bytes += size
        if self._bytes > self._half:
            self._old, self.young, self._bytes = self.young, {}, 0
