"""Q16, L4: a disk that is full, and a disk that fails, under the whole platform."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_harness import left_behind
from security.crash.stand import (
    ECHO,
    Stand,
    create_function,
    create_group,
    create_user,
    invoke,
    standing,
)
from security.edge.attacker import Answer, Attacker, Watch
from security.edge.signing import Ask, Keys, json_call

pytestmark = [pytest.mark.root, pytest.mark.platform]

DISK = "420m"
LIST = json_call("logs", "Logs_20140328.DescribeLogGroups", {"limit": 1})


@pytest.fixture
def disk() -> Iterator[Path]:
    """A small file system of its own; runtime images and the reserve fit."""
    folder = Path(tempfile.mkdtemp(prefix="casemate-test-", dir="/var/tmp"))
    options = f"size={DISK},mode=0710"
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "casemate-test", str(folder)],
        check=True,
    )
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def _fill(folder: Path) -> Path:
    """Take every byte that is free."""
    path = folder / "filler"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    step = 1 << 20
    try:
        while step:
            try:
                os.write(descriptor, bytes(step))
            except OSError:
                step //= 2
    finally:
        os.close(descriptor)
    return path


class Caller:
    """An administrator who makes calls and remembers what was acknowledged."""

    def __init__(self, stand: Stand) -> None:
        self.attacker = Attacker(stand)
        self.keys = Keys.of(stand.variables)
        self.made: list[str] = []

    def ask(self, ask: Ask) -> Answer:
        """Make a call."""
        return self.attacker.ask(ask, self.keys)

    def group(self, name: str) -> Answer:
        """Make a log group."""
        answer = self.ask(create_group(name))
        if answer.status == 200:
            self.made.append(name)
        return answer


def _groups(stand: Stand) -> set[str]:
    pages = stand.client("logs").get_paginator("describe_log_groups").paginate()
    return {group["logGroupName"] for page in pages for group in page["logGroups"]}


def _until_full(caller: Caller) -> Answer:
    """Make changes until one is refused."""
    for number in range(400):
        answer = caller.group(f"/full/{number}/{'x' * 400}")
        if answer.status not in (200, 429):
            return answer
    raise AssertionError("the disk did not fill")


def _until_taken(caller: Caller, name: str) -> Answer:
    """Make a change as soon as the platform takes it again."""
    end = time.monotonic() + 15
    while (answer := caller.group(name)).status != 200 and time.monotonic() < end:
        time.sleep(0.1)
    return answer


def test_q16_a_full_disk(disk: Path) -> None:
    """
    Q16: full, the platform refuses changes by name, answers the rest, loses nothing.

    It is killed and started on the full disk as well; once there is space it
    takes changes again, without a restart.
    """
    stand = Stand(disk, "--pool", "1")
    try:
        stand.start()
        stand.function("echo", ECHO, role=stand.role("runner"))
        caller, watch = Caller(stand), Watch(stand)
        assert caller.group("/before").status == 200
        filler = _fill(disk)
        refused = _until_full(caller)
        # By name, with what to do; and the refusal is on record.
        # IAM's own code for it, ServiceFailure, is a 500.
        other = caller.ask(create_user("nobody"))
        assert (refused.status, other.status) == (503, 500), (refused, other)
        for answer in (refused, other):
            assert b"full" in answer.body, answer
            assert watch.record(answer.id)["errorCode"]
        for _ in range(20):
            assert caller.ask(LIST).status == 200
            assert caller.ask(invoke("echo", "full")).status == 200
        assert stand.client("casemate").verify_audit()["Sound"]
        stand.kill()
        stand.again()
        caller.attacker = Attacker(stand)
        assert set(caller.made) <= _groups(stand)
        assert caller.group("/still/full").status == 503
        filler.unlink()
        answer = _until_taken(caller, "/after")
        assert answer.status == 200, answer
        assert set(caller.made) <= _groups(stand)
        assert stand.client("casemate").verify_audit()["Sound"]
    finally:
        stand.stop()
    assert [line for line in left_behind(disk) if "casemate-test" not in line] == []


def _limit_files(pid: int, size: int) -> None:
    """Let no file of a process grow past a size; done as its own user."""
    status = Path(f"/proc/{pid}").stat()
    subprocess.run(
        ["prlimit", f"--pid={pid}", f"--fsize={size}:{size}"],
        user=status.st_uid,
        group=status.st_gid,
        extra_groups=[],
        check=True,
    )


def test_l4_what_cannot_be_recorded_is_not_done() -> None:
    """
    L4: when audit records cannot be written, changes are refused before they begin.

    The node's files may not grow any more, so every commit fails; what was
    acknowledged is there after the next start, what was refused is not.
    """
    with standing("--pool", "1") as stand:
        role = stand.role("runner")
        stand.function("echo", ECHO, role=role)
        caller = Caller(stand)
        for number in range(5):
            assert caller.group(f"/l4/{number}").status == 200
        log = stand.data / "node" / "state.db-wal"
        most = log.stat().st_size + 8_192
        _limit_files(stand.child("node"), most)
        answers = [caller.group(f"/l4/late/{number}") for number in range(12)]
        assert answers[-1].status == 503, answers[-1]
        late = [
            create_user("l4"),
            create_function("l4", role),
            create_group("/l4/never"),
        ]
        for ask in late:
            answer = caller.ask(ask)
            assert answer.status == 503, answer
            assert b"audit log cannot be written" in answer.body, answer
        # What only reads is answered, from what is there.
        assert caller.ask(LIST).status == 200
        stand.stop()
        stand.again()
        assert set(caller.made) <= _groups(stand)
        assert "/l4/never" not in _groups(stand)
        users = stand.client("iam").list_users()["Users"]
        assert "l4" not in {user["UserName"] for user in users}
        functions = stand.client("lambda").list_functions()["Functions"]
        assert {f["FunctionName"] for f in functions} == {"echo"}
        assert stand.client("casemate").verify_audit()["Sound"]
