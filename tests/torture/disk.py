"""
A disk that loses its power: what was not flushed to it is gone.

    outer.img -- ext4 "platter" -- inner.img -- ext4 "data"

The data lie on a file system in a file on another file system.  A cut shuts one
of them down without flushing (ioctl EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH):

- of the inner, and the kernel's pages and journal that were not written are gone:
  what a machine loses that stops;
- of the outer, and so is what was written to the inner's device and not flushed
  there: what a disk with a cache of its own loses.

Then both are unmounted, mounted again and recover from their journals.  It needs
a mount namespace of its own, or other processes would keep the mounts alive.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_SHUTDOWN: Final = 0x8004587D
"""_IOR('X', 125, __u32), fs/ext4/ext4.h."""
_NO_LOG_FLUSH: Final = 2
_BUSY: Final = 30.0
"""Seconds for everybody to let go of a file system that is shut down."""
_DATA_MB: Final = 900
_CONTROLS: Final = 64

DATA: Final = "data"
PLATTER: Final = "platter"
CUTS: Final = (DATA, PLATTER)


class Disk:
    """Two file systems, one in the other."""

    def __init__(self, folder: Path) -> None:
        self._outer = folder / "outer.img"
        self._inner = folder / "platter" / "inner.img"
        self.folders = {DATA: folder / "data", PLATTER: folder / "platter"}

    @property
    def data(self) -> Path:
        """Where the data lie."""
        return self.folders[DATA]

    def make(self) -> None:
        """Make both, empty."""
        for at in self.folders.values():
            at.mkdir()
        _fallocate(self._outer, _DATA_MB + 64)
        _made(self._outer)
        _run("mount", "-o", "loop", str(self._outer), str(self.folders[PLATTER]))
        _fallocate(self._inner, _DATA_MB)
        _made(self._inner)
        _run("sync", "-f", str(self._inner))
        _run("mount", "-o", "loop", str(self._inner), str(self.data))

    def cut(self, where: str) -> None:
        """Cut the power; nothing that is not on the disk by now gets there."""
        descriptor = os.open(self.folders[where], os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, struct.pack("=I", _NO_LOG_FLUSH))
        finally:
            os.close(descriptor)

    def back(self) -> None:
        """Give the power back, once nobody holds anything of before."""
        self.let_go()
        _run("mount", "-o", "loop", str(self._outer), str(self.folders[PLATTER]))
        _run("mount", "-o", "loop", str(self._inner), str(self.data))

    def let_go(self) -> None:
        """Unmount both, and see that they are gone."""
        for at, image in (
            (self.data, self._inner),
            (self.folders[PLATTER], self._outer),
        ):
            _unmounted(at)
            _released(image)


def control(disk: Disk, number: int) -> tuple[list[Path], list[Path]]:
    """Write files as one should, with fsync, and others as one should not."""
    synced, careless = (
        [disk.data / f"{kind}-{number}-{i}" for i in range(_CONTROLS)]
        for kind in ("synced", "careless")
    )
    for path in (*synced, *careless):
        descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        os.write(descriptor, path.name.encode())
        if path in synced:
            os.fsync(descriptor)
        os.close(descriptor)
    folder = os.open(disk.data, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)
    # Its directory entry is there by now, its content is not.
    return synced, careless


def missing(paths: list[Path]) -> int:
    """Count the files that are not there with what was written; remove them all."""
    count = 0
    for path in paths:
        if not path.exists() or path.read_bytes() != path.name.encode():
            count += 1
        path.unlink(missing_ok=True)
    return count


@contextmanager
def disk() -> Iterator[Disk]:
    """Make a disk, and leave nothing of it."""
    folder = Path(tempfile.mkdtemp(prefix="casemate-torture-", dir="/var/tmp"))
    # The platform's users pass through.
    folder.chmod(0o711)
    made = Disk(folder)
    try:
        made.make()
        yield made
    finally:
        with suppress(TimeoutError):
            made.let_go()
        shutil.rmtree(folder, ignore_errors=True)


def _fallocate(path: Path, megabytes: int) -> None:
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, megabytes << 20)


def _made(image: Path) -> None:
    _run("mkfs.ext4", "-q", "-F", "-b", "4096", str(image))


def _unmounted(at: Path) -> None:
    end = time.monotonic() + _BUSY
    while os.path.ismount(at):
        done = subprocess.run(
            ["umount", str(at)], capture_output=True, text=True, check=False
        )
        if done.returncode and time.monotonic() > end:
            raise TimeoutError(done.stderr)
        time.sleep(0.02)


def _released(image: Path) -> None:
    """Wait until no loop device holds an image: a mount that lives on would."""
    end = time.monotonic() + _BUSY
    while _run("losetup", "-j", str(image)).strip():
        if time.monotonic() > end:
            raise TimeoutError(f"`{image}` is still held by somebody's mount")
        time.sleep(0.02)


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise AssertionError(f"{words}: {done.stderr}")
    return done.stdout
