"""A platform that is killed hundreds of times, always on the same port."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from platform_harness import CASEMATE, READY
from security.crash.stand import Stand, still_there

PARTS: Final = ("warden", "node", "keyholder", "egress", "guard", "all")
"""What is killed: one process; `guard`, and the warden with it; or all at once."""
GONE: Final = 30.0
"""Seconds within which everything of a killed platform has ended."""
SWEPT: Final = 12.0
"""Seconds that the guard has for the cells: its own patience is 10."""


class SurvivedError(AssertionError):
    """Something of a killed platform did not end."""


class Victim(Stand):
    """A platform with a port of its own, whose sessions outlive its kills."""

    def __init__(self, data: Path, *arguments: str) -> None:
        self.port = _free_port()
        super().__init__(
            data, "--listen", f"127.0.0.1:{self.port}", "--pool", "2", *arguments
        )

    def rise(self) -> None:
        """Start again and wait until it answers; its clients keep their session."""
        self.begin()
        self.await_ready()

    def begin(self) -> None:
        """Start again."""
        self.lines = []
        self.process = subprocess.Popen(
            [str(CASEMATE), "up", "--data", str(self.data), *self.arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        reader.start()

    def await_ready(self) -> None:
        """Wait until it answers."""
        assert self.process is not None
        end = time.monotonic() + READY
        while not any("is ready" in line for line in self.lines):
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError("".join(self.lines))
            time.sleep(0.005)

    def fell(self, part: str) -> int:
        """
        Kill a part with SIGKILL; wait until the platform's processes have ended.

        Gives how many processes of cells are left to the next start.
        """
        assert self.process is not None
        old = self.everything()
        for pid in self._pids(part):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(GONE)
        if part in ("guard", "all"):
            return 0  # nobody is left to end the cells: the next start does
        if left := still_there(old, GONE):
            raise SurvivedError(f"{part} was killed, and {left} did not end")
        return self._left(SWEPT)

    def extinguish(self) -> None:
        """End what is left of cells, as nothing outlives a power cut."""
        end = time.monotonic() + GONE
        while pids := self._cells():
            if time.monotonic() > end:
                raise SurvivedError(f"{pids} do not end")
            for top in self._groups():
                for state in top.glob("*/freezer.state"):
                    with suppress(OSError):
                        state.write_text("THAWED")
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.01)

    def _left(self, seconds: float) -> int:
        end = time.monotonic() + seconds
        while (left := len(self._cells())) and time.monotonic() < end:
            time.sleep(0.02)
        return left

    def _groups(self) -> list[Path]:
        groups, name = Path("/sys/fs/cgroup"), f"casemate-{self.instance}"
        return [path for at in ("", "*/") for path in groups.glob(f"{at}{name}")]

    def _cells(self) -> set[int]:
        found: set[int] = set()
        for top in self._groups():
            for folder, _, _ in os.walk(top):
                with suppress(OSError):
                    procs = Path(folder, "cgroup.procs").read_text()
                    found |= {int(pid) for pid in procs.split()}
        return found

    def _pids(self, part: str) -> list[int]:
        assert self.process is not None
        warden = self.process.pid
        if part == "warden":
            return [warden]
        if part == "guard":
            return [self.guard(), warden]
        if part == "all":
            return [warden, *(pid for pid, _ in self.everything())]
        return [self.child(part)]

    def guard(self) -> int:
        """Give the pid of the process that ends cells when the warden was killed."""
        assert self.process is not None
        pid = self.process.pid
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if b"casemate_warden" in Path(f"/proc/{child}/cmdline").read_bytes():
                return int(child)
        raise AssertionError("there is no guard")


@contextmanager
def victim(data: Path | None = None) -> Iterator[Victim]:
    """Run a platform, on a folder of its own that is removed at the end."""
    own = Path(tempfile.mkdtemp(prefix="casemate-torture-", dir="/var/tmp"))
    platform = Victim(data or own)
    try:
        platform.start()
        yield platform
    finally:
        try:
            platform.stop()
        finally:
            shutil.rmtree(own, ignore_errors=True)


def _free_port() -> int:
    """Find a port that nobody has, and that nobody gets by asking for any."""
    for port in range(20_000 + os.getpid() % 5_000, 32_000):
        with socket.socket() as sock, suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
