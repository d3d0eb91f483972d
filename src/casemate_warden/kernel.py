"""
The system calls that Python 3.11 does not wrap: mounts by descriptor, namespaces.

Every mount here is made, changed and placed by descriptor, so that no path is ever
looked up inside a tree that a tenant can write to.
Numbers above 423 are the same on every architecture (Linux, `asm-generic/unistd.h`).
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

AT_EMPTY_PATH: Final = 0x1000
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWNET: Final = 0x40000000

RDONLY: Final = 0x1
NOSUID: Final = 0x2
NODEV: Final = 0x4
NOEXEC: Final = 0x8
MS_SHARED: Final = 1 << 20
MS_SLAVE: Final = 1 << 19
MS_PRIVATE: Final = 1 << 18
MS_REC: Final = 1 << 14

_OPEN_TREE: Final = 428
_MOVE_MOUNT: Final = 429
_FSOPEN: Final = 430
_FSCONFIG: Final = 431
_FSMOUNT: Final = 432
_FSPICK: Final = 433
_MOUNT_SETATTR: Final = 442
_CLOEXEC: Final = 1
_SET_FLAG: Final = 0
_SET_STRING: Final = 1
_CREATE: Final = 6
_RECONFIGURE: Final = 7
_MNT_DETACH: Final = 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _MountAttr(ctypes.Structure):
    """`struct mount_attr`, mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _checked(result: int, what: str) -> int:
    """The result, or `OSError` with the call's name and the kernel's errno."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _text(value: str | None) -> ctypes.c_char_p:
    return ctypes.c_char_p(None if value is None else os.fsencode(value))


def unshare(flags: int) -> None:
    """Moves the calling thread, not the process, into new namespaces."""
    _checked(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(descriptor: int, kind: int) -> None:
    """Moves the calling thread into the namespace behind `descriptor`."""
    _checked(_libc.setns(ctypes.c_int(descriptor), ctypes.c_int(kind)), "setns")


def prctl(option: int, value: int) -> None:
    """Sets one attribute of the calling process."""
    zero = ctypes.c_ulong(0)
    number = ctypes.c_ulong(value)
    done = _libc.prctl(ctypes.c_int(option), number, zero, zero, zero)
    _checked(done, f"prctl {option}")


def syncfs(descriptor: int) -> None:
    """Has everything of one file system on its disk."""
    _checked(_libc.syncfs(ctypes.c_int(descriptor)), "syncfs")


def namespace(kind: str) -> int:
    """A descriptor on the calling thread's own namespace (`mnt`, `net`)."""
    return os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def filesystem(kind: str, attributes: int, **options: str) -> int:
    """
    A new, detached mount of a new filesystem; the caller owns the descriptor.

    An option whose value is `""` is a flag. Raises `OSError`: EINVAL for an option
    that the kernel does not know.
    """
    context = _checked(
        _libc.syscall(_FSOPEN, _text(kind), ctypes.c_uint(_CLOEXEC)), f"fsopen {kind}"
    )
    try:
        for name, value in options.items():
            _option(context, name, value)
        _fsconfig(context, _CREATE)
        flags = ctypes.c_uint(_CLOEXEC), ctypes.c_uint(attributes)
        made = _libc.syscall(_FSMOUNT, ctypes.c_int(context), *flags)
        return _checked(made, f"fsmount {kind}")
    finally:
        os.close(context)


def _option(context: int, name: str, value: str) -> None:
    _fsconfig(context, _SET_STRING if value else _SET_FLAG, name, value or None)


def _fsconfig(
    context: int, command: int, name: str | None = None, value: str | None = None
) -> None:
    done = _libc.syscall(
        _FSCONFIG,
        ctypes.c_int(context),
        ctypes.c_uint(command),
        _text(name),
        _text(value),
        ctypes.c_int(0),
    )
    _checked(done, f"fsconfig {name or command}")


def seal_filesystem(mount: int) -> None:
    """Makes the whole filesystem behind `mount` read-only, for every mount of it."""
    context = _checked(
        _libc.syscall(
            _FSPICK,
            ctypes.c_int(mount),
            _text(""),
            ctypes.c_uint(_CLOEXEC | 8),  # FSPICK_EMPTY_PATH
        ),
        "fspick",
    )
    try:
        _option(context, "ro", "")
        _fsconfig(context, _RECONFIGURE)
    finally:
        os.close(context)


def clone_mount(mount: int) -> int:
    """A detached copy of one mount, in the same peer group if it is shared."""
    flags = 1 | os.O_CLOEXEC | AT_EMPTY_PATH  # OPEN_TREE_CLONE
    done = _libc.syscall(
        _OPEN_TREE, ctypes.c_int(mount), _text(""), ctypes.c_uint(flags)
    )
    return _checked(done, "open_tree")


def set_attributes(mount: int, *, add: int = 0, propagation: int = 0) -> None:
    """
    mount_setattr(2) on exactly the mount behind the descriptor.

    There is no way here to take an attribute off a mount again.
    """
    attributes = _MountAttr(add, 0, propagation, 0)
    done = _libc.syscall(
        _MOUNT_SETATTR,
        ctypes.c_int(mount),
        _text(""),
        ctypes.c_uint(AT_EMPTY_PATH),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    _checked(done, "mount_setattr")


def attach(mount: int, target: int) -> None:
    """Places a detached mount over the directory behind `target`."""
    done = _libc.syscall(
        _MOVE_MOUNT,
        ctypes.c_int(mount),
        _text(""),
        ctypes.c_int(target),
        _text(""),
        ctypes.c_uint(0x44),  # both paths are empty: only descriptors are named
    )
    _checked(done, "move_mount")


def attach_at(mount: int, place: str, *, at: int | None = None) -> None:
    """Places a detached mount over a directory by name, and keeps it to itself."""
    target = directory(place, at=at)
    try:
        attach(mount, target)
        set_attributes(mount, propagation=MS_PRIVATE)
    finally:
        os.close(target)


def propagate(path: str, propagation: int) -> None:
    """Changes the propagation of the mount at one of the warden's own paths."""
    nothing = ctypes.c_char_p(None)
    done = _libc.mount(
        nothing, _text(path), nothing, ctypes.c_ulong(propagation), nothing
    )
    _checked(done, f"mount {path}")


def detach(path: str) -> None:
    """Takes away the mount at one of the warden's own paths, with all below it."""
    _checked(_libc.umount2(_text(path), ctypes.c_int(_MNT_DETACH)), f"umount {path}")


def directory(path: str, *, at: int | None = None) -> int:
    """A descriptor that only names a directory; a symbolic link is refused."""
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, dir_fd=at)
