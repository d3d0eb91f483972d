"""
The whole of `up`, with small programs in the place of the three children.

They obey the boot protocol and print what they are; everything else is real.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import warden_harness as harness
from casemate_warden import cgroups, ground

pytestmark = pytest.mark.root

PLACE = Path("/var/tmp")  # noqa: S108 — root's, and every user can pass through it
START = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from casemate_warden.__main__ import main; main()"
)
CHILD = """
import json, os, socket, sys

def tell(name):
    status = dict(
        line.split(":", 1) for line in open("/proc/self/status").read().splitlines()
    )
    zero = [k for k in status if k.startswith("Cap") and int(status[k], 16) == 0]
    return {
        "child": name, "pid": os.getpid(), "uid": os.getresuid(),
        "groups": os.getgroups(), "folder": os.getcwd(), "powerless": len(zero),
        "sealed": status["NoNewPrivs"].strip(), "umask": status["Umask"].strip(),
        "fds": sorted(int(n) for n in os.listdir("/proc/self/fd"))[:-1],
        "trees": os.path.exists("/run/casemate/%s/house/trees" % sys.argv[-1]),
        "environment": sorted(os.environ),
    }

def serve(name, **extra):
    boot = socket.socket(fileno=3)
    told = tell(name)
    while True:
        text, fds, _, _ = socket.recv_fds(boot, 200 << 10, 16)
        if not text:
            return
        message = json.loads(text)
        if message["verb"] == "boot":
            print(json.dumps(told | {"boot": message}), flush=True)
            boot.sendall(json.dumps({"verb": "ready", **extra}).encode())
            if name == "node":
                verbs = socket.socket(fileno=fds[0])
                verbs.sendall(b'{"id":1,"verb":"open","runtime":"provided.al2023"}')
                answer, held, _, _ = socket.recv_fds(verbs, 200 << 10, 16)
                print(json.dumps({"opened": json.loads(answer)}), flush=True)
        if message["verb"] == "drain":
            boot.sendall(b'{"verb":"drained"}')
        if message["verb"] == "stop":
            return
"""


@pytest.fixture(scope="module")
def python() -> Iterator[Path]:
    """A virtual environment with the stand-ins; it lacks boto3."""
    home = PLACE / f"casemate-test-venv-{os.getpid()}"
    command = [sys.executable, "-m", "venv", "--without-pip", str(home)]
    subprocess.run(command, check=True)
    packages = next(home.glob("lib/python3.*/site-packages"))
    for folder in ("casemate/road/egress", "casemate_keyholder"):
        (packages / folder).mkdir(parents=True)
    (packages / "stand_in.py").write_text(CHILD)
    for module, call in {
        "casemate/app.py": "serve('node')",
        "casemate_keyholder/__main__.py": "serve('keyholder', ca='the root')",
        "casemate/road/egress/__main__.py": "serve('egress')",
    }.items():
        (packages / module).write_text(f"from stand_in import serve\n{call}\n")
    yield home / "bin" / "python"
    shutil.rmtree(home)


class Running:
    """One `up` on a data folder of its own."""

    def __init__(self, python: Path, data: Path, listen: str = "127.0.0.1:0") -> None:
        self.data = data
        # What a platform left that was killed, and never started again, is its own.
        self.strangers = _free_ranges()
        self.instance = ground.instance(data)
        base = "/usr/bin/python3.11"
        site = str(harness.SOURCES)
        self.process = subprocess.Popen(
            [
                *(base, "-I", "-S", "-c", START, site, "--python", str(python)),
                *("--data", str(data), "--listen", listen, "--grace", "5"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.said: list[dict[str, Any]] = []
        self.ready = ""

    def wait(self, lines: int = 5) -> None:
        """Until it is ready and the node has opened a cell."""
        assert self.process.stdout is not None
        text = b""
        while text.count(b"\n") < lines:
            assert select.select([self.process.stdout], [], [], 60)[0]
            piece = os.read(self.process.stdout.fileno(), 65_536)
            assert piece, self.process.communicate()[1].decode()
            text += piece
        for line in text.decode().splitlines():
            if line.startswith("{"):
                self.said.append(json.loads(line))
            else:
                self.ready = line

    def child(self, name: str) -> dict[str, Any]:
        """What one stand-in said of itself."""
        return next(said for said in self.said if said.get("child") == name)

    def end(self, signum: int) -> tuple[int, str]:
        """Its exit status and the last line of its standard error."""
        self.process.send_signal(signum)
        _, errors = self.process.communicate(timeout=60)
        lines = errors.decode().strip().splitlines()
        return self.process.returncode, lines[-1] if lines else ""

    def left(self) -> list[str]:
        """What is still there of it, beside the data folder."""
        left = [str(path) for path in cgroups.parents(f"casemate-{self.instance}")]
        run = ground.RUN / self.instance
        left += [str(run)] if run.exists() else []
        left += sorted(str(path) for path in _free_ranges() - self.strangers)
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        return left + [line for line in mounts if self.instance in line]


def _free_ranges() -> set[Path]:
    return {path for path in ground.RUN.glob(".range-*") if _is_free(path)}


def _is_free(path: Path) -> bool:
    """Whether no platform holds this range, so that its file should be gone."""
    with path.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def data() -> Iterator[Path]:
    """A data folder that every user can pass through."""
    path = PLACE / f"casemate-test-data-{os.getpid()}"
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def up(python: Path, data: Path) -> Iterator[Running]:
    """A platform that is ready."""
    running = Running(python, data)
    running.wait()
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


def test_it_starts_and_stops_without_a_trace(up: Running) -> None:
    """One line when ready, exit 0 on SIGTERM, no cell, mount, group or socket left."""
    assert up.ready.startswith("casemate is ready: https://127.0.0.1:")
    assert up.ready.endswith(f"(data {up.data})")
    run = ground.RUN / up.instance
    modes = {path.name: path.stat().st_mode & 0o777 for path in run.iterdir()}
    assert modes["operator.sock"] == modes["metrics.sock"] == 0o600
    assert modes["ca.pem"] == 0o644
    assert (run / "ca.pem").read_text() == "the root"
    assert list((run / "house").iterdir()) == []
    assert up.end(signal.SIGTERM)[0] == 0
    assert up.left() == []


@pytest.mark.parametrize("name", ["node", "keyholder", "egress"])
def test_a_child_has_no_power(up: Running, name: str) -> None:
    """Its own user, no group, no capability, no way to gain any, no tree in sight."""
    child = up.child(name)
    assert len(set(child["uid"])) == 1
    assert child["uid"][0] not in {0, *(up.child(n)["uid"][0] for n in _others(name))}
    assert child["groups"] == []
    assert (child["powerless"], child["sealed"]) == (5, "1")
    assert child["umask"] == "0077"
    assert child["fds"] == [0, 1, 2, 3]
    assert child["trees"] is False
    assert set(child["environment"]) <= {"HOME", "LANG", "LC_CTYPE", "PATH"}


def _others(name: str) -> set[str]:
    return {"node", "keyholder", "egress"} - {name}


def test_children_get_what_the_protocol_names(up: Running) -> None:
    """Settings and descriptors, in order."""
    boot = {name: up.child(name)["boot"] for name in ("node", "keyholder", "egress")}
    names = ["warden", "keyholder", "egress", "https", "operator", "metrics"]
    assert boot["node"]["fds"] == names
    assert boot["keyholder"]["fds"] == ["node"]
    assert boot["egress"]["fds"] == ["node", "warden"]
    settings = boot["node"]["settings"]
    assert settings["ca"] == "the root"
    assert settings["instance"] == up.instance
    assert settings["port"] > 0
    assert "provided.al2023" in settings["runtimes"]
    assert "python3.11" not in settings["runtimes"]
    opened = next(said["opened"] for said in up.said if "opened" in said)
    assert opened["ok"]["runtime"] == "provided.al2023"


def test_the_data_folder_is_closed(up: Running) -> None:
    """Each part belongs to the one user that works there."""
    modes = {path.name: path.stat() for path in up.data.iterdir()}
    assert up.data.stat().st_mode & 0o777 == 0o710
    assert modes["node"].st_mode & 0o777 == 0o700
    assert modes["keyholder"].st_mode & 0o777 == 0o700
    assert modes["node"].st_uid == up.child("node")["uid"][0]
    assert modes["keyholder"].st_uid == up.child("keyholder")["uid"][0]
    assert modes["images"].st_uid == 0


def test_a_second_start_is_refused_by_name(up: Running, python: Path) -> None:
    """And does not touch the first."""
    second = Running(python, up.data)
    status, line = second.process.wait(60), second.process.communicate()[1].decode()
    assert status == 1
    last = line.strip().splitlines()[-1]
    assert f"casemate already runs on {up.data} (process {up.process.pid})" in last
    assert up.end(signal.SIGTERM)[0] == 0


def test_a_taken_port_is_refused_by_name(python: Path, data: Path) -> None:
    """Before any child is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = Running(python, data, f"127.0.0.1:{port}")
        _, errors = running.process.communicate(timeout=60)
    assert running.process.returncode == 1
    last = errors.decode().strip().splitlines()[-1]
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in last
    assert running.left() == []


@pytest.mark.parametrize("name", ["node", "keyholder", "egress"])
def test_a_child_that_dies_takes_the_platform_down(up: Running, name: str) -> None:
    """Exit 1, one line that says which, nothing left."""
    os.kill(up.child(name)["pid"], signal.SIGKILL)
    _, errors = up.process.communicate(timeout=60)
    assert up.process.returncode == 1
    last = errors.decode().strip().splitlines()[-1]
    assert last == f"casemate: {name} ended, so the platform stops"
    assert up.left() == []


def test_a_killed_warden_takes_its_cells_and_children_along(
    up: Running, python: Path
) -> None:
    """`kill -9`: children die at once, the guard ends the cells, a new start works."""
    parent = f"casemate-{up.instance}"
    cells = {
        pid for folder in cgroups.parents(parent) for pid in cgroups.processes(folder)
    }
    assert cells
    up.end(signal.SIGKILL)
    gone = cells | {up.child(name)["pid"] for name in ("node", "keyholder", "egress")}
    end = time.monotonic() + 10
    while any(_runs(pid) for pid in gone):
        assert time.monotonic() < end
        time.sleep(0.01)
    again = Running(python, up.data)
    again.wait()
    assert again.end(signal.SIGTERM)[0] == 0
    assert again.left() == []


def _runs(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_folder_that_users_cannot_reach_is_refused(
    python: Path, tmp_path: Path
) -> None:
    """Below a folder that is closed to others, the closed folder is named."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    running = Running(python, closed / "data")
    _, errors = running.process.communicate(timeout=60)
    assert running.process.returncode == 1
    assert "the platform's users cannot pass " in errors.decode().splitlines()[-1]
    assert "chmod o+x" in errors.decode().splitlines()[-1]


def test_a_newer_schema_is_refused(python: Path, data: Path) -> None:
    """An older platform never writes into a newer one's folder."""
    data.mkdir(mode=0o700)
    (data / "schema").write_text("2\n")
    running = Running(python, data)
    _, errors = running.process.communicate(timeout=60)
    assert running.process.returncode == 1
    assert "start a newer casemate" in errors.decode().splitlines()[-1]
