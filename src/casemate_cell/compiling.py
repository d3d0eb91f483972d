"""
Compile a package's Python sources to checked-hash byte code, within bounds.

The parser gets hostile text, so it runs in a child that may crash or be killed:
the package is then whole, only slower.  Checked-hash files name the digest of
their source, so stale or planted byte code is never run.
"""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 15.0
"""How long a package may be compiled; measured 9 ms for 1,000 lines."""

SOURCE_LIMIT = 4 << 20
"""Bytes of a source file that is worth it."""


def compile_tree(root: str, seconds: float = SECONDS) -> int:
    """Compile what is below `root`; give the count of byte code files left."""
    child = os.fork()
    if not child:
        try:
            _compile_all(root, time.monotonic() + seconds)
        finally:
            os._exit(0)
    deadline = time.monotonic() + seconds + 1
    # A child has no descriptor that asyncio could watch here; 5 ms is nothing
    # beside a deployment.
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            break
        time.sleep(0.005)
    return _sweep(root)


def _sources(root: str) -> Iterator[str]:
    for parent, folders, files in os.walk(root, followlinks=False):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in files:
            path = f"{parent}/{name}"
            if name.endswith(".py") and not os.path.islink(path):  # noqa: PTH114
                yield path


def _compile_all(root: str, deadline: float) -> None:
    import py_compile  # noqa: PLC0415 — only a workshop's child needs it
    import resource  # noqa: PLC0415 — as above

    half = 256 << 20
    resource.setrlimit(resource.RLIMIT_DATA, (half, half))
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)  # what the parser warns of is the tenant's, and long
    for path in _sources(root):
        if time.monotonic() > deadline:
            return
        try:
            if os.stat(path).st_size <= SOURCE_LIMIT:  # noqa: PTH116
                py_compile.compile(
                    path,
                    quiet=2,
                    invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
                )
        except (OSError, ValueError, RecursionError, MemoryError):
            continue


def _sweep(root: str) -> int:
    """Count the byte code; remove what a killed child left half written."""
    count = 0
    for parent, _folders, files in os.walk(root, followlinks=False):
        if not parent.endswith("/__pycache__"):
            continue
        for name in files:
            if name.endswith(".pyc"):
                os.chmod(f"{parent}/{name}", 0o644)  # noqa: PTH101 — no pathlib here
                count += 1
            elif ".pyc." in name:
                os.unlink(f"{parent}/{name}")  # noqa: PTH108 — no pathlib here
    return count
