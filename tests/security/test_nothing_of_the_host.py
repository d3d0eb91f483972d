"""The end, in two sentences: whose files, whose processes deployed code meets."""

from __future__ import annotations

import os
import stat
from typing import Any

import pytest

from security.probe import Probe

pytestmark = [pytest.mark.root, pytest.mark.platform]


def test_the_image_is_all_there_is(probe: Probe) -> None:
    """
    The end: no file of the host beyond the runtime image.

    Every file that the code can name is in the image, is one of the few that a
    cell is given, or is the tenant's own; and each has the image's very size.
    """
    listed: dict[str, list[Any]] = probe.run(
        """
        answer = {}
        for top, folders, files in os.walk("/", followlinks=False):
            if top.startswith(("/proc", "/tmp", "/var/task")):
                folders[:] = []
                continue
            for name in files:
                path = os.path.join(top, name)
                known = os.lstat(path)
                answer[path] = [known.st_mode, known.st_size, known.st_uid]
        """
    )
    images = probe.tenant.platform.data / "images"
    (image,) = [path for path in images.iterdir() if path.name.startswith("python3.11")]
    root = image / "base"
    foreign = []
    for path, (mode, size, _uid) in listed.items():
        own = root / path.lstrip("/")
        if path == "/etc/casemate/ca.pem" or path.startswith("/dev/"):
            continue
        known = own.lstat() if os.path.lexists(own) else None
        if known is None or (known.st_mode, known.st_size) != (mode, size):
            foreign.append(path)
    assert foreign == []
    assert len(listed) > 500  # the control: the walk saw the image
    assert {uid for _mode, _size, uid in listed.values()} <= {0, 65534}
    assert not [p for p, (mode, _, _) in listed.items() if mode & stat.S_ISUID]


def test_no_process_but_its_own(probe: Probe) -> None:
    """The end: every process that it sees or can signal is in its own cell."""
    answer = probe.run(
        f"""
        pids = sorted(int(n) for n in os.listdir("/proc") if n.isdigit())
        answer = [pids, os.getpid() in pids,
                  tried(os.kill, {os.getpid()}, 0), tried(os.kill, -1, 0)]
        """
    )
    pids, is_there, host, everyone = answer
    assert len(pids) <= 2
    assert is_there
    assert host == "ESRCH"
    assert everyone in {"ok", "ESRCH"}
