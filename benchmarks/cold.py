"""
Cold starts, end to end, beside what starts an interpreter without Casemate.

What is timed is a whole signed call over a connection that is open: from the first
byte sent to the last byte of the function's answer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from benchmarks.casemate_server import Casemate, event, hello
from benchmarks.client import Line

PYTHON: Final = "/usr/bin/python3.11"
_BOTO3: Final = "import boto3\n\n" + hello()
_LOGGING: Final = "import json\nimport logging\n\n" + hello()
HIT: Final = "Casemate, a cell of the pool"
EMPTY: Final = "Casemate, no cell waiting (`--pool 0`)"
FIRST: Final = "Casemate, a package's first use on the node"
WITH_BOTO3: Final = "Casemate, a cell of the pool, `import boto3`"
WITH_LOGGING: Final = "Casemate, a cell of the pool, `import json, logging`"
BARE: Final = "`python3.11 -c pass`"
ISOLATED: Final = "`python3.11 -I -c pass`"
CONTAINER: Final = "`runc run`, `python3.11 -I -c pass` in it"
BOTO3: Final = "`python3.11 -c 'import boto3'`"

_STRAYS: Final = 20

Starts = dict[str, list[float]]
"""Seconds of each start, by what was started."""


def measure(
    full: Casemate, empty: Casemate, rounds: int, say: Callable[[str], None]
) -> Starts:
    """Start one of each, round after round."""
    firsts = _prepare(full, empty, rounds, say)
    with _container(full) as container:
        kinds: dict[str, Callable[[int], float]] = {
            BARE: lambda _: _run([PYTHON, "-c", "pass"]),
            ISOLATED: lambda _: _run([PYTHON, "-I", "-c", "pass"]),
            CONTAINER: lambda _: _run(container()),
            BOTO3: lambda _: _run(_import_boto3(full)),
            HIT: lambda _: _renewed(full, "hello"),
            EMPTY: lambda _: _unpooled(empty, "hello"),
            FIRST: lambda number: _first(full, firsts[number]),
            WITH_LOGGING: lambda _: _renewed(full, "logs"),
            WITH_BOTO3: lambda _: _renewed(full, "boto"),
        }
        found: Starts = {name: [] for name in kinds}
        for number in range(rounds):
            say(f"cold: round {number + 1} of {rounds}")
            for name, start in kinds.items():
                full.rest()
                empty.rest()
                found[name].append(start(number))
    return found


def _prepare(
    full: Casemate, empty: Casemate, rounds: int, say: Callable[[str], None]
) -> Sequence[str]:
    """
    Deploy; then restart, so that no package of `firsts` has been used on the node.

    Every one of these is a package of its own: they differ by a comment.
    """
    firsts = [f"first{number}" for number in range(rounds)]
    full.deploy("hello", hello())
    full.deploy("boto", _BOTO3)
    full.deploy("logs", _LOGGING)
    empty.deploy("hello", hello())
    say(f"cold: deploying {rounds} packages")
    for name in firsts:
        full.deploy(name, f"# {name}\n{hello()}")
    full.restart()
    for name in ("boto", "logs"):
        _call(full, name)
    for platform, name in ((full, "hello"), (empty, "hello")):
        _call(platform, name)
    return firsts


def _renewed(platform: Casemate, name: str) -> float:
    """Time a call of a function whose package is here, and that has no cell."""
    platform.renew(name)
    platform.rest()
    return _cold(platform, name)


def _unpooled(platform: Casemate, name: str) -> float:
    """Time a call for which no cell waits; one that does is used up first."""
    for _ in range(_STRAYS):
        platform.renew(name)
        platform.rest()
        if not platform.metrics().get("casemate_cells_waiting"):
            return _cold(platform, name)
        _call(platform, name)
    raise AssertionError("cells wait although the pool has none")


def _first(platform: Casemate, name: str) -> float:
    return _cold(platform, name)


def _cold(platform: Casemate, name: str) -> float:
    """Time a call, and make sure that it was a cold one."""
    before = platform.metrics()["casemate_sandbox_cold"]
    seconds = _call(platform, name)
    if platform.metrics()["casemate_sandbox_cold"] != before + 1:
        raise AssertionError(f"`{name}` did not start cold")
    return seconds


def _call(platform: Casemate, name: str) -> float:
    ask = platform.invocation(name, *event("cold"))
    line = Line(platform.peer)
    try:
        return line.ask(ask)
    finally:
        line.close()


def _run(argv: Sequence[str]) -> float:
    """Time a program from its start to its end."""
    begin = time.perf_counter()
    pid = os.posix_spawn(argv[0], list(argv), {"PATH": "/usr/bin:/bin"})
    _, status = os.waitpid(pid, 0)
    end = time.perf_counter()
    if status:
        raise AssertionError(f"{argv} ended with {status}")
    return end - begin


def _import_boto3(platform: Casemate) -> list[str]:
    """Import the very boto3 that a cell sees, with its byte code."""
    path = str(_image(platform) / "var/runtime")
    code = f"import sys; sys.path.insert(0, {path!r}); sys.dont_write_bytecode = True"
    return [PYTHON, "-c", f"{code}; import boto3"]


def _image(platform: Casemate) -> Path:
    """Find the runtime image that cells of this interpreter have as their root."""
    images = platform.platform.data / "images"
    return next(images.glob("python3.11-*/base"))


@contextmanager
def _container(platform: Casemate) -> Iterator[Callable[[], list[str]]]:
    """
    Make an OCI bundle of the same interpreter on the same image.

    It has what a careful user gives a container: all namespaces, no network but a
    loopback, no capability, a read-only root.
    """
    runc = shutil.which(
        "runc", path="/usr/local/sbin:/usr/sbin:/usr/local/bin:/usr/bin"
    )
    if runc is None:
        raise FileNotFoundError("runc is not installed")
    image = _image(platform)
    bundle = Path(tempfile.mkdtemp(prefix="casemate-bench-", dir="/var/tmp"))
    bundle.chmod(0o755)
    root = bundle / "rootfs"
    root.mkdir()
    turn = iter(range(1_000_000))
    subprocess.run(["mount", "--bind", image, root], check=True)
    try:
        (bundle / "config.json").write_text(json.dumps(_configuration()), "utf-8")
        state = ["--root", str(bundle / "state")]
        yield lambda: [
            *(runc, *state, "run", "--bundle", str(bundle)),
            f"bench{os.getpid()}-{next(turn)}",
        ]
    finally:
        subprocess.run(["umount", root], check=True)
        shutil.rmtree(bundle)


def _configuration() -> dict[str, object]:
    nobody: list[str] = []
    sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
    namespaces = ("user", "pid", "mount", "ipc", "uts", "cgroup", "network")
    mapping = [{"containerID": 0, "hostID": 2_000_000_000, "size": 65_536}]
    return {
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs", "readonly": True},
        "process": {
            "user": {"uid": 993, "gid": 990},
            "args": [PYTHON, "-I", "-c", "pass"],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "capabilities": dict.fromkeys(sets, nobody),
            "noNewPrivileges": True,
        },
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs"},
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in namespaces],
            "uidMappings": mapping,
            "gidMappings": mapping,
        },
    }
