"""On what the figures were measured."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import time
from pathlib import Path

from platform_harness import CASEMATE


def conditions(competitors: Path) -> list[tuple[str, str]]:
    """List what a reader needs to judge the figures, or to repeat them."""
    return [
        ("date", time.strftime("%Y-%m-%d", time.gmtime())),
        ("Casemate", _said([str(CASEMATE), "--version"]).split()[-1]),
        ("processor", f"{_processor()}, {os.cpu_count()} cores"),
        (
            "memory",
            f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') >> 30} GiB",
        ),
        ("kernel", f"{platform.system()} {platform.release()}"),
        ("control groups", f"version {_cgroups()}"),
        ("Python", platform.python_version()),
        ("Node.js", _said(["node", "--version"]).removeprefix("v")),
        ("OCI runtime", _said(["runc", "--version"]).partition("\n")[0]),
        load("before"),
        *_versions(competitors),
    ]


def load(when: str) -> tuple[str, str]:
    """Tell how many processes wanted to run: at most as many as cores is quiet."""
    one, five, _ = os.getloadavg()
    return f"load {when} the run", f"{one:.2f} (1 minute), {five:.2f} (5 minutes)"


def _versions(competitors: Path) -> list[tuple[str, str]]:
    """Read what is installed, not what was asked for."""
    modules = competitors / "npm/node_modules"
    wanted = ["serverless", "serverless-offline"]
    wanted += [
        str(path.relative_to(modules))
        for path in (modules / "@cloudflare").glob("workerd-linux-*")
    ]
    found = [
        (name.removeprefix("@cloudflare/"), _package(modules / name)) for name in wanted
    ]
    packages = competitors / "venv/lib"
    for name in ("uvicorn", "functions_framework", "gunicorn"):
        info = next(packages.glob(f"python3*/site-packages/{name}-*.dist-info"))
        found.append((name.replace("_", "-"), info.stem.partition("-")[2]))
    return found


def _package(folder: Path) -> str:
    return str(json.loads((folder / "package.json").read_text("utf-8"))["version"])


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text("utf-8")
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _cgroups() -> int:
    return 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1


def _said(argv: list[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout.strip()
