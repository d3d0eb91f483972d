"""
Where deployed code can speak: to the platform's own endpoint, and nowhere else.

The cell's namespace has a loopback and one redirect; what the redirect refuses
is told to the node, which counts it and puts it in the audit chain.
"""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest

from security.local_doors import gauge
from security.probe import Probe
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

EGRESS = 'casemate_strangers_total{reason="Egress"}'
ENDPOINT = "api.casemate.internal"


def waiting_at(listener: socket.socket) -> int:
    """Count the connections that a listener has got."""
    listener.setblocking(False)
    count = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return count
        count += 1


def audit_count(tenant: Tenant) -> int:
    return int(tenant.client("casemate").verify_audit()["Count"])


def test_the_platform_s_endpoint_is_reached(probe: Probe) -> None:
    """The end, the control: boto3 works in a handler with no configuration."""
    answer = probe.run(
        "import boto3; answer = boto3.client('sts').get_caller_identity()['Arn']"
    )
    account = probe.tenant.account
    assert answer == f"arn:aws:sts::{account}:assumed-role/powerless/probe"


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])  # noqa: S104 — the host's
def test_n1_nothing_of_the_host_is_reached(probe: Probe, host: str) -> None:
    """N1: a listener of the host is not there, on no address that the host has."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    aim = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 — as above
    with socket.create_server((host, 0), family=family) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((aim, port), 5):
            assert waiting_at(listener) == 1  # the control: it listens
        code = f"""
        answer = [tried(socket.create_connection, (h, {port}), 3)
                  for h in ("127.0.0.1", "::1", "0.0.0.0", {aim!r})]
        """
        assert "ok" not in probe.run(code)
        assert waiting_at(listener) == 0


def test_n1_the_api_port_and_the_doors_are_not_there(probe: Probe) -> None:
    """N1: neither the platform's own port on the host's loopback nor its sockets."""
    variables = probe.tenant.platform.variables
    port = urlsplit(variables["AWS_ENDPOINT_URL"]).port
    hosts = sorted({info[4][0] for info in socket.getaddrinfo(socket.gethostname(), 0)})
    code = f"""
    answer = [tried(socket.create_connection, (h, {port}), 3)
              for h in {["127.0.0.1", "::1", *map(str, hosts)]!r}]
    answer += [os.path.exists(p) for p in ("/run", "/var/lib/casemate")]
    """
    answer = probe.run(code)
    assert "ok" not in answer
    assert True not in answer


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "10.0.0.1", "172.17.0.1", "192.168.0.1"),
        *("169.254.169.254", "169.254.170.2", "100.100.100.200", "224.0.0.1"),
        *("255.255.255.255", "fd00:ec2::254", "::ffff:8.8.8.8", "64:ff9b::808:808"),
    ],
)
def test_the_network_ends_at_the_cell(probe: Probe, address: str) -> None:
    """The end, N2: no address but the platform's has a route, by TCP or by UDP."""
    family = "socket.AF_INET6" if ":" in address else "socket.AF_INET"
    answer = probe.run(
        f"""
        datagram = socket.socket({family}, socket.SOCK_DGRAM)
        answer = [tried(socket.create_connection, ({address!r}, 80), 3),
                  tried(datagram.sendto, b"x", ({address!r}, 443))]
        """
    )
    assert set(answer) <= {"ENETUNREACH", "EACCES", "EADDRNOTAVAIL", "EHOSTUNREACH"}


@pytest.mark.parametrize(
    ("attempt", "tries"),
    [
        ("socket.create_connection(('198.18.0.1', 80), 3)", 1),
        ("socket.create_connection(('198.18.0.2', 443), 3)", 1),
        ("socket.create_connection(('198.19.255.255', 443), 3)", 1),
        ("socket.create_connection(('127.0.0.1', 15001), 3)", 1),
    ],
)
def test_a_destination_not_issued_is_refused_and_recorded(
    tenant: Tenant, probe: Probe, attempt: str, tries: int
) -> None:
    """The end, N5: the redirect takes it, egress closes it, the chain has it."""
    counted, recorded = gauge(tenant.platform, EGRESS), audit_count(tenant)
    answer = probe.run(
        f"""
        def attempt():
            there = {attempt}
            there.settimeout(5)
            there.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")
            return there.recv(1)
        try:
            answer = attempt().decode()
        except OSError as error:
            answer = ""
        """
    )
    assert answer == ""
    assert gauge(tenant.platform, EGRESS) == counted + tries
    # The attempt, the invocation that made it, and the look at the count itself.
    assert audit_count(tenant) == recorded + tries + 2


@pytest.mark.parametrize(
    "name",
    ["example.com", "metadata.google.internal", "data.attacker.example", "localhost."],
)
def test_names_not_issued_do_not_exist_and_are_recorded(
    tenant: Tenant, probe: Probe, name: str
) -> None:
    """The end, N8: no question is forwarded; each is counted."""
    before = gauge(tenant.platform, EGRESS)
    assert probe.said(f"tried(socket.getaddrinfo, {name!r}, 443)") != "ok"
    assert gauge(tenant.platform, EGRESS) > before
    assert probe.said(f"socket.gethostbyname('{ENDPOINT}')").startswith("198.18.")


@pytest.mark.parametrize(
    ("family", "kind", "protocol"),
    [
        (17, 3, 0),  # packet
        (2, 3, 1),  # raw ICMP
        (2, 3, 255),  # raw
        (2, 2, 1),  # ping
        (2, 1, 132),  # SCTP
        (2, 1, 262),  # MPTCP
        (2, 6, 33),  # DCCP
        (2, 2, 136),  # UDP-Lite
        (10, 3, 58),  # raw ICMPv6
        (16, 3, 0),  # netlink
        (38, 5, 0),  # AF_ALG
        (40, 1, 0),  # AF_VSOCK
        (31, 3, 0),  # bluetooth
        (44, 3, 0),  # XDP
        (21, 5, 0),  # RDS
        (30, 1, 0),  # TIPC
    ],
)
def test_n9_an_odd_socket_is_refused(
    probe: Probe, family: int, kind: int, protocol: int
) -> None:
    """N9: local sockets, TCP and UDP, and no other way to speak."""
    assert probe.said(f"call(41, {family}, {kind}, {protocol})") == "EPERM"
    assert probe.said("call(41, 2, 1, 0)") == "ok"


def test_n10_abstract_names_end_at_the_cell(probe: Probe, other_probe: Probe) -> None:
    """N10: no socket of the host or of another cell is met by its abstract name."""
    name = "\0casemate-test-meeting"
    connect = f"answer = tried(socket.socket(socket.AF_UNIX).connect, {name!r})"
    with socket.socket(socket.AF_UNIX) as host:
        host.bind(name)
        host.listen()
        assert probe.run(connect) == "ECONNREFUSED"
    listen = f"""
    sys.kept = socket.socket(socket.AF_UNIX)
    sys.kept.bind({name!r})
    sys.kept.listen()
    """
    probe.run(listen)
    assert probe.run(connect) == "ok"  # the control: in its own cell it is met
    assert other_probe.run(connect) == "ECONNREFUSED"
    probe.run("sys.kept.close()")


def test_n11_a_listener_in_a_cell_is_met_by_nobody(
    probe: Probe, other_probe: Probe
) -> None:
    """N11: neither from the host nor from another cell."""
    port = probe.run(
        """
        sys.kept = socket.create_server(("0.0.0.0", 0))
        answer = sys.kept.getsockname()[1]
        """
    )
    connect = f"answer = tried(socket.create_connection, ('127.0.0.1', {port}), 3)"
    assert probe.run(connect) == "ok"
    assert other_probe.run(connect) == "ECONNREFUSED"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 3)
    probe.run("sys.kept.close()")


def test_n12_the_namespace_cannot_be_changed(probe: Probe) -> None:
    """N12: addresses, routes, ARP and interfaces are asked for by ioctl: refused."""
    requests = {
        "SIOCADDRT": 0x890B,
        "SIOCDELRT": 0x890C,
        "SIOCSIFADDR": 0x8916,
        "SIOCSIFFLAGS": 0x8914,
        "SIOCSARP": 0x8955,
        "SIOCBRADDBR": 0x89A0,
        "SIOCETHTOOL": 0x8946,
    }
    answer = probe.run(
        f"""
        plain = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        room = ctypes.create_string_buffer(256)
        answer = [call(16, plain.fileno(), r, ctypes.addressof(room))
                  for r in {list(requests.values())}]
        answer += [tried(plain.setsockopt, 0, o, b"x" * 40) for o in (64, 96)]
        answer += [tried(plain.setsockopt, 1, 25, b"lo")]
        """
    )
    assert set(answer[:7]) == {"EPERM"}
    assert "ok" not in answer[7:9]  # IPT_SO_SET_REPLACE, ARPT_SO_SET_REPLACE
    assert len(answer) == 10


def test_descriptors_do_not_cross_cells(probe: Probe) -> None:
    """N10: what the control socket carries is the platform's; nothing comes through."""
    answer = probe.run(
        """
        control = socket.socket(fileno=os.dup(3))
        answer = [control.family == socket.AF_UNIX, control.getpeername() in ("", b""),
                  tried(control.connect, "/tmp/x")]
        control.detach()
        """
    )
    assert answer[0] is True
    assert answer[2] != "ok"
