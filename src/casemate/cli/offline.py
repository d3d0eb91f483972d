"""
Verifying the audit chain of a folder whose platform is down.

The keys are the keyholder's even now: it is started for this, as its own user
and over the same boot socket as by the warden, and the chain is read as the
node's user.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

_FD: Final = 3
_INSTANCE: Final = 12
_SECONDS: Final = 600


class OfflineError(Exception):
    """The folder cannot be read; the text says what to do."""


def verify(data: Path, root_key: Path | None = None) -> dict[str, object]:
    """Judge the chain of a data folder.  Raises OfflineError."""
    if os.geteuid() != 0:
        raise OfflineError(f"`{data}` is root's: run this as root")
    if not (data / "node").is_dir():
        raise OfflineError(f"`{data}` is no data folder of a platform")
    digest = hashlib.sha256(os.fsencode(data.resolve())).hexdigest()
    with _keyholder(data, root_key) as line:
        done = subprocess.run(  # noqa: S603 — our own program
            [sys.executable, "-I", "-m", "casemate.app.offline", digest[:_INSTANCE]],
            cwd=data / "node",
            user="casemate-node",
            group="casemate-node",
            extra_groups=["casemate"],
            preexec_fn=_as_three(line),
            close_fds=False,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    if done.returncode != 0:
        raise OfflineError(done.stderr.strip() or "the chain could not be read")
    verdict: dict[str, object] = json.loads(done.stdout)
    return verdict


def _as_three(sock: socket.socket) -> Callable[[], None]:
    def place() -> None:
        os.dup2(sock.fileno(), _FD)

    return place


@contextmanager
def _keyholder(data: Path, root_key: Path | None) -> Iterator[socket.socket]:
    boot, its_boot = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    line, its_line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = subprocess.Popen(
        [sys.executable, "-I", "-m", "casemate_keyholder"],
        cwd=data / "keyholder",
        user="casemate-keyholder",
        group="casemate-keyholder",
        extra_groups=["casemate"],
        preexec_fn=_as_three(its_boot),  # noqa: PLW1509 — no thread runs here
        close_fds=False,
    )
    names, fds = ["node"], [its_line.fileno()]
    if root_key:
        names.append("root_key")
        fds.append(os.open(root_key, os.O_RDONLY | os.O_CLOEXEC))
    settings = {
        "data": str(data / "keyholder"),
        "root_key_file": str(root_key) if root_key else None,
    }
    message = {"verb": "boot", "settings": settings, "fds": names}
    socket.send_fds(boot, [json.dumps(message).encode()], fds)
    its_boot.close()
    its_line.close()
    try:
        if not boot.recv(65_536):
            raise OfflineError("the keyholder did not open the keys of this folder")
        yield line
    finally:
        boot.close()
        line.close()
        process.wait(10)
