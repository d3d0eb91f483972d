"""
Grades a host: what Casemate needs, what weakens it, and what to do about each.

Pure: `Facts` in, findings out. The floor is every `fail`; an operator may lower one
by its name, which is recorded, and nothing else lowers it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Final, Literal

from casemate_warden import oci
from casemate_warden.facts import Facts

Grade = Literal["ok", "warn", "fail"]
OLDEST_KERNEL: Final = (5, 14)
NEEDED_V1: Final = frozenset({"memory", "cpu", "cpuacct", "pids", "freezer", "devices"})
NEEDED_V2: Final = frozenset({"memory", "cpu", "pids"})
MACHINES: Final = frozenset({"x86_64", "aarch64"})
LEAST: Final = 1  # of a setting that keeps a stranger from learning or doing too much


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One graded point. `todo` is empty when all is well."""

    id: str
    grade: Grade
    message: str
    todo: str = ""


def _need(name: str, held: bool, good: str, bad: str, todo: str) -> Finding:
    if held:
        return Finding(id=name, grade="ok", message=good)
    return Finding(id=name, grade="fail", message=bad, todo=todo)


def _wish(name: str, held: bool, good: str, bad: str, todo: str) -> Finding:
    if held:
        return Finding(id=name, grade="ok", message=good)
    return Finding(id=name, grade="warn", message=bad, todo=todo)


def _kernel(facts: Facts) -> Iterable[Finding]:
    oldest = ".".join(map(str, OLDEST_KERNEL))
    yield _need(
        "kernel",
        facts.kernel >= OLDEST_KERNEL,
        f"the kernel is {oldest} or later",
        f"the kernel is {'.'.join(map(str, facts.kernel))}, older than {oldest}",
        f"boot a Linux of {oldest} or later",
    )
    yield _need(
        "machine",
        facts.machine in MACHINES,
        "the machine is one whose system calls are known here",
        f"the system calls of a machine `{facts.machine}` are not known here",
        f"run on one of {', '.join(sorted(MACHINES))}",
    )
    yield _need(
        "mounts",
        facts.mount_api,
        "mounts can be made by descriptor",
        "mounts cannot be made by descriptor"
        if facts.root
        else "only root can try whether mounts can be made by descriptor",
        "boot a kernel with fsopen(2) and mount_setattr(2)"
        if facts.root
        else "run it as root",
    )
    yield _need(
        "overlay",
        "overlay" in facts.filesystems,
        "overlayfs is there",
        "overlayfs is missing",
        "load the module `overlay`",
    )
    yield _need(
        "seccomp",
        facts.seccomp,
        "the kernel filters system calls",
        "the kernel cannot filter system calls",
        "boot a kernel with CONFIG_SECCOMP_FILTER",
    )
    yield _need(
        "user-namespaces",
        facts.user_namespaces != 0,
        "user namespaces can be made",
        "user namespaces are turned off",
        "set the sysctl user.max_user_namespaces above 0",
    )


def _cgroups(facts: Facts) -> Iterable[Finding]:
    needed = NEEDED_V1 if facts.cgroup == 1 else NEEDED_V2
    missing = ", ".join(sorted(needed - facts.controllers))
    yield _need(
        "controllers",
        not missing,
        "every control group controller that cells need is there",
        f"control group controllers that cells need are missing: {missing}",
        f"enable {missing}",
    )
    yield _wish(
        "cgroup-version",
        facts.cgroup != 1,
        "control groups are version 2",
        "control groups are version 1 (hybrid), which works",
        "boot with systemd.unified_cgroup_hierarchy=1",
    )


def _runtime(facts: Facts) -> Iterable[Finding]:
    chosen, reason = oci.choose(list(facts.runtimes), facts.cgroup)
    yield _need(
        "oci-runtime",
        chosen is not None,
        f"an OCI runtime works here ({reason})",
        f"no OCI runtime works here ({reason})",
        "apt-get install runc",
    )
    if chosen is not None:
        version = ".".join(map(str, chosen.version)) or "of unknown version"
        yield _wish(
            "oci-escapes",
            chosen.has_escape_fixes,
            f"{chosen.name} {version} has the fixes of November 2025",
            f"{chosen.name} {version} may lack the fixes for CVE-2025-31133, "
            "CVE-2025-52565 and CVE-2025-52881, which are unreachable by design here: "
            "no byte of a tenant is present while it runs",
            "upgrade to runc 1.2.8, 1.3.3 or 1.4.0 or later",
        )
    yield _need(
        "root-mount",
        facts.root_is_mount,
        "the root folder is a mount, so namespaces can be made of it",
        "the root folder is no mount, so no namespace can be made of it",
        "leave the bare chroot: use pivot_root, or a container",
    )
    yield _need(
        "nft",
        facts.nft,
        "nft is installed",
        "nft is not installed",
        "apt-get install nftables",
    )
    yield _need(
        "useradd",
        facts.useradd,
        "useradd is there",
        "useradd is missing",
        "apt-get install passwd",
    )


def _memory(facts: Facts) -> Iterable[Finding]:
    yield _wish(
        "swap",
        facts.noswap or not facts.swap,
        "unpacked code is never written to swap",
        "swap is on and this kernel cannot keep a tmpfs out of it"
        if facts.root
        else "swap is on, and only root can try whether a tmpfs is kept out of it",
        "swapoff -a, or boot Linux 6.4 or later, or encrypt the swap"
        if facts.root
        else "run it as root",
    )


_COMES_WITH: Final = {
    "kernel/yama/ptrace_scope": ": the security module Yama, built in and in `lsm=`"
}


def _settings(facts: Facts) -> Iterable[Finding]:
    for name, value in facts.settings.items():
        dotted = name.replace("/", ".")
        yield _wish(
            dotted,
            value is not None and value >= LEAST,
            f"{dotted} is {value}",
            f"{dotted} is {'not there' if value is None else value}",
            f"sysctl -w {dotted}={LEAST}"
            if value is not None
            else f"boot a kernel that has it{_COMES_WITH.get(name, '')}",
        )


def _folders(facts: Facts) -> Iterable[Finding]:
    yield _need(
        "data-way",
        facts.data_closed_at is None,
        f"the platform's users can pass through to {facts.data}",
        f"the platform's users cannot pass {facts.data_closed_at} to {facts.data}",
        f"choose another --data, or chmod o+x {facts.data_closed_at}",
    )
    closed = facts.data_mode is None or not facts.data_mode & 0o027
    yield _need(
        "data-mode",
        closed and facts.data_owner in (None, 0),
        f"{facts.data} is root's and closed to others",
        f"{facts.data} is not root's, or open to others",
        "choose another --data, or, where nothing else uses it, "
        f"chown root {facts.data}; chmod 0710 {facts.data}",
    )
    yield _need(
        "python-way",
        facts.python_closed_at is None,
        f"the platform's users can run {facts.python}",
        f"the platform's users cannot run {facts.python}: others cannot pass "
        f"{facts.python_closed_at}",
        "make the virtual environment elsewhere, on an interpreter outside of "
        "root's home",
    )
    yield _need(
        "python-owner",
        facts.python_writable_at is None,
        f"nobody but root can change {facts.python}",
        f"{facts.python_writable_at} can be changed by others than root",
        f"chown root and chmod go-w {facts.python_writable_at}",
    )


_CHECKS: Final[tuple[Callable[[Facts], Iterable[Finding]], ...]] = (
    _kernel,
    _cgroups,
    _runtime,
    _memory,
    _settings,
    _folders,
)


def grade(facts: Facts) -> list[Finding]:
    """Every point, in a fixed order."""
    root = _need(
        "root",
        facts.root,
        "this runs as root",
        "this does not run as root, so not everything can be tried",
        "run it as root",
    )
    return [root, *(finding for check in _CHECKS for finding in check(facts))]


def below_floor(findings: Iterable[Finding], accepted: Iterable[str]) -> list[Finding]:
    """What keeps the platform from starting; `accepted` lowers the floor by name."""
    names = frozenset(accepted)
    return [
        finding
        for finding in findings
        if finding.grade == "fail" and finding.id not in names
    ]


def as_text(findings: Iterable[Finding]) -> str:
    """A line for each, with what to do below those that are not well."""
    lines: list[str] = []
    for finding in findings:
        lines.append(f"{finding.grade:4}  {finding.id}: {finding.message}")
        if finding.todo:
            lines.append(f"      to do: {finding.todo}")
    return "\n".join(lines)


def as_json(findings: Iterable[Finding]) -> str:
    """One object with the checks and whether the floor holds."""
    listed = list(findings)
    body = {
        "checks": [asdict(finding) for finding in listed],
        "floor": not below_floor(listed, ()),
    }
    return json.dumps(body, indent=2)
