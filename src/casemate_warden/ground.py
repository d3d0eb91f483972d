"""
What the platform stands on: users, folders, the lock, and the sockets at its door.

Each refusal names the thing that is in the way and what to do about it.
"""

from __future__ import annotations

import fcntl
import grp
import hashlib
import ipaddress
import os
import pwd
import re
import socket
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RUN: Final = Path("/run/casemate")
GROUP: Final = "casemate"
NODE: Final = "casemate-node"
KEYHOLDER: Final = "casemate-keyholder"
EGRESS: Final = "casemate-egress"
SCHEMA: Final = 1
LARGEST_PORT: Final = 65_535
REGION: Final = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]")
KEY_SIZES: Final = frozenset({32, 64, 65})
"""Bytes of a root key file: raw, or hex digits with or without a newline."""

_LOCK_PATIENCE_S: Final = 15.0
_BACKLOG: Final = 1_024


class CannotStart(Exception):
    """One line that says what is in the way and what to do."""


@dataclass(frozen=True, kw_only=True)
class User:
    """One of the platform's users."""

    name: str
    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True)
class Listen:
    """Where the platform is to be reached; port 0 picks one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Listen:
        """`HOST:PORT`, with brackets around an IPv6 address."""
        host, colon, port = text.rpartition(":")
        if (
            not colon
            or not port.isascii()
            or not port.isdigit()
            or int(port) > LARGEST_PORT
        ):
            raise ValueError(f"`{text}` is not HOST:PORT")
        return cls(host=host.removeprefix("[").removesuffix("]"), port=int(port))

    @property
    def names(self) -> list[str]:
        """What the endpoint's certificate has to name beside loopback."""
        try:
            address = ipaddress.ip_address(self.host)
        except ValueError:
            return [] if self.host == "localhost" else [self.host]
        return [] if address.is_loopback or address.is_unspecified else [self.host]

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def instance(data: Path) -> str:
    """12 hexadecimal digits that stand for one data folder."""
    return hashlib.sha256(os.fsencode(data)).hexdigest()[:12]


def users() -> dict[str, User]:
    """The platform's three users, made if they are missing."""
    if not _has_group(GROUP):
        _tool("groupadd", "--system", GROUP)
    # Egress is in no common group: it has no business in the data folder.
    own = {NODE: ("--gid", GROUP), KEYHOLDER: ("--gid", GROUP), EGRESS: ("-U",)}
    return {name: _user(name, arguments) for name, arguments in own.items()}


def _user(name: str, arguments: tuple[str, ...]) -> User:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        fixed = ("--system", "--no-create-home", "--home-dir", "/nonexistent")
        _tool("useradd", *fixed, "--shell", "/usr/sbin/nologin", *arguments, name)
        entry = pwd.getpwnam(name)
    if entry.pw_uid == 0 or entry.pw_gid == 0:
        raise CannotStart(f"the user {name} is root: remove it")
    return User(name=name, uid=entry.pw_uid, gid=entry.pw_gid)


def _has_group(name: str) -> bool:
    return any(entry.gr_name == name for entry in grp.getgrall())


def _tool(name: str, *arguments: str) -> None:
    done = subprocess.run(
        [f"/usr/sbin/{name}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )
    if done.returncode != 0:
        raise CannotStart(f"{name} failed: {done.stderr.strip()[:200]}")


def prepare_data(data: Path, people: dict[str, User]) -> None:
    """The data folder with its parts, each owned by the one user that works there."""
    group = grp.getgrnam(GROUP).gr_gid
    node, keyholder = people[NODE], people[KEYHOLDER]
    _folder(data, 0o710, 0, group)
    _folder(data / "node", 0o700, node.uid, node.gid)
    _folder(data / "keyholder", 0o700, keyholder.uid, keyholder.gid)
    _folder(data / "images", 0o755, 0, 0)
    _check_schema(data / "schema")


def _folder(path: Path, mode: int, uid: int, gid: int) -> None:
    if not path.exists():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        _synced(path.parent)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        held = os.open(path, flags)
    except OSError as error:
        raise CannotStart(f"{path} is not a folder of its own: remove it") from error
    try:
        if os.fstat(held).st_uid not in (0, uid):
            raise CannotStart(f"{path} is not root's: choose another --data")
        os.fchown(held, uid, gid)
        os.fchmod(held, mode)
    finally:
        os.close(held)


def _check_schema(path: Path) -> None:
    if not path.exists():
        _write(path, f"{SCHEMA}\n")
    text = path.read_text("ascii").strip()
    if not text.isdigit() or int(text) > SCHEMA:
        raise CannotStart(
            f"{path} says `{text[:20]}`, not {SCHEMA}: start a newer casemate"
        )


def _write(path: Path, text: str) -> None:
    """
    Writes a small file that a power cut leaves whole or not there.

    Without the fsync, one soon after the first start left it empty, and no later
    start took the folder.
    """
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with draft.open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
    draft.replace(path)
    _synced(path.parent)


def _synced(folder: Path) -> None:
    """Has the names in a folder on the disk."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)


def keep_region(data: Path, region: str) -> None:
    """
    A data folder is of one region: it stands in the ARNs of all that is in it.

    The first start writes it down; needs the lock.
    """
    path = data / "region"
    if not path.exists():
        _write(path, f"{region}\n")
    made_for = path.read_text("ascii", "replace").strip()
    if made_for != region:
        raise CannotStart(
            f"{data} was made for the region {made_for[:40]}, not {region}: "
            f"start it with --region {made_for[:40]}, or choose another --data"
        )


def refuse_held(data: Path) -> None:
    """Refuses a folder on which a platform runs, before anything is made or said."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        held = os.open(data / "lock", flags)
    except OSError:
        return  # no platform has been here, or `lock` says what is in the way
    try:
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = _owner(held)
        if _alive(owner):
            raise _runs(data, owner) from None
    finally:
        os.close(held)


def lock(data: Path) -> int:
    """
    The one lock on a data folder; held until the descriptor and its copies close.

    A dead predecessor's sweeper may hold it for a moment, and is waited for.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    held = os.open(data / "lock", flags, 0o600)
    end = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _owner(held)
            if _alive(owner) or time.monotonic() > end:
                os.close(held)
                raise _runs(data, owner) from None
            time.sleep(0.05)
        else:
            os.ftruncate(held, 0)
            os.pwrite(held, f"{os.getpid()}\n".encode("ascii"), 0)
            return held


def _owner(held: int) -> str:
    return os.pread(held, 20, 0).decode("ascii", "replace").strip()


def _runs(data: Path, owner: str) -> CannotStart:
    return CannotStart(
        f"casemate already runs on {data} (process {owner}): "
        "stop it first, or choose another --data"
    )


def _alive(owner: str) -> bool:
    return owner.isdigit() and Path("/proc", owner).exists()


def door(listen: Listen) -> socket.socket:
    """The listening socket of the HTTPS endpoint."""
    family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((listen.host, listen.port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotStart(
            f"cannot listen on {listen}: {error.strerror}; choose another --listen"
        ) from error
    return listener


def run_folder(data: Path) -> Path:
    """The platform's run folder; every user can pass through it, none can list it."""
    path = RUN / instance(data)
    for folder in (RUN, path):
        _folder(folder, 0o711, 0, 0)
    return path


def local_socket(path: Path) -> socket.socket:
    """A listening Unix socket that only root can connect to."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    listener.listen(_BACKLOG)
    return listener


def root_key(path: Path) -> int:
    """The operator's root key file, opened: a regular file that only root can read."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        held = os.open(path, flags)
    except OSError as error:
        raise CannotStart(f"--root-key-file {path}: {error.strerror}") from error
    if flaw := _flaw_of_key(os.fstat(held)):
        os.close(held)
        raise CannotStart(f"--root-key-file {path} {flaw}")
    return held


def witness(path: Path, data: Path) -> int:
    """
    The file that receives checkpoints, opened to append to; made if it is not there.

    What can be put back with the data folder is no witness of it.
    """
    if Path(os.path.realpath(path)).is_relative_to(data):
        raise CannotStart(
            f"--witness {path} is in the data folder, and would be put back with it: "
            "name a place elsewhere"
        )
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        held = os.open(path, flags, 0o600)
    except OSError as error:
        raise CannotStart(f"--witness {path}: {error.strerror}") from error
    status = os.fstat(held)
    if not stat.S_ISREG(status.st_mode):
        flaw = "is not a regular file"
    elif status.st_uid != 0 or status.st_mode & 0o022:
        flaw = "can be changed by others: chown root it, and chmod 0600 it"
    else:
        return held
    os.close(held)
    raise CannotStart(f"--witness {path} {flaw}")


def _flaw_of_key(status: os.stat_result) -> str | None:
    """What is wrong with a root key file; its text is the keyholder's to judge."""
    if not stat.S_ISREG(status.st_mode):
        return "is not a regular file"
    if status.st_uid != 0:
        return "is not root's: chown root it, and chmod 0400 it"
    if status.st_mode & 0o077:
        return "is open to others: chmod 0400 it"
    if status.st_size not in KEY_SIZES:
        return (
            "holds neither 32 raw bytes nor 64 hex digits: "
            "`openssl rand -hex 32` makes one"
        )
    return None
