"""
The keyholder's own record: `verbs.log`, one JSON object a line.

It holds which verb was used when and on what, never a key or a token.  Five
files of 8 MiB at most; the oldest goes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import final

from casemate_keyholder.clock import Clock
from casemate_keyholder.files import Folder
from casemate_keyholder.refusal import RefusedError

NAME = "verbs.log"
FILE_LIMIT = 8 * 1024 * 1024
_OLDER = 4
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


@final
class Journal:
    """Appends lines, and turns to a new file when one is full."""

    def __init__(
        self, folder: Folder, clock: Clock, file_limit: int = FILE_LIMIT
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._limit = file_limit
        self._open()

    def write(self, facts: Mapping[str, object]) -> None:
        """Write a line.  Raises RefusedError `Unrecorded` if it cannot be written."""
        at = datetime.fromtimestamp(self._clock.now(), UTC).isoformat()
        line = json.dumps({"at": at, **facts}).encode() + b"\n"
        try:
            if self._size + len(line) > self._limit:
                self._turn()
            if os.write(self._descriptor, line) != len(line):
                raise OSError("short write")  # noqa: TRY301 — one way out below
        except OSError:
            raise RefusedError(
                "Unrecorded", "the verb could not be recorded, so it was not answered"
            ) from None
        self._size += len(line)

    def _open(self) -> None:
        folder = self._folder.descriptor
        self._descriptor = os.open(NAME, _FLAGS, 0o600, dir_fd=folder)
        self._size = os.fstat(self._descriptor).st_size

    def _turn(self) -> None:
        folder = self._folder.descriptor
        for number in range(_OLDER - 1, -1, -1):
            name = f"{NAME}.{number}" if number else NAME
            if self._folder.has(name):
                older = f"{NAME}.{number + 1}"
                os.replace(name, older, src_dir_fd=folder, dst_dir_fd=folder)
        full = self._descriptor
        self._open()
        os.close(full)
