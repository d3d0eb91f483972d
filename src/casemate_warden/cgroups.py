"""
Control groups of cells, in version 1 (hybrid) and version 2.

The OCI runtime makes a cell's groups; the warden reads from the kernel where they
are, opens the few files that the node needs, sets limits by descriptor, and removes
the groups when the cell is gone. Memory is in MB of 2**20 bytes.
The version 2 half is written after the kernel's `cgroup-v2.rst`: untested here.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
PERIOD_US: Final = 100_000
CORE_MB: Final = 1_769  # one core's worth of memory, as Lambda gives it
LEAST_QUOTA_US: Final = 1_000  # the kernel's own minimum
PIDS: Final = 1_024
MB: Final = 1 << 20

# The names under which the node gets each file, by version.
SHARED: Final = {
    1: {
        "memory_peak": ("memory", "memory.max_usage_in_bytes"),
        "memory_now": ("memory", "memory.usage_in_bytes"),
        "memory_stat": ("memory", "memory.stat"),
        "memory_events": ("memory", "memory.oom_control"),
        "freezer": ("freezer", "freezer.state"),
        "processes": ("freezer", "cgroup.procs"),
    },
    2: {
        "memory_peak": ("", "memory.peak"),
        "memory_now": ("", "memory.current"),
        "memory_stat": ("", "memory.stat"),
        "memory_events": ("", "memory.events"),
        "freezer": ("", "cgroup.freeze"),
        "processes": ("", "cgroup.procs"),
    },
}


_WITH_SWAP: Final = "memory.memsw.limit_in_bytes"
_ACTED_ON: Final = frozenset({"", "memory", "cpu", "cpuacct", "freezer"})


def version() -> int:
    """2 on the unified hierarchy, 1 on everything else."""
    return 2 if (ROOT / "cgroup.controllers").exists() else 1


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a cell has used over its whole life."""

    cpu_ns: int
    memory_peak: int  # bytes
    oom: bool


class Group:
    """The control groups of one cell, held by descriptors on their folders."""

    def __init__(self, folders: dict[str, Path], number: int) -> None:
        """`folders` by controller; under version 2 the only controller is `""`."""
        self.version = number
        self._folders = folders
        self._held = {
            name: os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            for name, path in folders.items()
            if name in _ACTED_ON
        }

    @classmethod
    def of(cls, pid: int, name: str) -> Group:
        """
        The groups that the runtime put process `pid` in.

        Only those whose path ends in the cell's own name are taken: a controller that
        the runtime left alone stays with the host and is never touched.
        """
        number = version()
        lines = Path(f"/proc/{pid}/cgroup").read_text("ascii").splitlines()
        folders = dict(_folders(lines, name, number))
        if not folders:
            raise OSError(errno.ENOENT, f"the runtime made no control group for {name}")
        return cls(folders, number)

    def shared(self) -> dict[str, int]:
        """The files for the node, opened anew: it reads, and freezes by writing."""
        return {
            name: self._open(
                controller, file, os.O_RDWR if name == "freezer" else os.O_RDONLY
            )
            for name, (controller, file) in SHARED[self.version].items()
        }

    def limit(self, memory_mb: int, cpu_mb: int) -> None:
        """
        A hard limit on memory, and a share of processor time after `cpu_mb`.

        Once, and for more memory than the cell was made with: the kernel refuses the
        order of writes otherwise. Nothing is read first, for a caller waits.
        """
        quota = max(LEAST_QUOTA_US, PERIOD_US * cpu_mb // CORE_MB)
        limit = str(memory_mb * MB)
        if self.version == 1:
            # Memory with swap may never be below memory alone. Some kernels are
            # started without swap accounting; `doctor` warns of swap.
            with contextlib.suppress(FileNotFoundError):
                self._write("memory", _WITH_SWAP, limit)
            self._write("memory", "memory.limit_in_bytes", limit)
            self._write("cpu", "cpu.cfs_quota_us", str(quota))
            self._write("cpu", "cpu.cfs_burst_us", str(quota))
            return
        self._write("", "memory.max", limit)
        self._write("", "cpu.max", f"{quota} {PERIOD_US}")
        self._write("", "cpu.max.burst", str(quota))

    def thaw(self) -> None:
        """Lets frozen processes run, so that a signal can reach them."""
        controller, file = SHARED[self.version]["freezer"]
        self._write(controller, file, "THAWED" if self.version == 1 else "0")

    def usage(self) -> Usage:
        """Read after the last process has ended and before the groups go."""
        if self.version == 1:
            events = self._table("memory", "memory.oom_control")
            cpu = int(self._read("cpuacct", "cpuacct.usage"))
            peak = int(self._read("memory", "memory.max_usage_in_bytes"))
        else:
            events = self._table("", "memory.events")
            cpu = self._table("", "cpu.stat")["usage_usec"] * 1_000
            peak = int(self._read("", "memory.peak"))
        return Usage(cpu_ns=cpu, memory_peak=peak, oom=events.get("oom_kill", 0) > 0)

    def remove(self) -> None:
        """Closes the descriptors and removes every folder; there is no process left."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()
        for path in set(self._folders.values()):
            remove_folder(path)

    def _open(self, controller: str, file: str, flags: int) -> int:
        return os.open(file, flags | os.O_CLOEXEC, dir_fd=self._held[controller])

    def _read(self, controller: str, file: str) -> str:
        with os.fdopen(
            self._open(controller, file, os.O_RDONLY), encoding="ascii"
        ) as f:
            return f.read()

    def _write(self, controller: str, file: str, value: str) -> None:
        descriptor = self._open(controller, file, os.O_WRONLY)
        try:
            os.write(descriptor, value.encode("ascii"))
        finally:
            os.close(descriptor)

    def _table(self, controller: str, file: str) -> dict[str, int]:
        lines = (line.split() for line in self._read(controller, file).splitlines())
        return {words[0]: int(words[1]) for words in lines}


def _folders(lines: list[str], name: str, number: int) -> Iterator[tuple[str, Path]]:
    """The folder of each controller, out of the lines of /proc/PID/cgroup."""
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if Path(path).name != name:
            continue
        if number == 2:  # noqa: PLR2004 — the version's own number
            yield "", ROOT / path.lstrip("/")
            continue
        for controller in controllers.removeprefix("name=").split(","):
            yield controller, ROOT / (controller or "unified") / path.lstrip("/")


def bound(name: str, memory_mb: int) -> None:
    """Makes the group above all cells of a platform: together they have no more."""
    folder, files = ROOT / "memory" / name, ["memory.limit_in_bytes", _WITH_SWAP]
    if version() == 2:  # noqa: PLR2004 — the version's own number
        (ROOT / "cgroup.subtree_control").write_text("+memory", "ascii")
        folder, files = ROOT / name, ["memory.max"]
    folder.mkdir(mode=0o755, exist_ok=True)
    for file in files:
        if file != _WITH_SWAP or (folder / file).exists():
            (folder / file).write_text(str(memory_mb * MB), "ascii")


def parents(name: str) -> list[Path]:
    """Every folder called `name` at the top of a hierarchy."""
    if version() == 2:  # noqa: PLR2004 — the version's own number
        return [path for path in [ROOT / name] if path.is_dir()]
    return [path for path in ROOT.glob(f"*/{name}") if not path.parent.is_symlink()]


def processes(folder: Path) -> list[int]:
    """Process ids in a group and all groups below it, without those that end now."""
    found: list[int] = []
    for file in folder.glob("**/cgroup.procs"):
        with _vanishing():
            found += [int(line) for line in file.read_text("ascii").split()]
    return found


@contextlib.contextmanager
def _vanishing() -> Iterator[None]:
    """One group that ends while it is looked at must not keep the others alive."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise


def thaw_below(folder: Path) -> None:
    """Thaws every group below `folder`, whichever version it is of."""
    for name, word in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
        for file in folder.glob(f"*/{name}"):
            with _vanishing():
                file.write_text(word, "ascii")


def remove_folder(path: Path, patience: float = 5.0) -> None:
    """
    Removes one group's folder.

    A process that has just ended may keep it busy for some milliseconds.
    Raises `OSError` when it is still busy after `patience` seconds.
    """
    end = time.monotonic() + patience
    while True:
        try:
            path.rmdir()
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > end:
                raise
            time.sleep(0.002)
        else:
            return
