"""The egress process on a real network namespace with the real redirect."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from dnslib import DNSQuestion, DNSRecord

from unit.keyholder.stand import Child, child, receive, send
from unit.road.egress.netns import Namespace, namespace

pytestmark = pytest.mark.root
CELL = "c0123456789abcdef"
PLATFORM = {"name": "api.casemate.internal", "address": "198.18.0.1", "port": 443}


@dataclass
class Standing:
    """A running egress process with one cell."""

    process: Child
    node: socket.socket
    warden: socket.socket
    space: Namespace

    def said(self) -> tuple[dict[str, object], list[int]]:
        """Take what the process tells the node."""
        return receive(self.node)

    def warden_says(self, message: dict[str, object], *fds: int) -> dict[str, object]:
        """Say something as the warden and take the answer."""
        send(self.warden, {"id": 5, **message}, fds)
        return receive(self.warden)[0]


def booted(process: Child, settings: object) -> tuple[socket.socket, socket.socket]:
    """Send the boot message; give the node's and the warden's ends."""
    pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in "nw"]
    theirs = [theirs for _, theirs in pairs]
    message = {"verb": "boot", "settings": settings, "fds": ["node", "warden"]}
    send(process.boot, message, [sock.fileno() for sock in theirs])
    for (ours, _), sock in zip(pairs, theirs, strict=True):
        ours.settimeout(10)
        sock.close()
    return pairs[0][0], pairs[1][0]


@pytest.fixture
def standing(tmp_path: Path) -> Iterator[Standing]:
    """Start the process, make a namespace, announce the cell; remove all of it."""
    with (
        namespace(tmp_path) as space,
        child("casemate.road.egress", tmp_path, tmp_path / "stderr") as process,
    ):
        node, warden = booted(process, {"platform": PLATFORM})
        assert "ready" == receive(process.boot)[0]["verb"]
        stand = Standing(process=process, node=node, warden=warden, space=space)
        listeners = space.listeners()
        message: dict[str, object] = {"verb": "cell", "cell": CELL}
        message["fds"] = ["tcp", "dns_udp", "dns_tcp"]
        answer = stand.warden_says(message, *(sock.fileno() for sock in listeners))
        assert {"id": 5, "ok": {}} == answer
        for sock in listeners:
            sock.close()
        yield stand
        node.close()
        warden.close()


def is_closed(connection: socket.socket) -> bool:
    """Tell whether the other side has closed, without a byte."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_connection_to_the_platform_arrives_at_the_node(standing: Standing) -> None:
    """The accepted socket itself is handed over, with the cell's id."""
    with closing(standing.space.connect("198.18.0.1", 443)) as inside:
        message, descriptors = standing.said()
        assert {"verb": "connection", "cell": CELL} == message
        with socket.socket(fileno=descriptors[0]) as outside:
            inside.sendall(b"from the cell")
            assert b"from the cell" == outside.recv(100)
            outside.sendall(b"from the node")
            assert b"from the node" == inside.recv(100)
        assert is_closed(inside)  # Egress has kept no copy.


@pytest.mark.parametrize(
    ("address", "port", "told", "reason"),
    [
        ("198.18.0.2", 443, "198.18.0.2:443", "not issued"),
        ("198.19.255.254", 443, "198.19.255.254:443", "not issued"),
        ("198.18.0.1", 80, "198.18.0.1:80", "port"),
        ("198.18.0.1", 15_001, "198.18.0.1:15001", "port"),
        ("127.0.0.1", 15_001, "127.0.0.1:15001", "direct"),
    ],
)
def test_everything_else_is_closed_and_told(
    standing: Standing, address: str, port: int, told: str, reason: str
) -> None:
    """N5: another address, another port, the listener itself: closed, recorded."""
    with closing(standing.space.connect(address, port)) as inside:
        assert is_closed(inside)
    message, descriptors = standing.said()

    assert ("refused", CELL, told) == (
        message["verb"],
        message["cell"],
        message["destination"],
    )
    assert reason in str(message["reason"])
    assert (0, []) == (message["untold"], descriptors)


@pytest.mark.parametrize("address", ["1.1.1.1", "169.254.169.254", "10.0.0.1"])
def test_no_other_address_has_a_route(standing: Standing, address: str) -> None:
    """N1: the namespace has a loopback and nothing else."""
    with pytest.raises(OSError, match="unreachable"):
        standing.space.connect(address, 80)


def asked(standing: Standing, name: str) -> DNSRecord:
    """Ask the cell's DNS over UDP."""
    sock = standing.space.inside(lambda: socket.socket(type=socket.SOCK_DGRAM))
    with closing(sock):
        sock.settimeout(10)
        sock.sendto(DNSRecord(q=DNSQuestion(name)).pack(), ("127.0.0.1", 53))
        return DNSRecord.parse(sock.recv(512))


def test_the_platforms_name_has_its_address(standing: Standing) -> None:
    """The name leads to the address that is redirected."""
    assert "198.18.0.1" == str(asked(standing, "api.casemate.internal").rr[0].rdata)


def test_another_name_does_not_exist_and_is_told(standing: Standing) -> None:
    """N8: a name that was not issued is answered here, and recorded."""
    assert 3 == asked(standing, "secret.attacker.example").header.rcode
    message, _ = standing.said()

    assert "dns:secret.attacker.example" == message["destination"]
    assert CELL == message["cell"]


def test_dns_over_tcp(standing: Standing) -> None:
    """Length-prefixed, several in one connection, one byte at a time."""
    query = DNSRecord(q=DNSQuestion("api.casemate.internal")).pack()
    framed = len(query).to_bytes(2, "big") + query
    with closing(standing.space.connect("127.0.0.1", 53)) as inside:
        for byte in framed * 2:
            inside.sendall(bytes([byte]))
        stream = inside.makefile("rb")
        for _ in range(2):
            length = int.from_bytes(stream.read(2), "big")
            assert 1 == len(DNSRecord.parse(stream.read(length)).rr)
        stream.close()
    with closing(standing.space.connect("127.0.0.1", 53)) as inside:
        inside.sendall(b"\xff\xff")
        assert is_closed(inside)


def test_a_flood_of_refusals_is_counted_not_told(standing: Standing) -> None:
    """Sixty attempts: at most some twenty-five messages, and none uncounted."""
    for _ in range(60):
        with closing(standing.space.connect("198.18.0.2", 443)) as inside:
            assert is_closed(inside)
    standing.warden_says({"verb": "gone", "cell": CELL})
    messages: list[dict[str, object]] = []
    while sum(1 + int(str(m["untold"])) for m in messages) < 60:
        messages.append(standing.said()[0])

    assert 60 == sum(1 + int(str(m["untold"])) for m in messages)
    assert len(messages) < 40


def test_a_cell_that_is_gone_is_not_served(standing: Standing) -> None:
    """Its listeners are closed, and its id may be announced again."""
    fds = Path(f"/proc/{standing.process.pid}/fd")
    before = len(list(fds.iterdir()))
    assert {"id": 5, "ok": {}} == standing.warden_says({"verb": "gone", "cell": CELL})

    assert before - 3 == len(list(fds.iterdir()))
    with pytest.raises(ConnectionRefusedError):
        standing.space.connect("198.18.0.1", 443)


@pytest.mark.parametrize(
    "message",
    [
        {"verb": "cell", "cell": CELL, "fds": ["tcp", "dns_udp", "dns_tcp"]},
        {"verb": "cell", "cell": "../x", "fds": ["tcp", "dns_udp", "dns_tcp"]},
        {"verb": "cell", "cell": "c" + "1" * 16, "fds": ["tcp"]},
        {"verb": "cell", "cell": "c" + "2" * 16, "fds": ["dns_udp", "tcp", "dns_tcp"]},
        {"verb": "other", "cell": CELL},
        {"verb": "gone"},
    ],
)
def test_what_the_warden_does_not_say_is_refused(
    standing: Standing, message: dict[str, object]
) -> None:
    """A second cell of one id, a wrong id, missing sockets: refused, none kept."""
    fds = Path(f"/proc/{standing.process.pid}/fd")
    before = len(list(fds.iterdir()))
    pairs = [socket.socket(type=socket.SOCK_STREAM) for _ in range(3)]
    answer = standing.warden_says(message, *(sock.fileno() for sock in pairs))
    for sock in pairs:
        sock.close()

    assert "error" in answer
    assert before == len(list(fds.iterdir()))


def test_a_node_that_does_not_take_connections_costs_no_more(
    standing: Standing,
) -> None:
    """A connection that cannot be handed over is closed and told; none pile up."""
    kept = [standing.space.connect("198.18.0.1", 443) for _ in range(400)]
    fds = Path(f"/proc/{standing.process.pid}/fd")
    held = len(list(fds.iterdir()))
    seen = {"connection": 0, "refused": 0}
    while seen["connection"] + seen["refused"] < 400:
        message, descriptors = standing.said()
        seen[str(message["verb"])] += 1 + int(str(message.get("untold", 0)))
        for descriptor in descriptors:
            os.close(descriptor)
    for connection in kept:
        connection.close()

    assert held < 64
    assert 400 == sum(seen.values())


@pytest.mark.parametrize("how", ["stop", "boot", "warden", "node"])
def test_it_ends_when_told_or_alone(tmp_path: Path, how: str) -> None:
    """`stop`, or the end of the warden: 0.  The end of the node: 1."""
    with child("casemate.road.egress", tmp_path, tmp_path / "stderr") as process:
        node, warden = booted(process, {"platform": PLATFORM})
        receive(process.boot)
        if how == "stop":
            send(process.boot, {"verb": "stop"})
        else:
            {"boot": process.boot, "warden": warden, "node": node}[how].close()
        assert int(how == "node") == process.wait()
        node.close()
        warden.close()


@pytest.mark.parametrize(
    "settings",
    [
        {},
        None,
        {"platform": {}},
        {"platform": PLATFORM, "more": 1},
        {"platform": {**PLATFORM, "address": "10.0.0.1"}},
        {"platform": {**PLATFORM, "address": None}},
        {"platform": {**PLATFORM, "port": "x"}},
    ],
)
def test_settings_that_are_not_known_are_refused(
    tmp_path: Path, settings: object
) -> None:
    """One line that says why, exit 1."""
    with child("casemate.road.egress", tmp_path, tmp_path / "stderr") as process:
        node, warden = booted(process, settings)
        assert 1 == process.wait()
        node.close()
        warden.close()
    assert 1 == process.stderr.read_text().count("\n")
