"""The keyholder's process, as the warden starts it."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from casemate_keyholder.channel import MESSAGE_LIMIT
from unit.keyholder.stand import Child, child, receive, send


def boot(
    process: Child, settings: object, extra: tuple[int, ...] = ()
) -> socket.socket:
    """Send the boot message; give the node's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(20)
    labels = ["node", "root_key"][: 1 + len(extra)]
    message = {"verb": "boot", "settings": settings, "fds": labels}
    send(process.boot, message, (theirs.fileno(), *extra))
    theirs.close()
    return ours


def test_it_boots_answers_and_stops(folder: Path, tmp_path: Path) -> None:
    """Ready with the root certificate, answers in turn, exits 0 when told."""
    with child("casemate_keyholder", folder, tmp_path / "stderr") as process:
        node = boot(process, {"data": str(folder), "root_key_file": None})
        ready, _ = receive(process.boot)
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        send(node, {"id": 1, "verb": "public"})
        send(node, {"id": 2, "verb": "nothing"})
        node.send(b"not json")
        answers = [receive(node)[0] for _ in range(3)]
        send(process.boot, {"verb": "stop"})
        assert 0 == process.wait()

    assert "ready" == ready["verb"]
    facts = ready["facts"]
    assert isinstance(facts, dict)
    assert (True, True) == (facts["undumpable"], facts["no_core"])
    core = next(line for line in limits.splitlines() if "core file" in line)
    assert ["0", "0"] == core.split()[4:6]
    assert [1, 2, None] == [answer["id"] for answer in answers]
    public = answers[0]["ok"]
    assert isinstance(public, dict)
    assert ready["ca"] == public["ca"]
    assert "" == process.stderr.read_text()
    node.close()


def test_the_memory_of_the_process_is_its_own(folder: Path, tmp_path: Path) -> None:
    """An undumpable process has its /proc files owned by root."""
    with child("casemate_keyholder", folder, tmp_path / "stderr") as process:
        node = boot(process, {"data": "", "root_key_file": None})
        receive(process.boot)
        assert 0 == Path(f"/proc/{process.pid}/environ").stat().st_uid
        text = Path(f"/proc/{process.pid}/status").read_text()
        node.close()

    locked = next(line for line in text.splitlines() if line.startswith("VmLck"))
    assert int(locked.split()[1]) > 0


def test_a_handed_root_key_and_a_wrong_one(folder: Path, tmp_path: Path) -> None:
    """The right key serves again; a wrong one is one line and exit 1."""
    key = tmp_path / "key"
    key.write_text("1f" * 16 + "2e" * 16)
    settings = {"data": str(folder), "root_key_file": str(key)}
    seen = []
    for text in (key.read_text(), key.read_text(), "3d" * 16 + "4c" * 16):
        key.write_text(text)
        descriptor = os.open(key, os.O_RDONLY)
        with child("casemate_keyholder", folder, tmp_path / "stderr") as process:
            node = boot(process, settings, (descriptor,))
            os.close(descriptor)
            seen.append(receive(process.boot)[0].get("ca"))
            node.close()
    assert isinstance(seen[0], str)
    assert [seen[0], seen[0], None] == seen
    assert 1 == process.code
    line = process.stderr.read_text()
    assert 1 == line.count("\n")
    assert "not the one" in line
    assert "3d3d" not in line


@pytest.mark.parametrize(
    "settings",
    [{"data": "", "root_key_file": "/a"}, {"more": 1}, [], {"names": "localhost"},
     {"names": ["amazonaws.com"]}],
)  # fmt: skip
def test_settings_that_are_not_known_are_refused(
    folder: Path, tmp_path: Path, settings: object
) -> None:
    """An unknown or contradictory setting does not start."""
    with child("casemate_keyholder", folder, tmp_path / "stderr") as process:
        node = boot(process, settings)
        assert {} == receive(process.boot)[0]
        assert 1 == process.wait()
        node.close()
    assert 1 == process.stderr.read_text().count("\n")


def test_a_giant_message_and_stray_descriptors_do_no_harm(
    folder: Path, tmp_path: Path
) -> None:
    """Over the limit: an error.  Descriptors sent along are not kept."""
    with child("casemate_keyholder", folder, tmp_path / "stderr") as process:
        node = boot(process, {"data": "", "root_key_file": None})
        receive(process.boot)
        send(node, {"id": 0, "verb": "public"})
        receive(node)  # It serves: all that it opens is open.
        before = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        node.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1_000_000)
        node.send(b'"' + b"a" * MESSAGE_LIMIT + b'"')
        error = receive(node)[0]["error"]
        for number in range(20):
            send(node, {"id": number, "verb": "public"}, (node.fileno(), 0, 1))
            assert number == receive(node)[0]["id"]
        assert before == len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        node.close()
    assert "Malformed" == json.loads(json.dumps(error))["code"]
    assert 0 == process.code


def test_it_ends_with_the_node(folder: Path, tmp_path: Path) -> None:
    """A keyholder whose node has gone holds nothing any longer."""
    with child("casemate_keyholder", folder, tmp_path / "stderr") as process:
        boot(process, {"data": "", "root_key_file": None}).close()
        assert "ready" == receive(process.boot)[0]["verb"]
        assert 0 == process.wait()
