"""Attacks on queues: refused to the client, and each on record."""

from __future__ import annotations

import json
import secrets
import time
from typing import Any

import pytest

from platform_harness import Platform
from security.edge.attacker import Attacker, Watch
from security.edge.signing import Keys, json_call
from security.tenant import Tenant

pytestmark = [pytest.mark.root, pytest.mark.platform]

MIB = 1_048_576


@pytest.fixture(name="sqs", scope="module")
def _sqs(tenant: Tenant) -> Any:
    return tenant.client("sqs")


def _made(sqs: Any, **attributes: str) -> str:
    name = f"q-{secrets.token_hex(6)}"
    return str(sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


def _arn(sqs: Any, url: str) -> str:
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(told["Attributes"]["QueueArn"])


def _handle(sqs: Any, url: str) -> str:
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    return str(message["ReceiptHandle"])


@pytest.mark.parametrize("how", ["forged", "bent", "other queue", "other account"])
@pytest.mark.parametrize("call", ["delete_message", "change_message_visibility"])
def test_z13_a_handle_that_was_not_given_here(
    tenant: Tenant, other: Tenant, sqs: Any, how: str, call: str
) -> None:
    """Z13, E2: a receipt handle forged, bent, or of another queue does nothing."""
    url = _made(sqs)
    mine = _handle(sqs, url)
    handle = {
        "forged": "AQEB" + "A" * 120,
        "bent": mine[:20] + ("A" if mine[20] != "A" else "B") + mine[21:],
        "other queue": _handle(sqs, _made(sqs)),
        "other account": _handle(other.client("sqs"), _made(other.client("sqs"))),
    }[how]
    more = {} if call == "delete_message" else {"VisibilityTimeout": 0}
    refused = tenant.refused(
        getattr(sqs, call), QueueUrl=url, ReceiptHandle=handle, **more
    )
    assert refused.code == "ReceiptHandleIsInvalid"
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
    assert told["Attributes"]["ApproximateNumberOfMessagesNotVisible"] == "1"


def test_e2_visibility_has_its_bounds(tenant: Tenant, sqs: Any) -> None:
    """E2: 0 and 43,200 seconds are taken, what lies beyond is refused."""
    url = _made(sqs, VisibilityTimeout="0")
    sqs.send_message(QueueUrl=url, MessageBody="x")
    for seconds in (0, 43_200):
        assert sqs.receive_message(QueueUrl=url, VisibilityTimeout=seconds)["Messages"]
    for seconds in (-1, 43_201):
        refused = tenant.refused(
            sqs.receive_message, QueueUrl=url, VisibilityTimeout=seconds
        )
        assert refused.code == "InvalidParameterValue"


def test_e2_a_message_past_its_size(tenant: Tenant, sqs: Any) -> None:
    """E2: a mebibyte with its attributes, to the byte."""
    url = _made(sqs)
    attributes = {"n": {"DataType": "String", "StringValue": "v"}}
    most = MIB - len("nStringv")
    sqs.send_message(QueueUrl=url, MessageBody="x" * most, MessageAttributes=attributes)
    refused = tenant.refused(
        sqs.send_message,
        QueueUrl=url,
        MessageBody="x" * (most + 1),
        MessageAttributes=attributes,
    )
    assert refused.code == "InvalidParameterValue"


@pytest.mark.parametrize("character", ["\0", "\x1f", "\ufffe", "\uffff"])
def test_e2_characters_that_xml_cannot_hold(
    tenant: Tenant, sqs: Any, character: str
) -> None:
    """E2: refused, and nothing of them is in the queue."""
    url = _made(sqs)
    refused = tenant.refused(sqs.send_message, QueueUrl=url, MessageBody=character)
    assert refused.code == "InvalidMessageContents"
    assert "Messages" not in sqs.receive_message(QueueUrl=url)


def test_e2_dead_letters_in_a_circle(tenant: Tenant, sqs: Any) -> None:
    """E2: to itself is refused; two queues in a circle deliver, and end no loop."""
    one, two = _made(sqs, VisibilityTimeout="0"), _made(sqs, VisibilityTimeout="0")

    def redrive(source: str, target: str) -> dict[str, Any]:
        told = {"deadLetterTargetArn": _arn(sqs, target), "maxReceiveCount": 1}
        return {"QueueUrl": source, "Attributes": {"RedrivePolicy": json.dumps(told)}}

    refused = tenant.refused(sqs.set_queue_attributes, **redrive(one, one))
    assert refused.code == "InvalidParameterValue"
    sqs.set_queue_attributes(**redrive(one, two))
    sqs.set_queue_attributes(**redrive(two, one))
    sqs.send_message(QueueUrl=one, MessageBody="round")
    for here in (one, two, one, two):
        (message,) = sqs.receive_message(QueueUrl=here)["Messages"]
        assert message["Body"] == "round"
        assert "Messages" not in sqs.receive_message(QueueUrl=here)


def test_e2_dead_letters_of_another_account(
    tenant: Tenant, other: Tenant, sqs: Any
) -> None:
    """E2: no queue of another account takes dead letters, there or not."""
    theirs = _arn(other.client("sqs"), _made(other.client("sqs")))
    url = _made(sqs)
    told = []
    for arn in (theirs, f"{theirs}-nowhere"):
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
        refused = tenant.refused(
            sqs.set_queue_attributes,
            QueueUrl=url,
            Attributes={"RedrivePolicy": policy},
        )
        told.append(refused.message.replace("-nowhere", ""))
    assert told[0] == told[1]


def test_e2_a_purge_among_sends(tenant: Tenant, sqs: Any) -> None:
    """E2: what is sent after a purge is there; a second purge within a minute not."""
    url = _made(sqs)
    for _ in range(3):
        sqs.send_message(QueueUrl=url, MessageBody="before")
    sqs.purge_queue(QueueUrl=url)
    sqs.send_message(QueueUrl=url, MessageBody="after")
    refused = tenant.refused(sqs.purge_queue, QueueUrl=url)
    assert refused.code == "AWS.SimpleQueueService.PurgeQueueInProgress"
    (message,) = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    assert message["Body"] == "after"


@pytest.mark.parametrize(
    "given",
    [
        {"QueueName": "q.fifo"},
        {"QueueName": "q-fifo", "Attributes": {"FifoQueue": "true"}},
        {"QueueName": "q-kms", "Attributes": {"KmsMasterKeyId": "alias/aws/sqs"}},
        {"QueueName": "q-sse", "Attributes": {"SqsManagedSseEnabled": "false"}},
    ],
)
def test_what_is_not_enforced_is_refused_by_name(
    tenant: Tenant, sqs: Any, given: dict[str, Any]
) -> None:
    """Nothing is made, and the record says why."""
    refused = tenant.refused(sqs.create_queue, **given)
    name = next(iter(given.get("Attributes", {"QueueName": ""})))
    assert name in refused.message
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=given["QueueName"])


def test_what_a_message_says_is_not_in_the_record(tenant: Tenant, sqs: Any) -> None:
    """Nor is a receipt handle; the record says how long the message was."""
    url, canary = _made(sqs), f"canary-{secrets.token_hex(8)}"
    sent = sqs.send_message(
        QueueUrl=url,
        MessageBody=canary,
        MessageAttributes={"a": {"DataType": "String", "StringValue": canary}},
    )
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    handle = message["ReceiptHandle"]
    deleted = sqs.delete_message(QueueUrl=url, ReceiptHandle=handle)
    records = [
        json.dumps(tenant.record(answer["ResponseMetadata"]["RequestId"]))
        for answer in (sent, deleted)
    ]
    assert not any(word in record for word in (canary, handle) for record in records)
    assert f'{{"bytes": {len(canary)}}}' in records[0]


def test_a_poll_whose_client_has_left_takes_nothing(
    platform: Platform, sqs: Any
) -> None:
    """It ends at once; the next message is for those who still wait, uncounted."""
    url, watch = _made(sqs), Watch(platform)
    attacker, keys = Attacker(platform), Keys.of(platform.variables)
    asked = {"QueueUrl": url, "WaitTimeSeconds": 20}
    ask = json_call("sqs", "AmazonSQS.ReceiveMessage", asked)
    with attacker.line() as line:
        line.say(attacker.written(ask, keys))
        _until(watch, 1)
    _until(watch, 0)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    (message,) = sqs.receive_message(
        QueueUrl=url, MessageSystemAttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    assert message["Attributes"] == {"ApproximateReceiveCount": "1"}


def _until(watch: Watch, waiting: int) -> None:
    end = time.monotonic() + 15
    while watch.counted("casemate_calls_waiting") != waiting:
        assert time.monotonic() < end
