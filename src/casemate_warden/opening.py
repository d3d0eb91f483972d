"""
How one cell is made: network, parts, OCI runtime, in a worker thread.

A worker has its own `fs`, so it can change mount and network namespace without the
rest of the process noticing. The runtime it starts inherits the namespace that holds
this one cell's parts and nothing of any other cell. It is told to make and start the
cell, and is never run again for it: no `exec`, no `delete`.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from casemate_warden import bundle, kernel, network, sweep
from casemate_warden.cgroups import Group
from casemate_warden.house import House, Stage
from casemate_warden.images import Image
from casemate_warden.messages import close_all

PATIENCE_S: Final = 30.0  # for the runtime: a slow disk, not a stuck machine
CONTROL: Final = 3  # the managed cell's end of control
_ENVIRONMENT: Final = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class CannotOpen(Exception):
    """The runtime did not start the cell; the text is for the operator's log."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """What every opening shares."""

    house: House
    runtime: str  # the OCI runtime's path
    parent: str  # the platform's control group
    workers_pid: int


@dataclass(frozen=True, kw_only=True)
class Order:
    """One cell to make."""

    name: str
    image: Image
    first_uid: int
    stage: Stage


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A cell that runs and waits. The receiver owns all descriptors."""

    pidfd: int
    group: Group
    network: network.Network
    streams: dict[str, int]  # control, stdout, stderr: the host's ends


def become_worker() -> None:
    """Gives the calling thread its own `fs`; call once in each worker."""
    kernel.unshare(kernel.CLONE_NEWNS)


def open_cell(site: Site, order: Order) -> Opened:
    """
    Makes and starts one cell.

    Raises `CannotOpen` or `OSError`, and then nothing of it is left but its stage.
    """
    streams = _Streams(managed=order.image.managed)
    made: network.Network | None = None
    pidfd = -1
    try:
        made = network.make(site.house.host_network)
        pid = _run(site, order, made, streams)
        pidfd = os.pidfd_open(pid)
        group = Group.of(pid, order.name)
    except BaseException:
        streams.close()
        if made is not None:
            made.close()
        if pidfd >= 0:
            os.close(pidfd)
        sweep.erase(site.parent, order.name)
        raise
    finally:
        order.stage.release_parts()
        _forget(site, order.name)
    streams.close_inside()
    return Opened(pidfd=pidfd, group=group, network=made, streams=streams.outside)


class _Streams:
    """A cell's standard streams and its control, both ends of each."""

    def __init__(self, *, managed: bool) -> None:
        output, errors = os.pipe(), os.pipe()
        self.outside = {"stdout": output[0], "stderr": errors[0]}
        self.inside = {1: output[1], 2: errors[1]}
        if managed:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
            self.outside["control"] = ours.detach()
            self.inside[CONTROL] = theirs.detach()
            self.inside[0] = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        else:
            self.inside[0], self.outside["control"] = os.pipe()

    def close_inside(self) -> None:
        close_all([*self.inside.values()])
        self.inside.clear()

    def close(self) -> None:
        self.close_inside()
        close_all([*self.outside.values()])
        self.outside.clear()


def _run(site: Site, order: Order, made: network.Network, streams: _Streams) -> int:
    """The process id, on the host, of the cell's first process."""
    folder = _bundle(site, order, made)
    site.house.enter_workroom(order.stage)
    try:
        runtime = os.posix_spawn(
            site.runtime,
            _command(site, order, folder),
            _ENVIRONMENT,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, inside, number)
                for number, inside in sorted(streams.inside.items())
            ],
            setpgroup=0,  # a terminal's interrupt is for the warden, which drains
        )
    finally:
        site.house.leave_workroom()
    status = _wait(runtime)
    if status != 0:
        raise CannotOpen(f"runtime ended with {status}: {_last_words(folder)}")
    return int((folder / "pid").read_text("ascii"))


def _bundle(site: Site, order: Order, made: network.Network) -> Path:
    folder = site.house.run / "bundles" / order.name
    folder.mkdir(mode=0o700)
    cell = bundle.Cell(
        name=order.name,
        parent=site.parent,
        argv=order.image.argv,
        first_uid=order.first_uid,
        network=f"/proc/{site.workers_pid}/fd/{made.namespace}",
        stage=site.house.stage_path,
    )
    (folder / "config.json").write_text(json.dumps(bundle.render(cell)), "ascii")
    return folder


def _command(site: Site, order: Order, folder: Path) -> list[str]:
    kept = ["--preserve-fds", "1"] if order.image.managed else []
    return [
        site.runtime,
        "--root",
        str(site.house.run / "runtime"),
        "--log",
        str(folder / "log"),
        "run",
        "--detach",
        *kept,
        "--pid-file",
        str(folder / "pid"),
        "--bundle",
        str(folder),
        order.name,
    ]


def _wait(pid: int) -> int:
    """The exit status of the runtime; one that takes too long is killed."""
    descriptor = os.pidfd_open(pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], PATIENCE_S)
        if not ended:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    finally:
        os.close(descriptor)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _last_words(folder: Path) -> str:
    log = folder / "log"
    return log.read_text(errors="replace")[-600:].strip() if log.exists() else ""


def _forget(site: Site, name: str) -> None:
    """The runtime's own notes: a cell is never again acted on through it."""
    for folder in ("bundles", "runtime"):
        shutil.rmtree(site.house.run / folder / name, ignore_errors=True)
