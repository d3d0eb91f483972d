"""L1: whoever changes the record while the platform is down is found out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from security.crash import insider
from security.crash.insider import Tampering, inside, put_back
from security.crash.stand import Stand, standing
from security.edge.attacker import Attacker, Watch
from security.edge.signing import Keys, identity_call

pytestmark = [pytest.mark.root, pytest.mark.platform]


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """A platform with a record of two lives; it is down between tests."""
    with standing("--pool", "1") as stand:
        for _ in range(2):
            attacker, keys = Attacker(stand), Keys.of(stand.variables)
            for _ in range(12):
                assert attacker.ask(identity_call(), keys).status == 200
            assert stand.casemate("audit", "verify").returncode == 0
            assert stand.stop() == 0
            if len(stand.lines) and not (stand.data / "twice").exists():
                (stand.data / "twice").touch()
                stand.again()
        yield stand


def _offline(stand: Stand) -> tuple[int, dict[str, Any]]:
    done = stand.casemate("audit", "verify", "--offline", env={})
    verdict: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, verdict


def test_l1_an_honest_record_is_sound(stand: Stand) -> None:
    """L1: offline and online, what nobody touched holds, and exit is 0."""
    status, verdict = _offline(stand)
    assert status == 0
    assert verdict["Sound"] is True
    assert verdict["Count"] > 24
    assert verdict["Findings"] == []


FAULTS: dict[str, tuple[Tampering, set[str]]] = {
    "altered": (insider.altered, {"altered"}),
    "removed": (insider.removed, {"removed"}),
    "reordered": (insider.reordered, {"reordered"}),
    "cut": (insider.cut, {"cut"}),
    "cut, with a checkpoint": (insider.cut_with_checkpoint, {"cut"}),
    "cut, with all": (insider.cut_with_all, {"rolled back"}),
    "forked": (insider.forked, {"forked", "cut"}),
    "written anew": (insider.written_anew, {"rolled back"}),
    "emptied": (insider.emptied, {"rolled back"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_l1_offline(fault: str, stand: Stand, tmp_path: Path) -> None:
    """L1: `audit verify --offline` names what was done, and exits 1."""
    tamper, expected = FAULTS[fault]
    with put_back(stand.data, tmp_path):
        with inside(stand.data) as opened:
            tamper(opened, stand.instance)
        status, verdict = _offline(stand)
        assert status == 1, verdict
        assert verdict["Sound"] is False
        found = {finding["Fault"] for finding in verdict["Findings"]}
        assert found & expected, verdict
        assert all(finding["Says"] for finding in verdict["Findings"])


@pytest.mark.parametrize("fault", ["altered", "cut, with all"])
def test_l1_online(fault: str, stand: Stand, tmp_path: Path) -> None:
    """L1: a platform that starts on it says so too, and goes on saying so."""
    tamper, _ = FAULTS[fault]
    with put_back(stand.data, tmp_path):
        with inside(stand.data) as opened:
            tamper(opened, stand.instance)
        stand.again()
        watch = Watch(stand)
        keys = watch.keys()
        for _ in range(2):
            done = stand.casemate("audit", "verify")
            assert done.returncode == 1, done
            assert json.loads(done.stdout)["Sound"] is False
            # More records on top do not bury it.
            attacker = Attacker(stand)
            for _ in range(20):
                assert attacker.ask(identity_call(), keys).status == 200
        assert stand.stop() == 0


def test_l1_a_disk_of_yesterday(stand: Stand, tmp_path: Path) -> None:
    """L1: the node's folder put back to an older day: the keyholder knows more."""
    yesterday = tmp_path / "yesterday"
    with put_back(stand.data, tmp_path / "copy"):
        insider.copied(stand.data / "node", yesterday)
        stand.again()
        attacker, keys = Attacker(stand), Keys.of(stand.variables)
        for _ in range(5):
            assert attacker.ask(identity_call(), keys).status == 200
        assert stand.stop() == 0
        shutil.rmtree(stand.data / "node")
        insider.copied(yesterday, stand.data / "node")
        status, verdict = _offline(stand)
        assert status == 1, verdict
        found = {finding["Fault"] for finding in verdict["Findings"]}
        assert "rolled back" in found


def test_l1_bytes_of_the_file(stand: Stand, tmp_path: Path) -> None:
    """L1: flipped bytes of the file itself are no record, and are not passed over."""
    with put_back(stand.data, tmp_path):
        path = stand.data / "node" / "state.db"
        data = bytearray(path.read_bytes())
        for place in range(5000, len(data), 4096):
            data[place] ^= 1
        path.write_bytes(data)
        done = stand.casemate("audit", "verify", "--offline", env={})
        assert done.returncode == 1
        assert len(done.stderr.strip().splitlines()) == 1
        assert "damaged" in done.stderr
