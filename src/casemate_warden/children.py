"""
The three unprivileged processes: keyholder, egress and node.

Each is forked before the warden has a second thread, goes back to the host's own
mount namespace (where no tenant's tree is), becomes its own user without groups or
capabilities, can gain none again, and dies with the warden.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from casemate_warden import facts, kernel, messages
from casemate_warden.ground import User
from casemate_warden.messages import Peer

BOOT: Final = 3
KEPT: Final = frozenset({"ready", "drained"})
_PDEATHSIG: Final = 1
_CAPBSET_DROP: Final = 24
_NO_NEW_PRIVS: Final = 38
_FAILED: Final = 126


@dataclass(frozen=True, kw_only=True)
class Role:
    """What a child runs, as whom, where."""

    name: str
    module: str
    user: User
    folder: Path
    open_files: int


@dataclass(kw_only=True)
class Child:
    """A running child and the warden's end of its boot socket."""

    name: str
    pid: int
    pidfd: int
    peer: Peer
    said: dict[str, dict[str, Any]]  # its last message of each verb of `KEPT`

    def heard(self, body: dict[str, Any]) -> None:
        """
        Keeps what somebody waits for.

        Anything else would be kept here for as long as a child likes to talk.
        """
        verb = body.get("verb")
        if isinstance(verb, str) and verb in KEPT:
            self.said[verb] = body

    def boot(self, settings: Mapping[str, Any], named: Mapping[str, int]) -> None:
        """Its first message; the descriptors pass over."""
        body = {"verb": "boot", "settings": dict(settings), "fds": list(named)}
        self.peer.send(body, [*named.values()])


def start(role: Role, python: Path, mounts: int) -> Child:
    """Forks and executes one child. Only from the warden's first thread."""
    ours, theirs = messages.pair()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(role, python, mounts, theirs, parent)
    theirs.close()
    pidfd = os.pidfd_open(pid)
    return Child(name=role.name, pid=pid, pidfd=pidfd, peer=Peer(ours), said={})


def _become(
    role: Role, python: Path, mounts: int, boot: socket.socket, parent: int
) -> None:
    """In the fork: gives everything up and executes; never returns."""
    try:
        kernel.setns(mounts, kernel.CLONE_NEWNS)
        os.chdir(role.folder)
        os.setsid()  # a terminal's interrupt goes to the warden, which drains
        os.umask(0o077)
        _limit(role)
        _give_up_root(role.user)
        kernel.prctl(_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(_FAILED)
        _arrange(boot)
        command = [str(python), "-I", "-m", role.module]
        # No shell, and nothing of it comes from outside: role and path are fixed.
        os.execve(python, command, _environment(role))  # noqa: S606 — see above
    except Exception as error:  # noqa: BLE001 — the fork ends here, and says why
        os.write(2, f"{role.name} could not be started: {error}\n".encode())
    finally:
        os._exit(_FAILED)


def _environment(role: Role) -> dict[str, str]:
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(role.folder),
    }


def _limit(role: Role) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = min(most, role.open_files)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))


def _give_up_root(user: User) -> None:
    """(1) bounding set, (2) groups, (3) ids, (4) no way back."""
    for capability in range(facts.last_capability() + 1):  # (1)
        kernel.prctl(_CAPBSET_DROP, capability)
    os.setgroups([])  # (2)
    os.setresgid(user.gid, user.gid, user.gid)  # (3)
    os.setresuid(user.uid, user.uid, user.uid)
    kernel.prctl(_NO_NEW_PRIVS, 1)  # (4)


def _arrange(boot: socket.socket) -> None:
    """Descriptors 0 to 2 and the boot socket; all others close on exec."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(boot.fileno(), BOOT)
    os.set_inheritable(BOOT, True)
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(signum, signal.SIG_DFL)
