"""
What this host is, read once and judged elsewhere (`doctor`).
"""

from __future__ import annotations

import os
import platform
import stat
from dataclasses import dataclass
from pathlib import Path

from casemate_warden import cgroups, kernel, oci


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One host, as `doctor` grades it. `None` stands for "the kernel does not say"."""

    root: bool
    machine: str
    kernel: tuple[int, int]
    runtimes: tuple[oci.Runtime, ...]
    cgroup: int
    controllers: frozenset[str]
    user_namespaces: int | None
    seccomp: bool
    filesystems: frozenset[str]
    mount_api: bool
    noswap: bool
    swap: bool
    root_is_mount: bool  # not so in a bare chroot
    nft: bool
    useradd: bool
    settings: dict[str, int | None]
    data: Path
    data_closed_at: Path | None  # first folder on the way that others cannot pass
    data_mode: int | None
    data_owner: int | None
    python: Path
    python_closed_at: Path | None
    python_writable_at: Path | None


SETTINGS = (
    "kernel/kptr_restrict",
    "kernel/dmesg_restrict",
    "kernel/yama/ptrace_scope",
    "kernel/unprivileged_bpf_disabled",
    "fs/protected_hardlinks",
    "fs/protected_symlinks",
)


def probe(data: Path, python: Path) -> Facts:
    """Reads everything; changes nothing but for one mount that nobody ever sees."""
    status = data.stat() if data.is_dir() else None
    api, noswap = _mounts()
    major, minor = platform.release().split(".")[:2]
    return Facts(
        root=os.geteuid() == 0,
        machine=platform.machine(),
        kernel=(int(major), int("".join(filter(str.isdigit, minor)))),
        runtimes=tuple(oci.installed()),
        cgroup=cgroups.version(),
        controllers=_controllers(),
        user_namespaces=_number("user/max_user_namespaces"),
        seccomp=Path("/proc/sys/kernel/seccomp/actions_avail").exists(),
        filesystems=_filesystems(),
        mount_api=api,
        noswap=noswap,
        swap=len(Path("/proc/swaps").read_text("ascii").splitlines()) > 1,
        root_is_mount=_root_is_mount(),
        nft=Path("/usr/sbin/nft").exists(),
        useradd=Path("/usr/sbin/useradd").exists(),
        settings={name: _number(name) for name in SETTINGS},
        data=data,
        data_closed_at=closed_at(data.parent),
        data_mode=stat.S_IMODE(status.st_mode) if status else None,
        data_owner=status.st_uid if status else None,
        python=python,
        python_closed_at=closed_at(python) or closed_at(python.resolve()),
        python_writable_at=_writable_at(python),
    )


def _root_is_mount() -> bool:
    """Whether `/` is a mount: in a bare chroot no line of the table names it."""
    lines = Path("/proc/self/mountinfo").read_text("utf-8").splitlines()
    return any(line.split(" ")[4] == "/" for line in lines)


def _number(name: str) -> int | None:
    try:
        return int(Path("/proc/sys", name).read_text("ascii"))
    except (OSError, ValueError):
        return None


def _controllers() -> frozenset[str]:
    unified = cgroups.ROOT / "cgroup.controllers"
    if unified.exists():
        return frozenset(unified.read_text("ascii").split())
    return frozenset(path.name for path in cgroups.ROOT.iterdir() if path.is_dir())


def _filesystems() -> frozenset[str]:
    lines = Path("/proc/filesystems").read_text("ascii").splitlines()
    known = {line.split()[-1] for line in lines}
    module = Path("/lib/modules", platform.release(), "kernel/fs/overlayfs")
    return frozenset(known | ({"overlay"} if module.is_dir() else set()))


def _mounts() -> tuple[bool, bool]:
    """Whether mounts by descriptor work, and whether a tmpfs can refuse swap."""
    try:
        made = kernel.filesystem("tmpfs", kernel.RDONLY)
        kernel.set_attributes(made, add=kernel.NODEV)
        os.close(made)
    except OSError:
        return False, False
    try:
        os.close(kernel.filesystem("tmpfs", kernel.RDONLY, noswap=""))
    except OSError:
        return True, False
    return True, True


def closed_at(path: Path) -> Path | None:
    """The first existing folder or file on the way that not every user can pass."""
    for part in (*reversed(path.parents), path):
        if part.exists() and not part.stat().st_mode & stat.S_IXOTH:
            return part
    return None


def _writable_at(python: Path) -> Path | None:
    """A place on the interpreter's way that somebody but root could change."""
    packages = python.parents[1].glob("lib/python3.*/site-packages")
    ways = (python, *python.parents, *python.resolve().parents, *packages)
    for part in ways:
        status = part.stat()
        sticky = status.st_mode & stat.S_ISVTX
        if status.st_uid != 0 or (status.st_mode & stat.S_IWOTH and not sticky):
            return part
    return None


def memory_mb() -> int:
    """Memory of the whole host."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // cgroups.MB


def last_capability() -> int:
    """The highest capability that this kernel knows."""
    return int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
