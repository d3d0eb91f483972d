"""Doors of the machine itself: metrics, health, the operator's socket, ports."""

from __future__ import annotations

import os
import pwd
import socket
import ssl
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from platform_harness import Platform
from security.local_doors import run_folder, scraped

pytestmark = [pytest.mark.root, pytest.mark.platform]

DOORS = ("metrics.sock", "operator.sock")
OWN = ("casemate-node", "casemate-keyholder", "casemate-egress")


@pytest.mark.parametrize("door", DOORS)
def test_o9_a_door_is_root_s_alone(platform: Platform, door: str) -> None:
    """O9: mode 0600, and an unprivileged user of the machine is not let in."""
    path = run_folder(platform) / door
    known = path.lstat()
    assert stat.S_ISSOCK(known.st_mode)
    assert (stat.S_IMODE(known.st_mode), known.st_uid) == (0o600, 0)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))  # the control: root is let in
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({str(path)!r})"
    for name in ("nobody", *OWN):
        done = subprocess.run(
            ["/usr/bin/python3.11", "-I", "-c", code],
            user=name,
            group=pwd.getpwnam(name).pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert "PermissionError" in done.stderr


def test_o9_the_data_is_closed_to_others(platform: Platform) -> None:
    """O9: nobody but its process reads the node's data or the keyholder's."""
    code = "import os,sys\nfor p in sys.argv[1:]:\n os.listdir(p)"
    for name, folder in (
        ("nobody", "node"),
        ("nobody", "keyholder"),
        ("casemate-node", "keyholder"),
        ("casemate-egress", "keyholder"),
        ("casemate-egress", "node"),
        ("casemate-keyholder", "node"),
    ):
        done = subprocess.run(
            ["/usr/bin/python3.11", "-I", "-c", code, str(platform.data / folder)],
            user=name,
            group=pwd.getpwnam(name).pw_gid,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert "PermissionError" in done.stderr, (name, folder)


@pytest.mark.parametrize(
    "target",
    [
        *("/metrics", "/healthz", "/readyz", "/debug/pprof/", "/varz", "/_localstack"),
        *("/health", "/status", "/admin", "/.env", "/server-status", "/console"),
    ],
)
def test_o9_the_public_port_has_no_such_page(platform: Platform, target: str) -> None:
    """O9: what is for the operator is not served where clients are."""
    address = urlsplit(platform.variables["AWS_ENDPOINT_URL"])
    context = ssl.create_default_context(cafile=platform.variables["AWS_CA_BUNDLE"])
    host, port = str(address.hostname), int(address.port or 0)
    with (
        socket.create_connection((host, port), 5) as plain,
        context.wrap_socket(plain, server_hostname=host) as sock,
    ):
        sock.sendall(
            f"GET {target} HTTP/1.1\r\nHost: {host}:{port}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        answer = b""
        while more := sock.recv(65_536):
            answer += more
    status = int(answer.split(b" ", 2)[1])
    assert status in {400, 403, 404}
    assert b"casemate_" not in answer
    # The control: where it belongs, it is served.
    assert "casemate_calls_total" in scraped(platform)


def tree(root: int) -> Iterator[int]:
    """A process and all below it."""
    yield root
    for task in Path(f"/proc/{root}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from tree(int(child))


def test_o9_the_platform_listens_on_one_port(platform: Platform) -> None:
    """O9: of all TCP ports of the host, one is the platform's, on loopback."""
    assert platform.process is not None
    sockets = set()
    for pid in tree(platform.process.pid):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                link = str(descriptor.readlink())
            except FileNotFoundError:
                continue
            if link.startswith("socket:["):
                sockets.add(link.removeprefix("socket:[").removesuffix("]"))
    listening = []
    for table in ("tcp", "tcp6"):
        rows = Path(f"/proc/net/{table}").read_text().splitlines()[1:]
        for row in rows:
            fields = row.split()
            if fields[3] == "0A" and fields[9] in sockets:
                listening.append(fields[1])
    port = urlsplit(platform.variables["AWS_ENDPOINT_URL"]).port
    assert listening == [f"0100007F:{port:04X}"]


def test_o9_the_processes_hold_no_power(platform: Platform) -> None:
    """O9: what parses hostile bytes is no root and can become none."""
    assert platform.process is not None
    seen = set()
    for pid in tree(platform.process.pid):
        status = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        uid = int(status["Uid"].split()[0])
        if uid == 0:
            continue
        seen.add(pwd.getpwuid(uid).pw_name if uid < 1_000_000_000 else "cell")
        assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
        assert int(status["CapBnd"], 16) == 0 or status["NoNewPrivs"] == "1"
        assert status["NoNewPrivs"] == "1"
    assert {*OWN} <= seen
    assert os.geteuid() == 0
    assert sys.version_info[:2] == (3, 11)
