"""
What keeps the keyholder's memory to itself.

Not done: keys are not wiped from memory after use (Python copies bytes as it
likes); whoever reads this process's memory has them anyway.
"""

from __future__ import annotations

import ctypes
import os
import resource

_PR_SET_DUMPABLE = 4  # linux/prctl.h
_MCL_CURRENT, _MCL_FUTURE = 1, 2  # asm-generic/mman.h


def harden() -> dict[str, bool]:
    """
    Forbid core dumps, tracing by the own user, and swapping.

    Gives what holds.  Memory is locked where the limit allows: under a finite
    RLIMIT_MEMLOCK only what there is now, because a lock on all that is to
    come would turn later allocations into failures.
    """
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    undumpable = libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    limits = (hard, hard)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, limits)
    unbounded = hard == resource.RLIM_INFINITY
    flags = _MCL_CURRENT | (_MCL_FUTURE if unbounded else 0)
    locked = libc.mlockall(flags) == 0
    return {
        "undumpable": undumpable,
        "no_core": resource.getrlimit(resource.RLIMIT_CORE) == (0, 0),
        "memory_locked": locked,
        "memory_stays_locked": locked and unbounded,
    }
