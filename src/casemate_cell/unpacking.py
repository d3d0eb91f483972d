"""
The workshop: unpack one package from a sealed memory file into `/var/task`.

The node reads nothing of a package; it asks a workshop cell, which lives for one
package, and hears `unpacked` with counts, or `unpack_refused` with a reason.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, cast

from casemate_cell.channel import COUNTS, UNPACK_REFUSED, UNPACKED
from casemate_cell.compiling import compile_tree
from casemate_cell.zip_index import read_index
from casemate_cell.zip_names import RefusedError
from casemate_cell.zip_tree import Tree, Written

if TYPE_CHECKING:
    from casemate_cell.channel import Channel, Order

ROOT = "/var/task"
BYTES_LIMIT = 262_144_000
ENTRIES_LIMIT = 50_000


def serve(channel: Channel, order: Order, root: str = ROOT) -> int:
    """Unpack what follows an `unpack` order and answer; gives the exit status."""
    limits = cast("dict[str, object]", json.loads(order.body))
    archive = channel.take_descriptor()
    os.umask(0o022)
    try:
        written = unpack(
            archive,
            root,
            bytes_limit=cast("int", limits.get("bytes", BYTES_LIMIT)),
            entries_limit=cast("int", limits.get("entries", ENTRIES_LIMIT)),
        )
    except RefusedError as refusal:
        channel.send(UNPACK_REFUSED, str(refusal).encode())
        return 0
    if limits.get("compile"):
        compile_tree(root)
    channel.send(UNPACKED, COUNTS.pack(written.files, written.bytes))
    return 0


def unpack(
    archive: int,
    root: str,
    *,
    bytes_limit: int = BYTES_LIMIT,
    entries_limit: int = ENTRIES_LIMIT,
) -> Written:
    """Unpack the archive behind a descriptor below `root`.  Raises RefusedError."""

    def read(offset: int, count: int) -> bytes:
        return os.pread(archive, count, offset)

    size = os.fstat(archive).st_size
    entries = read_index(read, size, limit=entries_limit)
    top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return Tree(top, read, size, bytes_limit).write(entries)
    finally:
        os.close(top)
