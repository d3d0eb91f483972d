"""SQS, as boto3 and the aws CLI know it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from contract.implemented import every_operation
from platform_harness import Platform, running

TEXT = {"DataType": "String", "StringValue": "é"}
DATA = {"DataType": "Binary.raw", "BinaryValue": b"\0\1"}


@pytest.fixture(name="sqs", scope="session")
def _sqs(platform: Platform) -> Any:
    return platform.client("sqs")


def _url(sqs: Any, name: str, **attributes: str) -> str:
    made = sqs.create_queue(QueueName=name, Attributes=attributes)
    return str(made["QueueUrl"])


def _arn(sqs: Any, url: str) -> str:
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return str(told["Attributes"]["QueueArn"])


def _refused(client: Any, call: str, **given: Any) -> tuple[str, str]:
    with pytest.raises(client.exceptions.ClientError) as refused:
        getattr(client, call)(**given)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_every_operation_answers(sqs: Any, account: str) -> None:
    """The life of a queue and its messages, through every operation."""
    with every_operation("sqs", sqs):
        dead = _url(sqs, "life-dead")
        made = sqs.create_queue(QueueName="life", tags={"team": "keep"})
        url = {"QueueUrl": made["QueueUrl"]}
        assert made["QueueUrl"].endswith(f"/{account}/life")
        assert url["QueueUrl"] == sqs.get_queue_url(QueueName="life")["QueueUrl"]
        listed = sqs.list_queues(QueueNamePrefix="life")["QueueUrls"]
        assert [url["QueueUrl"], dead] == listed
        sqs.tag_queue(**url, Tags={"more": "1"})
        sqs.untag_queue(**url, TagKeys=["team"])
        assert {"more": "1"} == sqs.list_queue_tags(**url)["Tags"]
        sqs.set_queue_attributes(
            **url,
            Attributes={
                "RedrivePolicy": json.dumps(
                    {"deadLetterTargetArn": _arn(sqs, dead), "maxReceiveCount": "5"}
                )
            },
        )
        sources = sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"]
        assert [url["QueueUrl"]] == sources
        sqs.add_permission(
            **url, Label="me", AWSAccountIds=[account], Actions=["SendMessage"]
        )
        sqs.remove_permission(**url, Label="me")
        sent = sqs.send_message(
            **url, MessageBody="one", MessageAttributes={"a": TEXT, "b": DATA}
        )
        batch = sqs.send_message_batch(
            **url, Entries=[{"Id": n, "MessageBody": n} for n in ("two", "three")]
        )
        assert ["two", "three"] == [one["Id"] for one in batch["Successful"]]
        told = sqs.get_queue_attributes(**url, AttributeNames=["All"])["Attributes"]
        assert "3" == told["ApproximateNumberOfMessages"]
        received = sqs.receive_message(
            **url,
            MaxNumberOfMessages=10,
            AttributeNames=["SentTimestamp"],
            MessageAttributeNames=["All"],
        )["Messages"]
        assert ["one", "two", "three"] == [m["Body"] for m in received]
        assert {"a": TEXT, "b": DATA} == received[0]["MessageAttributes"]
        assert sent["MessageId"] == received[0]["MessageId"]
        assert {"SentTimestamp"} == set(received[0]["Attributes"])
        handles = [{"ReceiptHandle": m["ReceiptHandle"]} for m in received]
        sqs.change_message_visibility(**url, **handles[0], VisibilityTimeout=60)
        sqs.change_message_visibility_batch(
            **url, Entries=[{"Id": "1", **handles[1], "VisibilityTimeout": 60}]
        )
        sqs.delete_message(**url, **handles[0])
        sqs.delete_message_batch(**url, Entries=[{"Id": "1", **handles[1]}])
        sqs.purge_queue(**url)
        assert "Messages" not in sqs.receive_message(**url)
        sqs.delete_queue(**url)

    assert "QueueDeletedRecently" in _refused(sqs, "create_queue", QueueName="life")[0]


def test_errors_have_the_codes_that_clients_of_sqs_know(sqs: Any) -> None:
    """Those of the query protocol in the message, those of the model as classes."""
    url = _url(sqs, "errors")
    with pytest.raises(sqs.exceptions.QueueDoesNotExist):
        sqs.get_queue_url(QueueName="nowhere")
    with pytest.raises(sqs.exceptions.ReceiptHandleIsInvalid):
        sqs.delete_message(QueueUrl=url, ReceiptHandle="x")
    with pytest.raises(sqs.exceptions.InvalidMessageContents):
        sqs.send_message(QueueUrl=url, MessageBody="\0")
    with pytest.raises(sqs.exceptions.QueueNameExists):
        _url(sqs, "errors", DelaySeconds="1")
    with pytest.raises(sqs.exceptions.EmptyBatchRequest):
        sqs.send_message_batch(QueueUrl=url, Entries=[])
    table: tuple[tuple[str, str, dict[str, Any]], ...] = (
        (
            "AWS.SimpleQueueService.NonExistentQueue",
            "receive_message",
            {"QueueUrl": f"{url}x"},
        ),
        (
            "AWS.SimpleQueueService.EmptyBatchRequest",
            "delete_message_batch",
            {"Entries": []},
        ),
        (
            "QueueAlreadyExists",
            "create_queue",
            {"QueueName": "errors", "Attributes": {"DelaySeconds": "1"}},
        ),
        (
            "InvalidAttributeName",
            "create_queue",
            {"QueueName": "e2", "Attributes": {"Colour": "1"}},
        ),
        (
            "InvalidAttributeName",
            "create_queue",
            {"QueueName": "e2", "Attributes": {"KmsMasterKeyId": "k"}},
        ),
        (
            "InvalidAttributeValue",
            "create_queue",
            {"QueueName": "e2", "Attributes": {"DelaySeconds": "901"}},
        ),
        (
            "InvalidParameterValue",
            "create_queue",
            {"QueueName": "e.fifo", "Attributes": {"FifoQueue": "true"}},
        ),
        (
            "InvalidParameterValue",
            "send_message",
            {"MessageBody": "x", "MessageGroupId": "g"},
        ),
        (
            "InvalidParameterValue",
            "send_message",
            {"MessageBody": "x", "MessageDeduplicationId": "g"},
        ),
        ("InvalidParameterValue", "receive_message", {"ReceiveRequestAttemptId": "g"}),
        ("InvalidParameterValue", "receive_message", {"MaxNumberOfMessages": 11}),
        ("InvalidAddress", "receive_message", {"QueueUrl": "x"}),
        ("NotImplemented", "list_message_move_tasks", {"SourceArn": "x"}),
    )
    for code, call, given in table:
        needs = call not in ("create_queue", "list_message_move_tasks")
        asked = {"QueueUrl": url, **given} if needs else given
        assert code == _refused(sqs, call, **asked)[0], asked


def test_a_member_that_is_not_enforced_is_named(sqs: Any) -> None:
    url = _url(sqs, "named")
    _, told = _refused(
        sqs, "send_message", QueueUrl=url, MessageBody="x", MessageGroupId="g"
    )
    assert "`MessageGroupId`" in told


def test_a_long_poll_is_answered_when_a_message_comes(sqs: Any) -> None:
    """Well before its end; and one that nobody feeds ends by itself, empty."""
    url = _url(sqs, "poll")
    with ThreadPoolExecutor(1) as threads:
        poll = threads.submit(
            sqs.receive_message, QueueUrl=url, WaitTimeSeconds=20, VisibilityTimeout=0
        )
        began = time.monotonic()
        sqs.send_message(QueueUrl=url, MessageBody="x")
        assert "x" == poll.result()["Messages"][0]["Body"]
        assert time.monotonic() - began < 5
    sqs.purge_queue(QueueUrl=url)
    began = time.monotonic()
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
    assert 0.9 < time.monotonic() - began < 5


def test_a_delayed_message_ends_a_poll_when_it_is_due(sqs: Any) -> None:
    """And so does one whose time in flight ends."""
    url = _url(sqs, "due")
    sqs.send_message(QueueUrl=url, MessageBody="x", DelaySeconds=1)
    for count in ("1", "2"):
        (message,) = sqs.receive_message(
            QueueUrl=url,
            WaitTimeSeconds=10,
            VisibilityTimeout=1,
            MessageSystemAttributeNames=["ApproximateReceiveCount"],
        )["Messages"]
        assert {"ApproximateReceiveCount": count} == message["Attributes"]


def test_pollers_take_no_place_from_calls_that_work(
    platform: Platform, sqs: Any
) -> None:
    """Many wait on an empty queue at once, and all are fed."""
    url = _url(sqs, "many", ReceiveMessageWaitTimeSeconds="20")
    count = 30
    seen: set[str] = set()
    lock = threading.Lock()

    def poll() -> None:
        client = platform.client("sqs")
        for message in client.receive_message(QueueUrl=url).get("Messages", ()):
            with lock:
                seen.add(message["Body"])

    with ThreadPoolExecutor(count) as threads:
        polls = [threads.submit(poll) for _ in range(count)]
        for n in range(count):
            sqs.send_message(QueueUrl=url, MessageBody=str(n))
        for one in polls:
            one.result()
    assert {str(n) for n in range(count)} == seen


def test_paginators_see_each_queue_once(sqs: Any) -> None:
    for n in range(5):
        _url(sqs, f"pages-{n}")
    pages = sqs.get_paginator("list_queues").paginate(
        QueueNamePrefix="pages-", PaginationConfig={"PageSize": 2}
    )
    urls = [url for page in pages for url in page["QueueUrls"]]
    assert [f"pages-{n}" for n in range(5)] == [u.rpartition("/")[2] for u in urls]


def test_the_aws_cli_sends_and_receives(platform: Platform) -> None:
    """With the words of its manual."""

    def aws(*words: str) -> Any:
        done = platform.casemate("aws", "sqs", *words)
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    url = aws("create-queue", "--queue-name", "cli")["QueueUrl"]
    address = ("--queue-url", url)
    attributes = json.dumps({"a": {"DataType": "String", "StringValue": "1"}})
    aws(
        *("send-message", *address, "--message-body", "hello"),
        *("--message-attributes", attributes, "--delay-seconds", "0"),
    )
    (message,) = aws(
        *("receive-message", *address, "--attribute-names", "All"),
        *("--message-attribute-names", "All", "--wait-time-seconds", "1"),
    )["Messages"]
    assert ("hello", {"a"}) == (message["Body"], set(message["MessageAttributes"]))
    handle = ("--receipt-handle", message["ReceiptHandle"])
    aws("change-message-visibility", *address, *handle, "--visibility-timeout", "9")
    aws("delete-message", *address, *handle)
    assert [url] == aws("list-queues", "--queue-name-prefix", "cli")["QueueUrls"]
    told = aws("get-queue-attributes", *address, "--attribute-names", "All")
    assert "0" == told["Attributes"]["ApproximateNumberOfMessages"]
    aws("purge-queue", *address)
    aws("delete-queue", *address)
    done = platform.casemate("aws", "sqs", "get-queue-url", "--queue-name", "cli")
    assert "AWS.SimpleQueueService.NonExistentQueue" in done.stderr


def test_a_queues_address_is_an_endpoint(platform: Platform, sqs: Any) -> None:
    """For clients that send to it; not for a request that names another queue."""
    url, other = _url(sqs, "endpoint"), _url(sqs, "endpoint-2")

    def send(to: str, named: str) -> tuple[int, bytes]:
        variables = platform.variables
        request = AWSRequest(
            method="POST",
            url=to,
            data=json.dumps({"QueueUrl": named, "MessageBody": "x"}),
            headers={
                "Content-Type": "application/x-amz-json-1.0",
                "X-Amz-Target": "AmazonSQS.SendMessage",
            },
        )
        credentials = Credentials(
            variables["AWS_ACCESS_KEY_ID"],
            variables["AWS_SECRET_ACCESS_KEY"],
            variables["AWS_SESSION_TOKEN"],
        )
        SigV4Auth(credentials, "sqs", "us-east-1").add_auth(request)
        prepared, parts = request.prepare(), urlsplit(to)
        context = ssl.create_default_context(cafile=variables["AWS_CA_BUNDLE"])
        line = http.client.HTTPSConnection(parts.netloc, context=context)
        try:
            line.request("POST", parts.path, prepared.body, dict(prepared.headers))
            answer = line.getresponse()
            return answer.status, answer.read()
        finally:
            line.close()

    status, body = send(url, url)
    assert (200, True) == (status, b"MessageId" in body)
    status, body = send(url, other)
    assert (400, True) == (status, b"SerializationException" in body)


def test_another_account_needs_both_policies(
    platform: Platform, sqs: Any, account: str, other: str
) -> None:
    """The queue's policy, and its own; and what exists is not told apart."""
    url = _url(sqs, "shared")
    theirs = platform.client("sqs", other)
    absent = f"{url}-nowhere"
    asked: tuple[tuple[str, dict[str, Any]], ...] = (
        ("send_message", {"MessageBody": "x"}),
        ("receive_message", {}),
        ("get_queue_attributes", {"AttributeNames": ["All"]}),
        ("purge_queue", {}),
        ("delete_queue", {}),
    )
    for call, given in asked:
        code, told = _refused(theirs, call, QueueUrl=url, **given)
        assert "AccessDenied" == code
        assert told == _refused(theirs, call, QueueUrl=absent, **given)[1].replace(
            "-nowhere", ""
        )
    assert "QueueUrls" not in theirs.list_queues()

    sqs.add_permission(
        QueueUrl=url, Label="them", AWSAccountIds=[other], Actions=["SendMessage"]
    )
    theirs.send_message(QueueUrl=url, MessageBody="from them")
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    assert "from them" == message["Body"]
    assert "AccessDenied" == _refused(theirs, "receive_message", QueueUrl=url)[0]
    nobody = _person(platform, other, "sqs-nobody")
    code, _ = _refused(nobody, "send_message", QueueUrl=url, MessageBody="x")
    assert "AccessDenied" == code
    sqs.remove_permission(QueueUrl=url, Label="them")
    code, _ = _refused(theirs, "send_message", QueueUrl=url, MessageBody="x")
    assert "AccessDenied" == code

    everything = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Principal": {"AWS": other},
            "Action": "sqs:*",
            "Resource": _arn(sqs, url),
        },
    }
    policy = {"Policy": json.dumps(everything)}
    sqs.set_queue_attributes(QueueUrl=url, Attributes=policy)
    theirs.receive_message(QueueUrl=url)
    owners: tuple[tuple[str, dict[str, Any]], ...] = (
        ("delete_queue", {}),
        ("set_queue_attributes", {"Attributes": {"DelaySeconds": "1"}}),
        ("add_permission", {"Label": "a", "AWSAccountIds": [other], "Actions": ["*"]}),
        ("tag_queue", {"Tags": {"a": "b"}}),
        ("list_queue_tags", {}),
    )
    for call, given in owners:
        assert "AccessDenied" == _refused(theirs, call, QueueUrl=url, **given)[0]
    assert account in url


def _person(platform: Platform, account: str, name: str) -> Any:
    """A user of an account without any right."""
    iam = platform.client("iam", account)
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return platform.client(
        "sqs",
        credentials={
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        },
    )


IN_A_CELL = """
import boto3, os

def handler(event, context):
    sqs = boto3.client("sqs")
    here = sqs.get_queue_url(QueueName=event["name"])["QueueUrl"]
    assert here.startswith(os.environ["AWS_ENDPOINT_URL"]), here
    sqs.send_message(QueueUrl=here, MessageBody="from inside")
    messages = sqs.receive_message(
        QueueUrl=event["url"], MaxNumberOfMessages=10, WaitTimeSeconds=5,
        MessageSystemAttributeNames=["All"])["Messages"]
    for message in messages:
        sqs.delete_message(QueueUrl=here, ReceiptHandle=message["ReceiptHandle"])
    try:
        sqs.delete_queue(QueueUrl=here)
    except sqs.exceptions.ClientError as error:
        return [m["Body"] for m in messages], error.response["Error"]["Code"]
"""


def test_a_function_uses_a_queue_from_its_cell(platform: Platform, sqs: Any) -> None:
    """By its name, and by the address that was made outside; within its role."""
    url = _url(sqs, "cell")
    role = platform.role("sqs-in-a-cell")
    document = {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": [
                "sqs:GetQueueUrl",
                "sqs:SendMessage",
                "sqs:ReceiveMessage",
                "sqs:DeleteMessage",
            ],
            "Resource": _arn(sqs, url),
        },
    }
    platform.client("iam").put_role_policy(
        RoleName="sqs-in-a-cell",
        PolicyName="queue",
        PolicyDocument=json.dumps(document),
    )
    platform.function("queuer", IN_A_CELL, role=role, Timeout=30)
    told, _ = platform.invoke("queuer", {"name": "cell", "url": url})
    assert [["from inside"], "AccessDenied"] == told
    assert "Messages" not in sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)


def test_a_message_that_was_acknowledged_survives_a_kill() -> None:
    """Killed while messages are sent: none is lost, none that was deleted is back."""
    with running() as platform:
        client = platform.client("sqs")
        url = client.create_queue(QueueName="q")["QueueUrl"]
        name = urlsplit(url).path
        told = Told()
        for _ in range(3):
            stop = threading.Event()
            senders = [
                threading.Thread(target=_send, args=(platform, name, told, stop))
                for _ in range(4)
            ]
            for one in senders:
                one.start()
            floor = len(told.sent) + 40
            while len(told.sent) < floor:
                time.sleep(0.01)
            assert platform.process is not None
            os.kill(platform.process.pid, signal.SIGKILL)
            platform.process.wait(10)
            stop.set()
            for one in senders:
                one.join()
            platform.lines.clear()
            platform.start()
        client = platform.client("sqs")
        address = platform.variables["AWS_ENDPOINT_URL"] + name
        client.set_queue_attributes(
            QueueUrl=address, Attributes={"VisibilityTimeout": "600"}
        )
        left: set[str] = set()
        while found := client.receive_message(
            QueueUrl=address, MaxNumberOfMessages=10, WaitTimeSeconds=2
        ).get("Messages"):
            left |= {message["Body"] for message in found}
        # One whose deletion was on its way at a kill may be there or not.
        assert told.sent - told.deleting <= left
        assert not left & told.deleted
        assert len(told.deleting - told.deleted) <= 12
        assert len(told.sent) > 100


@dataclass(slots=True)
class Told:
    """Bodies of messages: acknowledged, about to be deleted, deleted."""

    sent: set[str] = field(default_factory=set)
    deleting: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)


def _send(platform: Platform, name: str, told: Told, stop: threading.Event) -> None:
    """Send, receive and delete until the platform is gone."""
    client = platform.client("sqs")
    url = platform.variables["AWS_ENDPOINT_URL"] + name
    mine = f"{time.monotonic_ns()}-{threading.get_ident()}"
    number = 0
    while not stop.is_set():
        number += 1
        body = f"{mine}-{number}"
        try:
            client.send_message(QueueUrl=url, MessageBody=body)
            told.sent.add(body)
            if number % 3:
                continue
            found = client.receive_message(QueueUrl=url, VisibilityTimeout=1)
            for message in found.get("Messages", ()):
                told.deleting.add(message["Body"])
                client.delete_message(
                    QueueUrl=url, ReceiptHandle=message["ReceiptHandle"]
                )
                told.deleted.add(message["Body"])
        except Exception:  # noqa: BLE001 — the platform was killed
            return
