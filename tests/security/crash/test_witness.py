"""T-5: checkpoints go to a file elsewhere, and what was put back is told by it."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from security.crash.insider import copied, recorded
from security.crash.stand import Stand, standing
from security.edge.attacker import Attacker, Watch
from security.edge.signing import Keys, identity_call

pytestmark = [pytest.mark.root, pytest.mark.platform]


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """Another mount, and a small one."""
    folder = Path(tempfile.mkdtemp(prefix="casemate-test-", dir="/var/tmp"))
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "casemate-test", str(folder)]
    subprocess.run(mount, check=True)
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    folder.rmdir()


def remount(folder: Path, size: str) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


def calls(stand: Stand, count: int) -> None:
    """Put some records into the chain."""
    attacker, keys = Attacker(stand), Keys.of(stand.variables)
    for _ in range(count):
        assert attacker.ask(identity_call(), keys).status == 200


def verify(stand: Stand, *words: str) -> tuple[int, dict[str, Any]]:
    env: dict[str, str] | None = {} if "--offline" in words else None
    done = stand.casemate("audit", "verify", *words, env=env)
    assert done.stdout, done.stderr
    verdict: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, verdict


def faults(verdict: dict[str, Any]) -> set[str]:
    return {finding["Fault"] for finding in verdict["Findings"]}


def test_l1_a_whole_machine_of_yesterday(elsewhere: Path) -> None:
    """L1: node and keyholder put back together: only the witness knows more."""
    witness = elsewhere / "witness"
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as kept,
        standing("--pool", "1", "--witness", str(witness)) as stand,
    ):
        named = ("--witness", str(witness))
        calls(stand, 5)
        assert stand.stop() == 0
        status, honest = verify(stand, "--offline", *named)
        assert (status, honest["Findings"]) == (0, [])
        # The stop signed all that there is, and the witness has received it.
        assert honest["Witnessed"] == honest["Count"]
        assert "Unwitnessed" not in honest

        for part in ("node", "keyholder"):
            copied(stand.data / part, Path(kept) / part)
        stand.again()
        calls(stand, 5)
        assert stand.stop() == 0
        for part in ("node", "keyholder"):
            shutil.rmtree(stand.data / part)
            copied(Path(kept) / part, stand.data / part)

        # Nothing on this machine tells; that is what a witness is for.
        assert verify(stand, "--offline")[0] == 0
        status, verdict = verify(stand, "--offline", *named)
        assert (status, faults(verdict)) == (1, {"rolled back"})

        stand.again()
        calls(stand, 40)
        # Longer than what was witnessed now, and another history.
        status, verdict = verify(stand, *named)
        assert status == 1, verdict
        assert "forked" in faults(verdict)
        assert stand.stop() == 0


def test_a_witness_that_is_full_is_told_and_stops_nothing(elsewhere: Path) -> None:
    """Status, metrics and the record say so; it is made good when there is room."""
    witness = elsewhere / "witness"
    remount(elsewhere, "4k")
    with standing("--pool", "1", "--witness", str(witness)) as stand:
        watch, own = Watch(stand), stand.client("casemate")
        while not watch.counted("casemate_witness_failing"):
            assert own.verify_audit()["Sound"]
        reached = len(witness.read_bytes())
        told = own.get_status()["Witness"]
        assert told["Failing"] == "No space left on device"
        assert told["Waiting"] > 0
        assert watch.counted("casemate_witness_waiting") > 0
        status, verdict = verify(stand, "--witness", str(witness))
        assert status == 0
        assert 0 < verdict["Witnessed"] < verdict["Unwitnessed"]["First"]
        assert verdict["Unwitnessed"]["Last"] == verdict["Count"]

        remount(elsewhere, "1m")
        while watch.counted("casemate_witness_failing"):
            assert own.get_status()["Witness"]
        assert len(witness.read_bytes()) > reached
        assert stand.stop() == 0
        status, verdict = verify(stand, "--offline", "--witness", str(witness))
        assert (status, verdict["Witnessed"]) == (0, verdict["Count"])
        told = [r for r in recorded(stand.data) if "Witness" in r["eventName"]]
        assert [r["eventName"] for r in told] == [
            "WitnessUnreachable",
            "WitnessReached",
        ]
        assert told[0]["requestParameters"] == {"why": "No space left on device"}


@pytest.mark.parametrize("name", ["in the data folder", "a link", "another's"])
def test_a_place_that_is_no_witness_is_refused_by_name(
    name: str, tmp_path: Path
) -> None:
    """One line, before anything is made."""
    data = tmp_path / "data"
    places = {
        "in the data folder": data / "witness",
        "a link": tmp_path / "link",
        "another's": tmp_path / "open",
    }
    (tmp_path / "link").symlink_to(tmp_path / "target")
    (tmp_path / "open").touch(0o666)
    (tmp_path / "open").chmod(0o666)
    stand = Stand(data, "--witness", str(places[name]))
    with pytest.raises(AssertionError, match="--witness"):
        stand.start()
    assert not (tmp_path / "target").exists()
