"""What comes in as a request: paths, JSON, forms, encodings, names, and leaving."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from platform_harness import Platform
from security.edge.attacker import PATIENCE, Attacker, Watch
from security.edge.signing import (
    Ask,
    Keys,
    identity_call,
    json_call,
    query_call,
)
from security.edge.witness import must_refuse
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

CPU_SECONDS = 0.05
MEGABYTE = 1_000_000
ECHO = "def handler(event, context):\n    return {'ran': event}\n"
SLEEPER = (
    "import time\n"
    "def handler(event, context):\n"
    "    time.sleep(event['seconds'])\n"
    "    return {'mine': event['mine']}\n"
)


@pytest.fixture(scope="module")
def echo(alice: Tenant) -> str:
    """A function that says when it ran."""
    return alice.deploy(ECHO)


PATHS = [
    "//2015-03-31/functions/{}/invocations",
    "/2015-03-31//functions/{}/invocations",
    "/2015-03-31/functions/x/../{}/invocations",
    "/2015-03-31/functions/x/%2e%2e/{}/invocations",
    "/2015-03-31/functions/x/.%2E/{}/invocations",
    "/2015-03-31/functions/x/%252e%252e/{}/invocations",
    "/2015-03-31/functions/..%2f{}/invocations",
    "/2015-03-31/functions/x%2f..%2f{}/invocations",
    "/2015-03-31/functions/./{}/invocations",
    "/2015-03-31/functions/{};v=1/invocations",
    "/2015-03-31/functions/{}/invocations;v=1",
    "/2015-03-31/functions/{}%00/invocations",
    "/2015-03-31/functions/{}%0a/invocations",
    "/2015-03-31/functions/{}%c0%af/invocations",
    "/2015-03-31/functions/{}%ff/invocations",
    "/2015-03-31/functions/{}%/invocations",
    "/2015-03-31/functions/{}%zz/invocations",
    "/2015-03-31/functions/{}/invocations/..",
    "/2015-03-31\\functions/{}/invocations",
]


@pytest.mark.parametrize("path", PATHS)
def test_h5_no_other_path_to_a_function(
    path: str, echo: str, attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """H5: signed as it stands, it is refused; it is never another spelling."""
    ask = Ask(service="lambda", path=path.format(echo), body=b"{}")
    refused = must_refuse(attacker, watch, ask, keys)
    assert refused.answer.status in (400, 403, 404)
    assert b"ran" not in refused.answer.body


def test_h5_an_encoded_letter_is_the_same_resource(
    echo: str, attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """H5: what routes, what is signed and what policy is asked about are one name."""
    spelled = "".join(f"%{ord(letter):02X}" for letter in echo)
    path = f"/2015-03-31/functions/{spelled}/invocations"
    answer = attacker.ask(Ask(service="lambda", path=path, body=b"1"), keys)
    assert answer.status == 200
    record = watch.record(answer.id)
    assert record["additionalEventData"]["resource"].endswith(f":function:{echo}")


def _cpu(platform: Platform) -> float:
    """Give the seconds of CPU that the node has used."""
    assert platform.process is not None
    pid = platform.process.pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if b"casemate.app" in Path(f"/proc/{child}/cmdline").read_bytes():
            told = Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2].split()
            return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")
    raise AssertionError("the platform has no node")


def _limit(value: str) -> bytes:
    return b'{"limit":' + value.encode() + b"}"


BOMBS: dict[str, bytes] = {
    "depth of lists": b"[" * 100_000,
    "depth of objects": b'{"a":' * 100_000,
    "closed depth": b'{"limit":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "duplicate keys": b'{"limit":1,"limit":50}',
    "duplicate keys, escaped": b'{"limit":1,"l\\u0069mit":50}',
    "NaN": _limit("NaN"),
    "Infinity": _limit("Infinity"),
    "1e999": _limit("1e999"),
    "a million digits": _limit("1" * MEGABYTE),
    "a million digits after the point": _limit("1." + "1" * (MEGABYTE - 100)),
    "lone surrogate": b'{"logGroupNamePrefix":"\\ud800"}',
    "byte order mark": b"\xef\xbb\xbf{}",
    "trailing garbage": b"{}{}",
    "not UTF-8": b'{"logGroupNamePrefix":"\xff"}',
    "zero byte": b'{"logGroupNamePrefix":"a\x00"}',
    "a list": b"[]",
    "true": b"true",
    "a number of text": b'{"limit":"1"}',
    "a fraction": b'{"limit":1.5}',
    "a truth": b'{"limit":true}',
    "200,000 keys": json.dumps({f"k{n}": 0 for n in range(70_000)}).encode(),
}


def test_h8_json(
    platform: Platform, attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """H8: each is refused with a reason, and costs less than 50 ms of CPU."""
    used = {}
    for what, body in BOMBS.items():
        ask = json_call("logs", "Logs_20140328.DescribeLogGroups", body)
        data = attacker.written(ask, keys)
        before = _cpu(platform)
        answer = attacker.send(data)
        used[what] = _cpu(platform) - before
        assert 400 <= answer.status < 500, (what, answer)
        assert answer.code, (what, answer)
    assert max(used.values()) <= CPU_SECONDS + 0.02, used
    must_refuse(
        attacker,
        watch,
        json_call("logs", "Logs_20140328.DescribeLogGroups", b"[" * 100_000),
        keys,
    )


EVENTS: dict[str, bytes] = {
    "NaN": b"NaN",
    "trailing garbage": b"{} {}",
    "byte order mark": b"\xef\xbb\xbf{}",
    "not UTF-8": b'"\xff"',
    "half": b'{"a":',
    "depth": b"[" * 100_000,
}


@pytest.mark.parametrize("what", EVENTS)
def test_h8_an_event_that_is_no_json(
    what: str, echo: str, attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """H8: an event is held to be JSON before a function is woken for it."""
    path = f"/2015-03-31/functions/{echo}/invocations"
    ask = Ask(service="lambda", path=path, body=EVENTS[what])
    refused = must_refuse(attacker, watch, ask, keys)
    assert refused.answer.code == "InvalidRequestContentException"


_LIST = "Action=ListUsers&Version=2010-05-08"
_ROLE = (
    "Action=CreateRole&Version=2010-05-08&RoleName=h9"
    "&AssumeRolePolicyDocument=%7B%22Version%22%3A%222012-10-17%22%2C"
    "%22Statement%22%3A%5B%5D%7D"
)
FORMS: dict[str, bytes | str] = {
    "sparse list": f"{_ROLE}&Tags.member.999999999.Key=a&Tags.member.999999999.Value=b",
    "list from zero": f"{_ROLE}&Tags.member.0.Key=a&Tags.member.0.Value=b",
    "negative index": f"{_ROLE}&Tags.member.-1.Key=a&Tags.member.-1.Value=b",
    "hole in a list": f"{_ROLE}&Tags.member.2.Key=a&Tags.member.2.Value=b",
    "100,000 parameters": f"{_LIST}&" + "&".join(f"a{n}=1" for n in range(100_000)),
    "two actions": f"{_LIST}&Action=DeleteUser",
    "no action": "Version=2010-05-08",
    "parameter twice": f"{_LIST}&MaxItems=1&MaxItems=2",
    "unknown parameter": f"{_LIST}&Nope=1",
    "deep name": f"{_LIST}&{'.'.join(['a'] * 10_000)}=1",
    "not UTF-8": b"Action=GetUser&Version=2010-05-08&UserName=%ff",
    "zero byte": "Action=GetUser&Version=2010-05-08&UserName=a%00",
    "broken escape": "Action=GetUser&Version=2010-05-08&UserName=%zz",
}


@pytest.mark.parametrize("what", FORMS)
def test_h9_forms(
    what: str,
    platform: Platform,
    attacker: Attacker,
    watch: Watch,
    keys: Keys,
) -> None:
    """H9: refused by name, within a bound of time, and nothing was made."""
    before = _cpu(platform)
    must_refuse(attacker, watch, query_call("iam", FORMS[what]), keys)
    assert _cpu(platform) - before < 0.3


def test_h9_the_action_stands_in_one_place(
    attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """H9: one in the query and one in the body is no action at all."""
    ask = query_call("iam", _LIST, query="Action=ListRoles&Version=2010-05-08")
    must_refuse(attacker, watch, ask, keys)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
def test_h15_nothing_is_decompressed(
    encoding: str, platform: Platform, attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """H15: a gigabyte in a megabyte stays a megabyte of no JSON."""
    bomb = gzip.compress(bytes(200_000_000), 1)[:900_000]
    ask = json_call("logs", "Logs_20140328.DescribeLogGroups", bomb)
    ask = Ask(
        service=ask.service,
        headers=(*ask.headers, ("content-encoding", encoding)),
        body=ask.body,
    )
    before = _cpu(platform)
    must_refuse(attacker, watch, ask, keys)
    assert _cpu(platform) - before < 0.2


NAMES = [
    "../../etc/passwd",
    "a/b",
    "a\nb",
    "a\r\nSet-Cookie: x",
    "*",
    "?",
    "a>b",
    "a b",
    "a.>",
    "a'; DROP TABLE records;--",
    "a\x00b",
    "a\x1b[2Jb",
    "é",
    "a" * 1000,
    "${jndi:ldap://x}",
    "%2e%2e",
]


def _makers(tenant: Tenant, name: str) -> list[Callable[[], object]]:
    lambda_, iam = tenant.client("lambda"), tenant.client("iam")
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    return [
        lambda: tenant.create(ECHO, name),
        lambda: tenant.create(ECHO, Handler=f"handler.{name}\n"),
        lambda: iam.create_user(UserName=name),
        lambda: iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust),
        lambda: iam.create_policy(PolicyName=name, PolicyDocument=trust),
        lambda: lambda_.list_tags(Resource=f"arn:aws:lambda:{name}"),
    ]


@pytest.mark.parametrize("name", NAMES)
def test_h21_names(name: str, alice: Tenant, watch: Watch) -> None:
    """H21: a name that is more than a name is refused, and nothing is made."""
    for number, make in enumerate(_makers(alice, name)):
        before = watch.counted("casemate_strangers_total")
        with pytest.raises(ClientError) as caught:
            make()
        answer: Any = caught.value.response
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        assert 400 <= status < 500, (number, answer)
        if watch.counted("casemate_strangers_total") == before:
            record = alice.record(answer["ResponseMetadata"]["RequestId"])
            assert record["errorCode"]


@pytest.mark.parametrize("name", ["a/../../b", "a.b", "a#b", "a/*", "a>b", "a\nb"])
def test_h21_a_group_of_logs_is_only_a_name(name: str, alice: Tenant) -> None:
    """H21: what AWS lets log groups be called is kept as it is, the rest refused."""
    logs = alice.client("logs")
    if not set(name) <= set("abcdefghijklmnopqrstuvwxyz./_-#"):
        refused = alice.refused(logs.create_log_group, logGroupName=name)
        assert refused.code == "InvalidParameterException"
        return
    logs.create_log_group(logGroupName=name)
    found = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    assert [group["logGroupName"] for group in found] == [name]
    logs.delete_log_group(logGroupName=name)
    assert not logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]


def test_h22_who_leaves_takes_nothing_of_others(
    alice: Tenant, attacker: Attacker, watch: Watch, keys: Keys
) -> None:
    """H22: callers who hang up in the middle change no one else's answer."""
    name = alice.deploy(SLEEPER, Timeout=5)
    path = f"/2015-03-31/functions/{name}/invocations"

    def event(number: int, seconds: float) -> bytes:
        body = json.dumps({"mine": number, "seconds": seconds}).encode()
        return attacker.written(Ask(service="lambda", path=path, body=body), keys)

    before = watch.counted("casemate_calls_total", operation="Invoke", ending="ok")
    for number in range(6):
        with attacker.line() as line:
            line.say(event(number, 0.4))
            time.sleep(0.05)

    told: dict[int, int] = {}

    def stay(number: int) -> None:
        with attacker.line() as line:
            line.say(event(number, 0.02))
            told[number] = json.loads(line.hear().body)["mine"]

    threads = [threading.Thread(target=stay, args=(n,)) for n in range(100, 112)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert told == {n: n for n in range(100, 112)}
    # As on AWS, a call runs to its end without its caller; it is on record.
    end = time.monotonic() + PATIENCE
    while before + 18 > watch.counted(
        "casemate_calls_total", operation="Invoke", ending="ok"
    ):
        assert time.monotonic() < end
    # Lines are handed on once a turn.
    while len(reports := _reports(alice, name)) < 18:
        assert time.monotonic() < end
    assert len(reports) == 18


def _reports(tenant: Tenant, name: str) -> list[str]:
    return [line for line in tenant.logs(name) if line.startswith("REPORT")]


def test_h22_half_a_connection(attacker: Attacker, keys: Keys) -> None:
    """H22: who closes his half in the middle of a body is not answered for it."""
    data = attacker.written(identity_call(), keys)
    with attacker.line() as line:
        line.say(data[:-5])
        line.sock.unwrap().close()
    assert attacker.ask(identity_call(), keys).status == 200


def test_h22_pipelined_answers_keep_their_order(
    echo: str, attacker: Attacker, keys: Keys
) -> None:
    """H22: many requests on one line are answered one by one, each with its own."""
    path = f"/2015-03-31/functions/{echo}/invocations"
    asks = [Ask(service="lambda", path=path, body=str(n).encode()) for n in range(20)]
    with attacker.line() as line:
        line.say(b"".join(attacker.written(ask, keys) for ask in asks))
        bodies = [json.loads(line.hear().body) for _ in asks]
    assert bodies == [{"ran": n} for n in range(20)]
