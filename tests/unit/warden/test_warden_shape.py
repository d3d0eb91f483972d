"""
The cell's shape as data: the configuration, the filter, the ranges of uids.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from casemate_warden import bundle, ranges, seccomp
from casemate_warden.words import Refused

NEVER = tuple(
    """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime clone3
    delete_module fanotify_init fanotify_mark finit_module fsconfig fsmount
    fsopen fspick init_module io_destroy io_getevents io_setup io_submit
    io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp
    kexec_file_load kexec_load keyctl lookup_dcookie mbind memfd_secret
    migrate_pages modify_ldt mount mount_setattr move_mount move_pages
    name_to_handle_at nfsservctl open_by_handle_at open_tree perf_event_open
    pidfd_getfd pivot_root process_madvise process_vm_readv process_vm_writev
    ptrace quotactl quotactl_fd reboot request_key sethostname setdomainname
    setns settimeofday swapoff swapon syslog umount umount2 unshare uselib
    userfaultfd ustat vhangup vm86 vmsplice
    """.split()  # noqa: SIM905 — a list of words
)

CELL = bundle.Cell(
    name="c0",
    parent="casemate-0",
    argv=("/bin/sh", "-s"),
    first_uid=1_000_000_000,
    network="/proc/1/fd/9",
    stage="/run/casemate/0/stage",
)


def allowed() -> list[str]:
    """Every name that some rule of the profile allows."""
    rules = seccomp.profile()["syscalls"]
    return [
        name
        for rule in rules
        if rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]
    ]


@pytest.mark.parametrize("name", NEVER)
def test_a_dangerous_call_is_in_no_group(name: str) -> None:
    """S2, S3, S9, S10, S30."""
    assert name not in allowed()


def test_the_profile_refuses_by_default() -> None:
    """And knows the machine's own architecture only (S28)."""
    profile = seccomp.profile()
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    assert profile["defaultErrnoRet"] == 1
    assert len(profile["architectures"]) == 1


def test_every_entry_has_its_reason_and_stands_once() -> None:
    """A call that is allowed twice is judged by the laxer rule."""
    assert all(len(group.reason) > 10 for group in seccomp.GROUPS)
    assert all(len(rule.reason) > 10 for rule in seccomp.NARROW)
    assert all(seccomp.IOCTLS.values())
    names = Counter(name for group in seccomp.GROUPS for name in group.names)
    assert names.most_common(1)[0][1] == 1
    assert not set(names) & {rule.name for rule in seccomp.NARROW}
    assert "ioctl" not in names


def test_a_cell_has_no_power_and_no_extra_mount() -> None:
    """No capability, no hook, no terminal, nothing masked, an own namespace of each."""
    config = bundle.render(CELL)
    process = config["process"]
    assert all(held == [] for held in process["capabilities"].values())
    assert len(process["capabilities"]) == 5
    assert process["noNewPrivileges"] is True
    assert process["terminal"] is False
    assert "hooks" not in config
    kinds = {entry["type"] for entry in config["linux"]["namespaces"]}
    assert kinds == {"user", "pid", "mount", "ipc", "uts", "cgroup", "network"}
    network = [e for e in config["linux"]["namespaces"] if e["type"] == "network"]
    assert network == [{"type": "network", "path": CELL.network}]


def test_every_bind_is_read_only_and_of_the_stage() -> None:
    """S1: what is writable comes later, as a tmpfs of its own."""
    binds = [m for m in bundle.render(CELL)["mounts"] if m["type"] == "bind"]
    assert len(binds) == 5
    for mount in binds:
        assert {"ro", "nosuid"} <= set(mount["options"])
        assert mount["source"].startswith(CELL.stage)


def test_ranges_never_overlap() -> None:
    """S8: not in one platform, not between two on one host."""
    last = ranges.BASE + ranges.SECTIONS * ranges.PER_SECTION * bundle.RANGE
    assert last < 2**32 - bundle.RANGE
    one, other = ranges.Ranges(0), ranges.Ranges(1)
    firsts = [one.take() for _ in range(ranges.PER_SECTION)]
    assert other.take() == max(firsts) + bundle.RANGE
    assert len(set(firsts)) == ranges.PER_SECTION
    assert all(first % 1 == 0 and first >= ranges.BASE for first in firsts)
    with pytest.raises(Refused, match="no_room"):
        one.take()
    one.give_back(firsts[7])
    assert one.take() == firsts[7]


def test_a_range_comes_back_as_late_as_possible() -> None:
    """What is left by mistake under an old uid meets no new cell soon."""
    own = ranges.Ranges(0)
    first = own.take()
    own.give_back(first)
    assert [own.take() for _ in range(ranges.PER_SECTION)][-1] == first


def test_sections_are_leased_one_by_one(tmp_path: Path) -> None:
    """Sixteen platforms on one host; the seventeenth is refused by name."""
    leases = [ranges.Lease(tmp_path) for _ in range(ranges.SECTIONS)]
    assert [lease.section for lease in leases] == list(range(ranges.SECTIONS))
    with pytest.raises(Refused, match="16 platforms"):
        ranges.Lease(tmp_path)
    leases[3].release()
    assert ranges.Lease(tmp_path).section == 3
