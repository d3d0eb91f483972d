"""
Takes away what is left of cells: processes first, then their control groups.

A killed warden leaves no mount (they were in its own namespace), but its cells may
run on. They are found by the control group that bears the platform's name.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from pathlib import Path
from typing import Final

from casemate_warden import cgroups

PATIENCE_S: Final = 10.0
_LEFT: Final = ("bundles", "runtime")
_PLACES: Final = ("stage", "house")


class StillThere(Exception):
    """Processes of a cell did not end although they were killed."""


def erase(parent: str, name: str) -> None:
    """Kills what is in one cell's control groups and removes them."""
    _clear([folder / name for folder in cgroups.parents(parent)])


def erase_all(parent: str) -> int:
    """Does so for every cell of a platform; returns how many there were."""
    folders = cgroups.parents(parent)
    cells = [path for folder in folders for path in folder.iterdir() if path.is_dir()]
    _clear(cells)
    for folder in folders:
        cgroups.remove_folder(folder)
    return len({path.name for path in cells})


def empty_run_folder(run: Path) -> None:
    """Removes a predecessor's notes and sockets."""
    for name in _LEFT:
        shutil.rmtree(run / name, ignore_errors=True)
        (run / name).mkdir(mode=0o700)
    for socket in run.glob("*.sock"):
        socket.unlink()


def remove_run_folder(run: Path) -> None:
    """Removes what a warden made in its run folder, and the folder."""
    empty_run_folder(run)
    (run / "ca.pem").unlink(missing_ok=True)
    for name in (*_LEFT, *_PLACES):
        (run / name).rmdir()
    run.rmdir()


def _clear(folders: list[Path]) -> None:
    there = [folder for folder in folders if folder.is_dir()]
    end = time.monotonic() + PATIENCE_S
    while pids := {pid for folder in there for pid in cgroups.processes(folder)}:
        if time.monotonic() > end:
            raise StillThere(f"{len(pids)} processes of a cell do not end")
        for folder in there:
            cgroups.thaw_below(folder.parent)
        _kill(pids)
        time.sleep(0.005)
    for folder in there:
        cgroups.remove_folder(folder)


def _kill(pids: set[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
        _reap(pid)


def _reap(pid: int) -> None:
    """A child of our own would stay in its group until it is waited for."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return
