"""What floods: changes, pages of one, names in metrics; and what is not exposed."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from platform_harness import Platform
from security.edge.attacker import Answer, Attacker, Watch
from security.edge.signing import Keys, json_call
from security.edge.witness import must_refuse
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

BURST = 500
FLOOD = 1_600
LANES = 8


def test_q11_a_flood_of_changes(
    platform: Platform, watch: Watch, alice: Tenant
) -> None:
    """Q11: past its burst an account is throttled by name, and only that account."""
    made = alice.client("casemate").create_account(Name="flooder")
    keys = Keys.of(platform.session(made["AccountId"]))
    attacker = Attacker(platform)
    answers: list[Answer] = []

    def flood(lane: int) -> None:
        # Several lines, so that commits come in groups, and the flood is one.
        target = "Logs_20140328.CreateLogGroup"
        asks = [
            json_call("logs", target, {"logGroupName": f"/q11/{lane}/{n}"})
            for n in range(FLOOD // LANES)
        ]
        with attacker.line() as line:
            line.say(b"".join(attacker.written(ask, keys) for ask in asks))
            answers.extend(line.hear() for _ in asks)

    threads = [threading.Thread(target=flood, args=(n,)) for n in range(LANES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} == {200, 429}
    throttled = [answer for answer in answers if answer.status == 429]
    assert len(answers) - len(throttled) >= BURST
    assert {answer.code for answer in throttled} == {"ThrottlingException"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in throttled)
    record = watch.record(throttled[-1].id, keys)
    assert record["errorCode"] == "TooManyRequestsException"
    assert made["AccountId"] in record["errorMessage"]
    # Nobody else is slower for it, and what reads is not held back.
    alice.client("logs").create_log_group(logGroupName=f"/q11/{secrets.token_hex(4)}")
    ask = json_call("logs", "Logs_20140328.DescribeLogGroups", {"limit": 1})
    assert attacker.ask(ask, keys).status == 200


@pytest.mark.parametrize(
    ("service", "operation", "size", "token", "items"),
    [
        ("lambda", "list_functions", "MaxItems", "NextMarker:Marker", "Functions"),
        ("logs", "describe_log_groups", "limit", "nextToken:nextToken", "logGroups"),
        ("iam", "list_users", "MaxItems", "Marker:Marker", "Users"),
        ("iam", "list_roles", "MaxItems", "Marker:Marker", "Roles"),
    ],
)
def test_q11_pages_of_one(
    service: str, operation: str, size: str, token: str, items: str, alice: Tenant
) -> None:
    """Q11: pages of one give everything once; a size beyond the limit is refused."""
    name = secrets.token_hex(4)
    iam, logs = alice.client("iam"), alice.client("logs")
    for number in range(3):
        if items == "Users":
            iam.create_user(UserName=f"q-{name}-{number}")
        if items == "logGroups":
            logs.create_log_group(logGroupName=f"/q/{name}/{number}")
        if items == "Functions":
            alice.create("def handler(e, c): pass\n", f"q-{name}-{number}")
    call = getattr(alice.client(service), operation)
    given, taken = token.split(":")
    seen: list[str] = []
    more: dict[str, Any] = {}
    while True:
        page = call(**{size: 1}, **more)
        assert len(page[items]) <= 1
        seen += [json.dumps(item, default=str) for item in page[items]]
        if not page.get(given):
            break
        more = {taken: page[given]}
    assert len(seen) == len(set(seen))
    whole = [json.dumps(item, default=str) for item in call()[items]]
    assert set(whole) <= set(seen)
    with pytest.raises(ClientError) as caught:
        call(**{size: 1_000_000})
    response: Any = caught.value.response
    assert 400 <= response["ResponseMetadata"]["HTTPStatusCode"] < 500
    for forged in ("AAAA", "1", "../x", "a" * 9000):
        with pytest.raises(ClientError):
            call(**{size: 1, taken: forged})


def test_q11_a_policy_has_a_size(alice: Tenant) -> None:
    """Q11: policies past AWS's sizes are refused, and so is one more in all."""
    iam = alice.client("iam")
    iam.create_user(UserName="q11-big")
    statement = {"Effect": "Allow", "Action": "logs:*", "Resource": "*"}
    big = json.dumps({"Version": "2012-10-17", "Statement": [statement] * 200})
    refusals = {
        iam.put_user_policy: {"UserName": "q11-big", "PolicyName": "p"},
        iam.create_policy: {"PolicyName": "q11-big"},
    }
    for call, given in refusals.items():
        with pytest.raises(ClientError) as caught:
            call(**given, PolicyDocument=big)
        assert caught.value.response["Error"]["Code"] == "LimitExceeded"
    assert not iam.list_user_policies(UserName="q11-big")["PolicyNames"]


def test_q14_no_name_of_a_tenant_is_a_label(
    alice: Tenant, bob: Tenant, watch: Watch, attacker: Attacker, keys: Keys
) -> None:
    """Q14: however many names are made, the metrics grow by none of them."""
    name = f"q14-{secrets.token_hex(4)}"
    alice.deploy("def handler(e, c): return 1\n", name)
    alice.invoke(name)
    alice.client("logs").create_log_group(logGroupName=f"/{name}")
    with pytest.raises(ClientError):
        bob.client("lambda").get_function(FunctionName=f"{name}-missing")
    samples = len(watch.metrics().splitlines())
    for number in range(40):
        target = f"Logs_20140328.{name}{number}"
        attacker.ask(json_call("logs", target, {}), keys)
        attacker.ask(json_call(f"svc{number}", target, {}), keys)
        with pytest.raises(ClientError):
            alice.client("lambda").get_function(FunctionName=f"{name}-{number}")
    text = watch.metrics()
    assert len(text.splitlines()) <= samples + 2
    for secret in (name, alice.account, bob.account, "svc1", attacker.address):
        assert secret not in text


def _listening(pids: set[int]) -> set[tuple[str, int]]:
    """Give the TCP and UDP sockets that processes listen at on this host."""
    inodes = set()
    for pid in pids:
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = str(entry.readlink())
            except FileNotFoundError:
                continue
            inodes.add(target.removeprefix("socket:[").removesuffix("]"))
    found = set()
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            parts = line.split()
            is_listening = parts[3] == "0A" or table.startswith("udp")
            if is_listening and parts[9] in inodes:
                address, port = parts[1].split(":")
                found.add((address, int(port, 16)))
    return found


def test_o9_one_port_and_no_other(platform: Platform, attacker: Attacker) -> None:
    """O9: of all processes of the platform, one listens, at one address."""
    assert platform.process is not None
    warden = platform.process.pid
    children = Path(f"/proc/{warden}/task/{warden}/children").read_text().split()
    pids = {warden, *map(int, children)}
    assert _listening(pids) == {("0100007F", attacker.port)}


CONNECT = (
    "import socket, sys\n"
    "s = socket.socket(socket.AF_UNIX)\n"
    "try:\n"
    "    s.connect(sys.argv[1])\n"
    "    print('in')\n"
    "except OSError as error:\n"
    "    print(error.errno)\n"
)


@pytest.mark.parametrize("size", [0, -1, 51, "1", 1.5, None])
def test_q11_a_size_that_is_none(
    size: object, attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """Q11: what boto3 would not send is refused here too."""
    ask = json_call("logs", "Logs_20140328.DescribeLogGroups", {"limit": size})
    if size is None:
        assert attacker.ask(ask, keys).status == 200
    else:
        must_refuse(attacker, watch, ask, keys)


@pytest.mark.parametrize("door", ["metrics.sock", "operator.sock"])
@pytest.mark.parametrize(
    "user", ["nobody", "casemate-node", "casemate-keyholder", "casemate-egress"]
)
def test_o9_the_local_doors_are_roots(door: str, user: str, platform: Platform) -> None:
    """O9: metrics and the operator's word are for root; no user gets in."""
    path = Path(platform.variables["AWS_CA_BUNDLE"]).parent / door
    entry = pwd.getpwnam(user)
    done = subprocess.run(
        ["/usr/bin/python3.11", "-I", "-c", CONNECT, str(path)],
        user=entry.pw_uid,
        group=entry.pw_gid,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "13", done
    assert path.stat().st_uid == 0
    assert path.stat().st_mode & 0o777 == 0o600


def test_o9_what_a_local_door_tells(platform: Platform) -> None:
    """O9: three paths, by GET alone; nothing that debugs, nothing that changes."""
    path = Path(platform.variables["AWS_CA_BUNDLE"]).parent / "metrics.sock"
    expected = {
        b"GET /metrics": b"200",
        b"GET /healthz": b"200",
        b"GET /readyz": b"200",
        b"GET /debug/pprof": b"404",
        b"GET /../metrics": b"404",
        b"POST /metrics": b"405",
        b"DELETE /healthz": b"405",
    }
    for line, status in expected.items():
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(10)
            sock.connect(str(path))
            sock.sendall(line + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert sock.recv(65_536).split(b" ")[1] == status, line


def test_a15_nothing_of_the_first_start_is_readable(platform: Platform) -> None:
    """A15: no secret of the first start is anywhere that others can read."""
    for folder, _, names in os.walk(platform.data):
        if folder == str(platform.data):
            assert Path(folder).stat().st_mode & 0o007 == 0
        for name in names:
            path = Path(folder) / name
            if "/images/" in folder:
                continue
            inner = path.is_relative_to(platform.data / "node") or (
                path.is_relative_to(platform.data / "keyholder")
            )
            if inner:
                assert path.stat().st_mode & 0o077 == 0, path
    told = "".join(platform.lines)
    for secret in ("AWS_", "AKIA", "ASIA", platform.variables["AWS_SESSION_TOKEN"]):
        assert secret not in told
