"""O7: how a platform ends and begins: drain, grace, one at a time, one port, time."""

from __future__ import annotations

import json
import pwd
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from platform_harness import CASEMATE, left_behind
from security.crash.stand import Stand, invoke, standing, still_there
from security.edge.attacker import Answer, Attacker, Watch
from security.edge.signing import Keys, identity_call

pytestmark = [pytest.mark.root, pytest.mark.platform]

SLEEPER = (
    "import time\n"
    "def handler(event, context):\n"
    "    time.sleep(float(event))\n"
    "    print('slept', event)\n"
    "    return {'slept': event}\n"
)
GRACE = 3


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """A platform with little patience, and a function that sleeps."""
    with standing("--grace", str(GRACE), "--pool", "1") as stand:
        stand.function("sleeper", SLEEPER, role=stand.role("runner"), Timeout=60)
        stand.invoke("sleeper", "0")
        yield stand


def _is_answered(attacker: Attacker, keys: Keys) -> bool:
    """Tell whether a new caller gets any answer."""
    try:
        return attacker.ask(identity_call(), keys).status != 0
    except OSError:
        return False


def _stopped_under(stand: Stand, seconds: str) -> tuple[Answer, float]:
    """Stop while a function sleeps; give its caller's answer and the time it took."""
    heard: list[Answer] = []
    keys = Keys.of(stand.variables)
    attacker = Attacker(stand)

    def call() -> None:
        heard.append(attacker.ask(invoke("sleeper", seconds), keys))

    thread = threading.Thread(target=call)
    thread.start()
    time.sleep(0.5)
    old = stand.everything()
    began = time.monotonic()
    assert stand.process is not None
    stand.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert not _is_answered(attacker, keys)
    thread.join(30)
    assert stand.process.wait(30) == 0
    took = time.monotonic() - began
    assert not still_there(old)
    assert left_behind(stand.data) == []
    return heard[0], took


def test_o7_a_running_call_is_let_finish(stand: Stand) -> None:
    """O7: SIGTERM: its caller is answered, nobody new is, and its lines are kept."""
    answer, took = _stopped_under(stand, "1.5")
    assert answer.status == 200, answer
    assert json.loads(answer.body) == {"slept": "1.5"}
    assert took < GRACE + 2
    stand.again()
    story = stand.client("casemate").explain_request(RequestId=answer.id)
    assert story["Position"] > 0
    assert any("slept 1.5" in line for line in story["LogLines"])
    assert any("REPORT" in line for line in story["LogLines"])


def test_o7_patience_ends(stand: Stand) -> None:
    """O7: a call that outlasts the grace ends with it, and nothing is left."""
    answer, took = _stopped_under(stand, "50")
    assert answer.status != 200
    assert took < GRACE + 5
    stand.again()
    assert stand.client("casemate").verify_audit()["Sound"]


def _up(data: Path, listen: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(CASEMATE), "up", "--data", str(data), "--listen", listen],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_o7_a_second_start_on_the_folder(stand: Stand) -> None:
    """O7: refused by name and process; the first one does not notice."""
    assert stand.process is not None
    done = _up(stand.data, "127.0.0.1:0")
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert f"casemate already runs on {stand.data}" in last
    assert f"process {stand.process.pid}" in last
    assert stand.invoke("sleeper", "0")[0] == {"slept": "0"}


def test_o7_a_taken_port(stand: Stand, tmp_path: Path) -> None:
    """O7: refused by name, with nothing started and nothing left."""
    port = Attacker(stand).port
    data = Path("/var/tmp") / f"casemate-test-{tmp_path.name}"  # noqa: S108 — root's, and every user can pass through it
    try:
        done = _up(data, f"127.0.0.1:{port}")
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in last
        assert left_behind(data) == []
    finally:
        subprocess.run(["rm", "-rf", str(data)], check=True)
    with socket.create_connection(("127.0.0.1", port), 5):
        pass


AHEAD = (
    "import sys, time\n"
    "from casemate_keyholder import root\n"
    "from casemate_keyholder.files import Folder\n"
    "from casemate_keyholder.vault import Vault\n"
    "folder = Folder.open('.')\n"
    "vault = Vault.under(root.load(folder, None), folder)\n"
    "vault.keep('clock.sealed', {'mark': time.time() + float(sys.argv[1])})\n"
)


def test_a18_a_clock_set_back_revives_nothing(stand: Stand) -> None:
    """A18, A8: a session that ended by the latest time ever seen has ended."""
    keys = Keys.of(stand.variables)
    assert Attacker(stand).ask(identity_call(), keys).status == 200
    assert stand.stop() == 0
    owner = pwd.getpwnam("casemate-keyholder")
    # As if this host had lived thirteen hours longer before its clock went back.
    subprocess.run(
        [sys.executable, "-I", "-c", AHEAD, str(13 * 3600)],
        cwd=stand.data / "keyholder",
        user=owner.pw_uid,
        group=owner.pw_gid,
        extra_groups=[],
        check=True,
    )
    stand.again()
    answer = Attacker(stand).ask(identity_call(), keys)
    assert answer.status == 403
    assert answer.code == "ExpiredToken"
    record = Watch(stand).record(answer.id)
    assert record["errorCode"] == "ExpiredToken"
    # New sessions last as long as was asked, counted from the mark.
    new = Keys.of(stand.variables)
    assert Attacker(stand).ask(identity_call(), new).status == 200


def test_o7_a_second_signal_ends_the_patience() -> None:
    """O7: what runs is killed 5 s later, and no part takes that for a failure."""
    with standing("--grace", "60", "--pool", "1") as stand:
        stand.function("sleeper", SLEEPER, role=stand.role("runner"), Timeout=60)
        attacker, keys = Attacker(stand), Keys.of(stand.variables)
        caller = threading.Thread(
            target=lambda: attacker.ask(invoke("sleeper", "50"), keys), daemon=True
        )
        caller.start()
        time.sleep(1.0)
        assert stand.process is not None
        stand.process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        before = len(stand.lines)
        stand.process.send_signal(signal.SIGINT)
        assert stand.process.wait(20) == 0
        said = [line.strip() for line in stand.lines[before:]]
        assert said == [
            "casemate: the node did not drain in time, and is ended",
            "casemate: stopped",
        ]
        assert left_behind(stand.data) == []
