"""
What a cell is, in the OCI runtime's own words (`config.json`).

There is no hook, no terminal, no masked path and no capability. Under
`subset=pid` /proc holds nothing to mask, and each masked path would be one more
mount made by the runtime (the class of CVE-2025-31133).
Sources of mounts are fixed places in a mount namespace that lives only while this
one cell is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from casemate_warden import cgroups, seccomp

USER: Final = 993
GROUP: Final = 990
RANGE: Final = 65_536
HOSTNAME: Final = "casemate"
WAITING_MB: Final = 256  # a generic cell before it is assigned
OPEN_FILES: Final = 1_024
LOCKED_BYTES: Final = 64 << 10

# What a process has while it waits; a function's own environment comes over control.
ENVIRONMENT: Final = (
    "PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin",
    "LANG=en_US.UTF-8",
    "TZ=:UTC",
    "LAMBDA_TASK_ROOT=/var/task",
    "LAMBDA_RUNTIME_DIR=/var/runtime",
)
_NAMESPACES: Final = ("user", "pid", "mount", "ipc", "uts", "cgroup")
_RLIMITS: Final = {
    "RLIMIT_NOFILE": OPEN_FILES,
    "RLIMIT_CORE": 0,  # a core pattern's helper would run as the host's root
    "RLIMIT_MEMLOCK": LOCKED_BYTES,
    "RLIMIT_MSGQUEUE": 0,
    "RLIMIT_NICE": 0,
    "RLIMIT_NPROC": cgroups.PIDS,
    "RLIMIT_RTPRIO": 0,
    "RLIMIT_SIGPENDING": 1_024,
}
_DEVICES: Final = ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What differs from one cell to the next."""

    name: str
    parent: str  # the control group of this platform
    argv: tuple[str, ...]
    first_uid: int  # of the cell's own range on the host
    network: str  # path of its network namespace
    stage: str  # folder with base, dev, certificates, task, opt, tmp


def render(cell: Cell) -> dict[str, Any]:
    """The whole configuration, runtime specification 1.0.2."""
    return {
        "ociVersion": "1.0.2",
        "hostname": HOSTNAME,
        "root": {"path": f"{cell.stage}/base", "readonly": True},
        "process": _process(cell.argv),
        "mounts": _mounts(cell.stage),
        "linux": {
            "namespaces": [
                *({"type": kind} for kind in _NAMESPACES),
                {"type": "network", "path": cell.network},
            ],
            "uidMappings": _mapping(cell.first_uid),
            "gidMappings": _mapping(cell.first_uid),
            "rootfsPropagation": "rslave",
            "cgroupsPath": f"/{cell.parent}/{cell.name}",
            "resources": _resources(),
            "seccomp": seccomp.profile(),
            "maskedPaths": [],
            "readonlyPaths": [],
        },
    }


def _process(argv: tuple[str, ...]) -> dict[str, Any]:
    nothing: list[str] = []
    sets = ("bounding", "effective", "inheritable", "permitted", "ambient")
    return {
        "terminal": False,
        "user": {"uid": USER, "gid": GROUP, "umask": 0o022, "additionalGids": nothing},
        "args": list(argv),
        "env": list(ENVIRONMENT),
        "cwd": "/",
        "capabilities": dict.fromkeys(sets, nothing),
        "noNewPrivileges": True,
        "oomScoreAdj": 1_000,  # the host's own processes outlive every cell
        "rlimits": [
            {"type": kind, "soft": value, "hard": value}
            for kind, value in _RLIMITS.items()
        ],
    }


def _mounts(stage: str) -> list[dict[str, Any]]:
    """`rslave`: what the warden later mounts on its side of a stage appears here."""
    late = ["rbind", "rslave", "ro", "nosuid", "nodev"]
    fixed = ["bind", "rprivate", "ro", "nosuid", "nodev", "noexec"]
    devices = ["bind", "rprivate", "ro", "nosuid", "noexec"]
    proc = ["nosuid", "nodev", "noexec", "subset=pid", "hidepid=2"]
    bound = {
        "/dev": ("dev", devices),
        "/etc/casemate": ("certificates", fixed),
        "/var/task": ("task", late),
        "/opt": ("opt", late),
        "/tmp": ("tmp", late),  # noqa: S108 — the cell's own
    }
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": proc},
        *(
            {
                "destination": place,
                "type": "bind",
                "source": f"{stage}/{name}",
                "options": options,
            }
            for place, (name, options) in bound.items()
        ),
    ]


def _mapping(first_uid: int) -> list[dict[str, int]]:
    return [{"containerID": 0, "hostID": first_uid, "size": RANGE}]


def _resources() -> dict[str, Any]:
    memory = WAITING_MB * cgroups.MB
    return {
        "memory": {"limit": memory, "swap": memory},
        "pids": {"limit": cgroups.PIDS},
        "cpu": {"quota": cgroups.PERIOD_US, "period": cgroups.PERIOD_US},
        "devices": [
            {"allow": False, "access": "rwm"},
            *(
                {
                    "allow": True,
                    "type": "c",
                    "major": major,
                    "minor": minor,
                    "access": "rw",
                }
                for major, minor in _DEVICES
            ),
        ],
    }
