"""What processes cost, from /proc; and which core they run on."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

SERVERS: Final = {0}
CLIENT: Final = {1}
_TICK: Final = os.sysconf("SC_CLK_TCK")
_PROC: Final = Path("/proc")
_GROUPS: Final = Path("/sys/fs/cgroup")
_GONE: Final = (FileNotFoundError, ProcessLookupError)


@contextmanager
def on_cores(cores: Iterable[int]) -> Iterator[None]:
    """Run this thread, and what it starts meanwhile, on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, set(cores) & before or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def family(pid: int) -> list[int]:
    """List a process and all that come from it."""
    parents = {int(p.name): _parent(p) for p in _PROC.iterdir() if p.name.isdigit()}
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found


def grouped(parent: str) -> dict[str, list[int]]:
    """List the processes of each control group below one, by the group's name."""
    folders = [*_GROUPS.glob(f"memory/{parent}/*/"), *_GROUPS.glob(f"{parent}/*/")]
    found: dict[str, list[int]] = {}
    for folder in folders:
        with suppress(*_GONE, OSError):
            words = (folder / "cgroup.procs").read_text("ascii").split()
            found[folder.name] = [int(word) for word in words]
    return found


def cpu(pids: Iterable[int]) -> dict[int, float]:
    """Give the seconds of processor that each process has used, all its threads."""
    used: dict[int, float] = {}
    for pid in pids:
        with suppress(*_GONE):
            user, system = _stat(_PROC / str(pid))[11:13]
            used[pid] = (int(user) + int(system)) / _TICK
    return used


def spent(before: Mapping[int, float], after: Mapping[int, float]) -> float:
    """Give the seconds used between two readings."""
    return sum(used - before.get(pid, 0.0) for pid, used in after.items())


def pss(pids: Iterable[int]) -> int:
    """Give the proportional set size of processes, in bytes."""
    total = 0
    for pid in pids:
        with suppress(*_GONE):
            text = (_PROC / str(pid) / "smaps_rollup").read_text("ascii")
            found = re.search(r"^Pss:\s+(\d+) kB$", text, re.MULTILINE)
            total += int(found[1]) << 10 if found else 0
    return total


def has_code(pids: Iterable[int]) -> bool:
    """Say whether a cell serves a function: something was mounted on its /tmp late."""
    for pid in pids:
        with suppress(*_GONE):
            lines = (_PROC / str(pid) / "mountinfo").read_text("utf-8").splitlines()
            return sum(line.split()[4] == "/tmp" for line in lines) > 1
    return False


def command(pid: int) -> str:
    """Give a process's command line, with spaces; empty when it is gone."""
    try:
        return (_PROC / str(pid) / "cmdline").read_text("utf-8").replace("\0", " ")
    except _GONE:
        return ""


def _parent(folder: Path) -> int:
    try:
        return int(_stat(folder)[1])
    except _GONE:
        return 0


def _stat(folder: Path) -> list[str]:
    """Give the fields of a process's stat from the third on (proc(5))."""
    return (folder / "stat").read_text("ascii", "replace").rpartition(")")[2].split()
