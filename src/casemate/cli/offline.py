"""
Verifying the audit chain of a folder whose platform is down.

The keys are the keyholder's even now: it is started for this, as its own user
and over the same boot socket as by the warden, and the chain is read as the
node's user.  The folder's lock is held meanwhile: a platform that runs on it
is asked itself, and none starts in between.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import pwd
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

_FD: Final = 3
_INSTANCE: Final = 12
_SECONDS: Final = 600


class OfflineError(Exception):
    """The folder cannot be read; the text says what to do."""


def verify(
    data: Path,
    root_key: Path | None = None,
    witness: Sequence[Mapping[str, str]] = (),
) -> dict[str, object]:
    """
    Judge the chain of a data folder.  Raises OfflineError.

    witness: the checkpoints that a witness has received.
    """
    if os.geteuid() != 0:
        raise OfflineError(f"`{data}` is root's: run this as root")
    if not (data / "node").is_dir():
        raise OfflineError(f"`{data}` is no data folder of a platform")
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()
    with _lock(data), _keyholder(data, root_key) as line:
        done = subprocess.run(  # noqa: S603 — our own program
            [sys.executable, "-I", "-m", "casemate.app.offline", digest[:_INSTANCE]],
            cwd=data / "node",
            preexec_fn=_as_three(line),
            input=json.dumps(list(witness)),
            capture_output=True,
            **_as_user("casemate-node"),
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise OfflineError(done.stderr.strip() or "the chain could not be read")
    verdict: dict[str, object] = json.loads(done.stdout)
    return verdict


@contextmanager
def _lock(data: Path) -> Iterator[None]:
    """Hold the lock that a platform holds while it runs."""
    with (data / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OfflineError(
                f"a platform runs on `{data}`: leave `--offline` out"
            ) from error
        yield


def _as_user(name: str) -> dict[str, Any]:
    """Give up root, its groups, and its environment."""
    try:
        user = pwd.getpwnam(name)
    except KeyError as error:
        raise OfflineError(
            f"there is no user `{name}`: the first `casemate up` makes it"
        ) from error
    return {
        "user": user.pw_uid,
        "group": user.pw_gid,
        "extra_groups": [],
        "env": {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        "close_fds": False,
    }


def _as_three(sock: socket.socket) -> Callable[[], None]:
    def place() -> None:
        os.dup2(sock.fileno(), _FD)
        os.set_inheritable(_FD, True)

    return place


@contextmanager
def _keyholder(data: Path, root_key: Path | None) -> Iterator[socket.socket]:
    boot, its_boot = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line, its_line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "casemate_keyholder"],
        cwd=data / "keyholder",
        preexec_fn=_as_three(its_boot),  # noqa: PLW1509 — no thread runs here
        **_as_user("casemate-keyholder"),
    )
    names, fds = ["node"], [its_line.fileno()]
    opened = os.open(root_key, os.O_RDONLY | os.O_CLOEXEC) if root_key else None
    if opened is not None:
        names.append("root_key")
        fds.append(opened)
    settings = {
        "data": str(data / "keyholder"),
        "root_key_file": str(root_key) if root_key else None,
    }
    message = {"verb": "boot", "settings": settings, "fds": names}
    socket.send_fds(boot, [json.dumps(message).encode()], fds)
    its_boot.close()
    its_line.close()
    if opened is not None:
        os.close(opened)
    try:
        if not boot.recv(65_536):
            raise OfflineError("the keyholder did not open the keys of this folder")
        yield line
    finally:
        with suppress(OSError):  # It has ended already, and has said why.
            boot.send(json.dumps({"verb": "stop"}).encode())
        process.wait(10)
        boot.close()
        line.close()
