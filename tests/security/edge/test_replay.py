"""A4 on a platform that takes each signature once: `casemate up --replay refuse`."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from security.crash.stand import Stand, standing
from security.edge.attacker import Attacker, Watch
from security.edge.signing import Ask, Keys, json_call, presign
from security.edge.witness import must_refuse
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

COUNTS = "def handler(event, context):\n    print('ran', event)\n    return event\n"
COUNTED = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")


@pytest.fixture(scope="module")
def strict() -> Iterator[Stand]:
    """A platform that takes each signature once."""
    with standing("--pool", "1", "--replay", "refuse") as stand:
        yield stand


@pytest.fixture(scope="module")
def echo(strict: Stand) -> str:
    """A function that says what it ran."""
    return Tenant(strict).deploy(COUNTS)


def group() -> Ask:
    name = f"/replayed/{secrets.token_hex(4)}"
    return json_call("logs", "Logs_20140328.CreateLogGroup", {"logGroupName": name})


def test_a4_a_captured_call_is_taken_once(strict: Stand, echo: str) -> None:
    """A4: a change and an invocation sent again are refused, recorded, and not run."""
    attacker, watch = Attacker(strict), Watch(strict)
    tenant, keys = Tenant(strict), Keys.of(strict.variables)
    invoke = Ask(
        service="lambda",
        path=f"/2015-03-31/functions/{echo}/invocations",
        body=b'"once"',
    )
    for ask in (group(), invoke):
        captured = attacker.written(ask, keys)
        assert attacker.send(captured).status == 200
        again = must_refuse(attacker, watch, captured)
        assert again.answer.status == 429
        assert again.answer.headers["retry-after"] == "1"
        assert again.evidence["fault"] == "replayed"
        assert again.record["recipientAccountId"] == tenant.account
        assert again.record["userIdentity"] == {"type": "Unknown"}
    lines = tenant.logs_until(echo, "REPORT")
    assert len([line for line in lines if "ran once" in line]) == 1


def test_a4_a_captured_message_is_taken_once(strict: Stand) -> None:
    """A4: what is written, sent or received is so once, though no record waits."""
    attacker, watch = Attacker(strict), Watch(strict)
    keys = Keys.of(strict.variables)
    sqs, logs = strict.client("sqs"), strict.client("logs")
    name = f"replayed-{secrets.token_hex(4)}"
    queue = sqs.create_queue(QueueName=name)["QueueUrl"]
    stream = {"logGroupName": name, "logStreamName": "s"}
    logs.create_log_group(logGroupName=name)
    logs.create_log_stream(**stream)
    event = {"timestamp": int(time.time() * 1000), "message": "once"}
    calls = (
        ("logs", "Logs_20140328.PutLogEvents", {**stream, "logEvents": [event]}),
        ("sqs", "AmazonSQS.SendMessage", {"QueueUrl": queue, "MessageBody": "once"}),
        ("sqs", "AmazonSQS.ReceiveMessage", {"QueueUrl": queue}),
    )
    for service, target, body in calls:
        captured = attacker.written(json_call(service, target, body), keys)
        assert attacker.send(captured).status == 200
        again = must_refuse(attacker, watch, captured)
        assert again.evidence["fault"] == "replayed"
    counted = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])
    counts = {key: counted["Attributes"][key] for key in COUNTED}
    assert counts == {COUNTED[0]: "0", COUNTED[1]: "1"}
    assert len(logs.get_log_events(**stream)["events"]) == 1


def test_a4_clients_and_reads_do_not_notice(strict: Stand, echo: str) -> None:
    """A4: boto3 goes on, and a read may be sent again."""
    attacker, keys = Attacker(strict), Keys.of(strict.variables)
    logs = strict.client("logs")
    for _ in range(3):
        logs.create_log_group(logGroupName=f"/boto3/{secrets.token_hex(4)}")
    # Equal calls in one second have one signature: the client signs them again.
    patient = strict.client("lambda", retries=8)
    for _ in range(3):
        answer = patient.invoke(FunctionName=echo, Payload=b'"equal"')
        assert answer["Payload"].read() == b'"equal"'
    read = json_call("logs", "Logs_20140328.DescribeLogGroups", {})
    captured = attacker.written(read, keys)
    for _ in range(2):
        assert attacker.send(captured).status == 200


def test_a4_long_presigned_changes_are_refused(strict: Stand) -> None:
    """A4: what would have to be remembered for days is not taken."""
    attacker, watch = Attacker(strict), Watch(strict)
    keys = Keys.of(strict.variables)
    query = "Action=CreateUser&Version=2010-05-08&UserName="
    ask = Ask(service="iam", method="GET", query=f"{query}{secrets.token_hex(4)}")
    good = presign(attacker.placed(ask), keys, expires=300)
    assert attacker.ask(good).status == 200
    assert must_refuse(attacker, watch, good).evidence["fault"] == "replayed"
    other = replace(ask, query=f"{query}{secrets.token_hex(4)}")
    long = presign(attacker.placed(other), keys, expires=301)
    assert must_refuse(attacker, watch, long).evidence["fault"] == "expired"


def test_a4_a_restart_opens_no_window() -> None:
    """A4: what was accepted before a kill is not accepted after the next start."""
    with standing("--pool", "1", "--replay", "refuse") as stand:
        attacker, keys = Attacker(stand), Keys.of(stand.variables)
        captured = attacker.written(group(), keys)
        assert attacker.send(captured).status == 200
        stand.kill()
        stand.again()
        attacker, watch = Attacker(stand), Watch(stand)
        again = must_refuse(attacker, watch, captured)
        assert again.answer.status == 503, again
        assert again.evidence["fault"] == "before the start"
        # Whoever signs anew is let in at once.
        stand.client("logs").create_log_group(logGroupName="/after/the/start")
