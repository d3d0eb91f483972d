"""
Which OCI runtime makes the cells: the first that works on this host, and why.

`runc` and `crun` are read from root's own folders only, never from PATH.
gVisor's `runsc` is not among them: that a late mount reaches its file server was not
shown on any host yet, so the stronger tier is not offered.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDERS: Final = ("/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin")
NAMES: Final = ("runc", "crun")
# Fixed in 1.2.8, 1.3.3 and 1.4.0-rc.3: CVE-2025-31133, CVE-2025-52565, CVE-2025-52881.
FIXED: Final = ((1, 2, 8), (1, 3, 3), (1, 4, 0))


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """One OCI runtime that is installed here."""

    name: str
    path: str
    version: tuple[int, ...]  # () when it did not say

    @property
    def has_escape_fixes(self) -> bool:
        """Whether this is a runc with the fixes of November 2025."""
        if self.name != "runc" or not self.version:
            return False
        same = [fixed for fixed in FIXED if fixed[:2] == self.version[:2]]
        return self.version >= (same[0] if same else FIXED[-1])


def installed() -> list[Runtime]:
    """Every known runtime of this host, the preferred one first."""
    found: list[Runtime] = []
    for name in NAMES:
        paths = [Path(folder, name) for folder in FOLDERS]
        there = [path for path in paths if path.is_file()]
        if there:
            path = str(there[0].resolve())
            found.append(Runtime(name=name, path=path, version=_version(path)))
    return found


def _version(path: str) -> tuple[int, ...]:
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except OSError:
        return ()
    match = re.search(r"version (\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in match.groups()) if match else ()


def choose(found: list[Runtime], cgroup: int) -> tuple[Runtime | None, str]:
    """The runtime to use and the reason in one line; crun needs cgroup version 2."""
    for runtime in found:
        if runtime.name == "runc":
            return runtime, "runc works with both versions of control groups"
        if cgroup == 2:  # noqa: PLR2004 — the version's own number
            return runtime, "crun, because runc is not installed"
    names = ", ".join(runtime.name for runtime in found) or "none"
    reason = f"no runtime works here (installed: {names}; cgroup version {cgroup})"
    return None, reason
