"""
The one descriptor on a tenant's filesystem that the node ever holds.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from casemate_warden import kernel
from casemate_warden.trees import gauge, memory_filesystem

pytestmark = pytest.mark.root

NOBODY = 65_534
TRY = """
import errno, json, os, sys
gauge = int(sys.argv[1])
way = f"/proc/self/fd/{gauge}"
tries = {
    "read": lambda: os.read(gauge, 1),
    "write": lambda: os.write(gauge, b"x"),
    "look up": lambda: os.open("x", os.O_RDONLY, dir_fd=gauge),
    "make": lambda: os.open("x", os.O_RDWR | os.O_CREAT, dir_fd=gauge),
    "go above": lambda: os.open("..", os.O_PATH, dir_fd=gauge),
    "enter": lambda: os.fchdir(gauge),
    "list": lambda: os.listdir(way),
    "open": lambda: os.open(way, os.O_RDONLY),
    "open to write": lambda: os.open(way, os.O_WRONLY),
    "run": lambda: os.execve(way, ["x"], {}),
    "link": lambda: os.link(way, "/dev/shm/gauge", follow_symlinks=True),
    "open to all": lambda: os.chmod(way, 0o777),
    "own": lambda: os.chown(way, os.getuid(), -1),
    "attach": lambda: os.setxattr(way, "user.x", b"x"),
    "cut": lambda: os.truncate(way, 0),
}
def said(work):
    try:
        work()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"
answer = {name: said(work) for name, work in tries.items()}
answer["free"] = os.fstatvfs(gauge).f_bfree
print(json.dumps(answer))
"""


@pytest.fixture
def mount() -> Iterator[int]:
    made = memory_filesystem(8, 2_048, 1_000_000_000, mode="1777")
    yield made
    os.close(made)


def test_a_gauge_tells_how_full_it_is(mount: int) -> None:
    """To the byte, and the filesystem looks as fresh as before."""
    made = gauge(mount)
    before = os.fstatvfs(made)
    file = os.open("x", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=mount)
    os.write(file, bytes(3 << 20))
    after = os.fstatvfs(made)
    os.close(file)
    os.close(made)
    assert (before.f_blocks * before.f_frsize, before.f_bfree) == (
        8 << 20,
        before.f_blocks,
    )
    assert (before.f_bfree - after.f_bfree) * after.f_frsize == 3 << 20


def test_a_gauge_has_no_name(mount: int) -> None:
    """Who may list the filesystem finds nothing of it."""
    made = gauge(mount)
    assert [] == [*Path(f"/proc/self/fd/{mount}").iterdir()]
    os.close(made)


def test_a_gauge_is_good_for_nothing_else(mount: int) -> None:
    """Its holder, who has no power, cannot look up, read, write, link or change."""
    os.close(os.open("x", os.O_CREAT | os.O_WRONLY, 0o666, dir_fd=mount))
    made = gauge(mount)
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", TRY, str(made)],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        pass_fds=[made],
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told.pop("free") == os.fstatvfs(made).f_bfree
    os.close(made)
    assert [] == [name for name, answer in told.items() if answer == "ok"]


def test_a_gauge_that_cannot_be_made_leaves_nothing() -> None:
    """A filesystem that is sealed takes no file: the error comes, no descriptor."""
    mount = kernel.filesystem("tmpfs", kernel.NODEV)
    kernel.seal_filesystem(mount)
    held = Path("/proc/self/fd")
    before = len([*held.iterdir()])
    with pytest.raises(OSError, match="Read-only"):
        gauge(mount)
    assert len([*held.iterdir()]) == before
    os.close(mount)
