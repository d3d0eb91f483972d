"""What the keyholder's tests stand on: a clock in hand, a folder, a real child."""

from __future__ import annotations

import array
import json
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from casemate_keyholder.__main__ import Keyholder
from casemate_keyholder.files import Folder

NOON = 1_780_000_000.0


@dataclass
class Hands:
    """A clock that stands where it is put."""

    at: float = NOON
    ticks: float = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.ticks

    def pass_by(self, seconds: float) -> None:
        self.at += seconds
        self.ticks += seconds


def opened(
    path: Path,
    clock: Hands,
    root_key: bytes | None = None,
    names: Sequence[str] = (),
) -> Keyholder:
    """Open the keyholder of a folder as its process does."""
    folder = Folder.open(str(path))
    try:
        if root_key is None:
            return Keyholder.open(folder, None, names, clock)
        handed = path.parent / "handed.key"
        handed.write_bytes(root_key)
        descriptor = os.open(handed, os.O_RDONLY)
        return Keyholder.open(folder, descriptor, names, clock)
    finally:
        handles.append(folder.descriptor)


handles: list[int] = []


def ask(keyholder: Keyholder, verb: str, **members: object) -> dict[str, object]:
    """Ask a verb and give its `ok`, or the error's code under `refused`."""
    request = {"id": 7, "verb": verb, **members}
    answer = keyholder.verbs.answer(json.dumps(request).encode())
    assert answer["id"] == 7
    if "error" in answer:
        error = answer["error"]
        assert isinstance(error, dict)
        assert error.keys() == {"code", "reason"}
        return {"refused": error["code"], "reason": error["reason"]}
    ok = answer["ok"]
    assert isinstance(ok, dict)
    return ok


def send(sock: socket.socket, message: object, descriptors: Sequence[int] = ()) -> None:
    """Send a message with descriptors."""
    rights = array.array("i", descriptors)
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if descriptors else []
    sock.sendmsg([json.dumps(message).encode()], ancillary)


def receive(sock: socket.socket) -> tuple[dict[str, object], list[int]]:
    """Take a message and its descriptors; an empty message at the end."""
    rights = array.array("i")
    data, ancillary, _, _ = sock.recvmsg(204_800, socket.CMSG_SPACE(64))
    for _, _, payload in ancillary:
        rights.frombytes(payload)
    return (json.loads(data) if data else {}), rights.tolist()


@dataclass
class Child:
    """A real process of ours, with its boot socket."""

    pid: int
    boot: socket.socket
    stderr: Path
    code: int | None = field(default=None)

    def wait(self) -> int:
        """Wait for its end."""
        if self.code is None:
            _, status = os.waitpid(self.pid, 0)
            self.code = os.waitstatus_to_exitcode(status)
        return self.code


@contextmanager
def child(module: str, folder: Path, stderr: Path) -> Iterator[Child]:
    """Start `python -I -m MODULE` in a folder, its boot socket at 3; end it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    before = Path.cwd()
    os.chdir(folder)
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-m", module],
            {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), 3),
                (os.POSIX_SPAWN_OPEN, 2, str(stderr), os.O_CREAT | os.O_WRONLY, 0o600),
            ],
        )
    finally:
        os.chdir(before)
        theirs.close()
    process = Child(pid=pid, boot=ours, stderr=stderr)
    try:
        yield process
    finally:
        ours.close()  # The end of the boot socket ends the process.
        process.wait()
