"""
Grading is pure: facts in, findings out.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from casemate_warden import doctor, oci
from casemate_warden.facts import SETTINGS, Facts, closed_at

GOOD = Facts(
    root=True,
    machine="x86_64",
    kernel=(6, 12),
    runtimes=(oci.Runtime(name="runc", path="/usr/sbin/runc", version=(1, 3, 3)),),
    cgroup=2,
    controllers=frozenset({"memory", "cpu", "pids"}),
    user_namespaces=1000,
    seccomp=True,
    filesystems=frozenset({"overlay"}),
    mount_api=True,
    noswap=True,
    swap=True,
    nft=True,
    useradd=True,
    root_is_mount=True,
    settings=dict.fromkeys(SETTINGS, 2),
    data=Path("/var/lib/casemate"),
    data_closed_at=None,
    data_mode=0o710,
    data_owner=0,
    python=Path("/opt/v/bin/python"),
    python_closed_at=None,
    python_writable_at=None,
)


def graded(**changes: Any) -> dict[str, doctor.Grade]:
    """Everything that is not well, by its name."""
    findings = doctor.grade(replace(GOOD, **changes))
    assert all(bool(f.todo) == (f.grade != "ok") for f in findings)
    return {f.id: f.grade for f in findings if f.grade != "ok"}


def test_a_good_host_is_well() -> None:
    """Nothing to complain about."""
    assert graded() == {}


OLD = (oci.Runtime(name="runc", path="/usr/sbin/runc", version=(1, 1, 5)),)
CRUN = (oci.Runtime(name="crun", path="/usr/bin/crun", version=(1, 8, 1)),)


@pytest.mark.parametrize(
    ("changes", "name", "grade"),
    [
        ({"root": False}, "root", "fail"),
        ({"kernel": (5, 10)}, "kernel", "fail"),
        ({"machine": "riscv64"}, "machine", "fail"),
        ({"mount_api": False}, "mounts", "fail"),
        ({"filesystems": frozenset[str]()}, "overlay", "fail"),
        ({"seccomp": False}, "seccomp", "fail"),
        ({"user_namespaces": 0}, "user-namespaces", "fail"),
        ({"controllers": frozenset({"cpu"})}, "controllers", "fail"),
        ({"runtimes": ()}, "oci-runtime", "fail"),
        ({"runtimes": OLD}, "oci-escapes", "warn"),
        ({"runtimes": CRUN}, "oci-escapes", "warn"),
        ({"nft": False}, "nft", "fail"),
        ({"useradd": False}, "useradd", "fail"),
        ({"root_is_mount": False}, "root-mount", "fail"),
        ({"noswap": False}, "swap", "warn"),
        ({"data_closed_at": Path("/root")}, "data-way", "fail"),
        ({"data_mode": 0o755}, "data-mode", "fail"),
        ({"data_owner": 1000}, "data-mode", "fail"),
        ({"python_closed_at": Path("/root")}, "python-way", "fail"),
        ({"python_writable_at": Path("/opt")}, "python-owner", "fail"),
        *(
            (
                {"settings": GOOD.settings | {name: value}},
                name.replace("/", "."),
                "warn",
            )
            for name in SETTINGS
            for value in (0, None)
        ),
    ],
)
def test_one_flaw_is_one_finding(
    changes: dict[str, Any], name: str, grade: doctor.Grade
) -> None:
    """O3: each is named alone, with something to do about it."""
    assert graded(**changes) == {name: grade}


def test_a_setting_that_is_not_there_is_not_to_be_set() -> None:
    """What the kernel lacks, no sysctl gives it."""
    lacking = replace(GOOD, settings=dict.fromkeys(SETTINGS))
    todos = {f.id: f.todo for f in doctor.grade(lacking) if f.todo}
    assert "Yama" in todos["kernel.yama.ptrace_scope"]
    assert not any("sysctl" in todo for todo in todos.values())


def test_who_is_not_root_is_not_told_of_a_kernel_that_cannot() -> None:
    """Only root can try to mount."""
    found = replace(GOOD, root=False, mount_api=False, noswap=False)
    told = {f.id: f for f in doctor.grade(found)}
    for name in ("mounts", "swap"):
        assert "only root can try" in told[name].message
        assert told[name].todo == "run it as root"


def test_the_hybrid_mode_works_with_a_warning() -> None:
    """Version 1 needs its own controllers."""
    controllers = frozenset({"memory", "cpu", "cpuacct", "pids", "freezer", "devices"})
    assert graded(cgroup=1, controllers=controllers) == {"cgroup-version": "warn"}
    without = graded(cgroup=1, controllers=controllers, runtimes=CRUN)
    assert without["oci-runtime"] == "fail"


def test_the_floor_is_lowered_by_name_only() -> None:
    """One name lowers one check."""
    findings = doctor.grade(replace(GOOD, nft=False, seccomp=False))
    assert [f.id for f in doctor.below_floor(findings, ())] == ["seccomp", "nft"]
    assert [f.id for f in doctor.below_floor(findings, ["nft"])] == ["seccomp"]
    assert doctor.below_floor(findings, ["nft", "seccomp"]) == []
    assert len(doctor.below_floor(findings, ["all", "*", ""])) == 2


def test_both_forms_say_the_same() -> None:
    """Text for people, JSON for programs."""
    findings = doctor.grade(replace(GOOD, nft=False))
    body = json.loads(doctor.as_json(findings))
    assert body["floor"] is False
    assert len(body["checks"]) == len(findings)
    assert "fail  nft: " in doctor.as_text(findings)
    assert "to do: apt-get install nftables" in doctor.as_text(findings)


@pytest.mark.parametrize(
    ("version", "fixed"),
    [
        ((1, 1, 5), False),
        ((1, 2, 7), False),
        ((1, 2, 8), True),
        ((1, 3, 2), False),
        ((1, 3, 3), True),
        ((1, 4, 0), True),
        ((2, 0, 0), True),
        ((), False),
    ],
)
def test_a_runtime_s_fixes_are_known_by_version(
    version: tuple[int, ...], fixed: bool
) -> None:
    """CVE-2025-31133, CVE-2025-52565, CVE-2025-52881."""
    runtime = oci.Runtime(name="runc", path="/usr/sbin/runc", version=version)
    assert runtime.has_escape_fixes is fixed


def test_a_closed_folder_on_the_way_is_named(tmp_path: Path) -> None:
    """The first one from the top."""
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        folder.mkdir()
    open_part = closed_at(tmp_path)
    (tmp_path / "a").chmod(0o700)
    expected = open_part or tmp_path / "a"
    assert closed_at(tmp_path / "a" / "b") == expected
