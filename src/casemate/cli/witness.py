"""
What a witness has received, for `casemate audit verify --witness FILE`.

Only the end of the file is read: a checkpoint vouches for all before it, so the
last one that holds says what the whole file says.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

LINES: Final = 1_000
"""Checkpoints that are held against the chain: the last ones."""
_TAIL: Final = LINES * 1_024
_STATEMENT: Final = 4_096
_SIGNATURE: Final = 128


class WitnessError(Exception):
    """The witness cannot be read; the text says why."""


def read(path: Path) -> list[dict[str, str]]:
    """
    Give the last checkpoints, as VerifyAudit takes them.  Raises WitnessError.

    A line that is none, as an interrupted write leaves it, is passed over: it
    vouches for nothing.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL))
            data = file.read(_TAIL)
    except OSError as error:
        raise WitnessError(f"--witness {path}: {error.strerror}") from error
    lines = data.split(b"\n")[1 if size > _TAIL else 0 :]
    found = [checkpoint for line in lines if (checkpoint := _checkpoint(line))]
    if not found:
        raise WitnessError(f"--witness {path}: there is no checkpoint in it")
    return found[-LINES:]


def _checkpoint(line: bytes) -> dict[str, str] | None:
    try:
        said = json.loads(line)
        statement, signature = said["statement"], said["signature"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if not isinstance(statement, str) or not isinstance(signature, str):
        return None
    if not 0 < len(statement) <= _STATEMENT or len(signature) != _SIGNATURE:
        return None
    return {"Statement": statement, "Signature": signature}
