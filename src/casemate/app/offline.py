"""
Judging the audit chain of a folder whose platform is down.

    python -I -m casemate.app.offline INSTANCE

Runs as the node's user in the node's folder, so that it leaves nothing behind
that the node could not use; descriptor 3 is a line to a keyholder.  Reads what
a witness has received as JSON from stdin, writes the verdict as JSON, or one line
on stderr.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from casemate.app.audit import disowned, judge
from casemate.app.keyring import FILE, KeyRing
from casemate.core.clock import SystemClock
from casemate.seal.checkpoint import Checkpoint
from casemate.seal.envelope import Envelope
from casemate.seal.keyholder import (
    Keyholder,
    KeyholderError,
    KeyholderRefusedError,
)
from casemate.seal.verdict import Verdict
from casemate.services.casemate_.telling import judged, witnessed
from casemate.substrate.ports import SubstrateError
from casemate.substrate.sqlite import open_store

_LINE: Final = 3
_FOLDER: Final = Path()


async def verdict(
    instance: str, line: socket.socket, witness: Sequence[Checkpoint]
) -> dict[str, object]:
    """Open the store of the current folder and judge its chain."""
    keyholder = Keyholder(line)
    ring = KeyRing(_FOLDER / "keys", keyholder)
    await ring.open()
    public = await keyholder.public()
    store = open_store(
        _FOLDER.resolve(),
        file_key=ring.named(FILE),
        keyring=ring,
        envelope=Envelope(os.urandom),
        clock=SystemClock(),
        randomness=os.urandom,
    )
    try:
        found = judge(store.log, public.audit_key, instance, witness)
        return judged(await _owned(found, keyholder))
    finally:
        await store.close()
        keyholder.close()


async def _owned(verdict: Verdict, keyholder: Keyholder) -> Verdict:
    """
    Have the keyholder sign a chain that holds, as a start would.

    It remembers the last head that it signed, so a folder that was put back to
    an older day, or written anew without its checkpoints, is found out.
    """
    if not verdict.sound:
        return verdict
    now = SystemClock().now()
    try:
        await keyholder.checkpoint(verdict.count, verdict.head.hex(), now)
    except KeyholderRefusedError as error:
        return disowned(verdict, str(error))
    return verdict


def main() -> int:
    """Judge, and say it."""
    try:
        given = witnessed({"Witness": json.loads(sys.stdin.read() or "[]")})
        line = socket.socket(fileno=_LINE)
        told = asyncio.run(verdict(sys.argv[1], line, given))
    except (SubstrateError, KeyholderError, OSError, ValueError) as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return 1
    sys.stdout.write(json.dumps(told))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
