"""
Platform idempotency on a running platform, as boto3 and the aws CLI use it.

Effects are messages that the function sends: what is in the queue happened.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from platform_harness import Platform, running

SOURCE = """
import boto3, time

sqs = boto3.client("sqs")
URL = sqs.get_queue_url(QueueName="effects")["QueueUrl"]
FAILED = set()

def handler(event, context):
    sqs.send_message(QueueUrl=URL, MessageBody=event["id"])
    time.sleep(event.get("seconds", 0))
    if event.get("fail") and event["id"] not in FAILED:
        FAILED.add(event["id"])
        raise ValueError("asked to")
    if event.get("exit"):
        raise SystemExit(1)
    return {"by": context.aws_request_id, "pad": "x" * event.get("size", 0)}
"""
PATIENCE = 15.0
LEASE = 3 + 30 + 5
"""Seconds: the function's timeout, the time to start, the margin."""


class Effects:
    """Counts what the function did, by key."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.seen: Counter[str] = Counter()

    def read(self, wait: int = 0) -> Counter[str]:
        """Take the messages that are there; wait for the first."""
        sqs = self.platform.client("sqs")
        url = sqs.get_queue_url(QueueName="effects")["QueueUrl"]
        given = {"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": wait}
        while found := sqs.receive_message(**given).get("Messages"):
            for one in found:
                self.seen[one["Body"]] += 1
                receipt = {"ReceiptHandle": one["ReceiptHandle"]}
                sqs.delete_message(QueueUrl=url, **receipt)
            given["WaitTimeSeconds"] = 0
        return self.seen


def _made(platform: Platform, name: str, **settings: Any) -> str:
    """Make the queue and a function that may send to it."""
    url = platform.client("sqs").create_queue(QueueName="effects")["QueueUrl"]
    queue = f"arn:aws:sqs:us-east-1:{url.split('/')[-2]}:effects"
    role = platform.role(
        f"{name}-sends",
        {
            "Effect": "Allow",
            "Action": ["sqs:SendMessage", "sqs:GetQueueUrl"],
            "Resource": queue,
        },
    )
    made = platform.function(name, SOURCE, role=role, **settings)
    return str(made["FunctionArn"])


@pytest.fixture(name="arn", scope="module")
def _arn(platform: Platform, own: Any) -> str:
    arn = _made(platform, "once", Timeout=20)
    own.put_idempotency_policy(FunctionName=arn, KeyExpression="id")
    return arn


@pytest.fixture(name="effects", scope="module")
def _effects(platform: Platform, arn: str) -> Effects:
    assert arn
    return Effects(platform)


@pytest.fixture(name="threads", scope="module")
def _threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def _call(client: Any, name: str, event: object, **more: Any) -> tuple[Any, Any]:
    """Invoke; give the answer, and the header that marks an earlier one's."""
    payload = json.dumps(event).encode()
    answer = client.invoke(FunctionName=name, Payload=payload, **more)
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    told = json.loads(answer["Payload"].read())
    return told, headers.get("x-casemate-idempotency")


def _refused(client: Any, event: object, name: str = "once") -> dict[str, Any]:
    with pytest.raises(ClientError) as refused:
        client.invoke(FunctionName=name, Payload=json.dumps(event).encode())
    response: dict[str, Any] = refused.value.response
    return response


def _record(own: Any, request: str) -> dict[str, Any]:
    told = own.explain_request(RequestId=request)["Record"]
    record: dict[str, Any] = json.loads(told)
    return record


def test_the_second_call_gets_the_first_answer(
    lambda_: Any, own: Any, arn: str, effects: Effects
) -> None:
    """One effect; the header and the record say whose answer it is."""
    event = {"id": "second"}
    first, mark = _call(lambda_, "once", event)
    assert mark is None
    again = lambda_.invoke(FunctionName=arn, Payload=b'{"id" : "second"}')
    meta = again["ResponseMetadata"]
    assert first == json.loads(again["Payload"].read())
    assert "stored" == meta["HTTPHeaders"]["x-casemate-idempotency"]
    assert "$LATEST" == again["ExecutedVersion"]
    notes = _record(own, meta["RequestId"])["additionalEventData"]["notes"]
    assert {"idempotency": "stored", "idempotencyOf": first["by"]} == notes
    assert 1 == effects.read()["second"]


def test_duplicates_at_once_have_one_effect(
    platform: Platform, effects: Effects, threads: ThreadPoolExecutor
) -> None:
    """Eight callers, one run, one answer; all but one are marked."""
    client, event = platform.client("lambda"), {"id": "at once", "seconds": 1}
    calls = [threads.submit(_call, client, "once", event) for _ in range(8)]
    told = [call.result() for call in calls]
    assert 1 == len({answer["by"] for answer, _ in told})
    assert Counter({"stored": 7, None: 1}) == Counter(mark for _, mark in told)
    assert 1 == effects.read()["at once"]


def test_events_for_later_have_the_same_keys(
    lambda_: Any, arn: str, effects: Effects
) -> None:
    """Sent twice and called twice: whoever is first, one effect."""
    event = {"id": "later", "seconds": 0.2}
    payload = json.dumps(event).encode()
    for _ in range(2):
        sent = lambda_.invoke(FunctionName=arn, InvocationType="Event", Payload=payload)
        assert 202 == sent["StatusCode"]
    end = time.monotonic() + PATIENCE
    while not effects.read(wait=1)["later"]:
        assert time.monotonic() < end
    told, mark = _call(lambda_, "once", event)
    assert mark == "stored"
    assert (told, "stored") == _call(lambda_, "once", event)
    assert 1 == effects.read()["later"]


def test_another_event_under_a_key_is_refused_and_recorded(
    lambda_: Any, own: Any, effects: Effects
) -> None:
    """400 and a code of its own, and nothing runs (R16)."""
    _call(lambda_, "once", {"id": "same", "amount": 1})
    told = _refused(lambda_, {"id": "same", "amount": 2})
    meta = told["ResponseMetadata"]
    assert "IdempotencyValidationException" == told["Error"]["Code"]
    assert 400 == meta["HTTPStatusCode"]
    record = _record(own, meta["RequestId"])
    assert "IdempotencyValidationException" == record["errorCode"]
    assert 1 == effects.read()["same"]


def test_an_event_without_a_key_is_refused_and_recorded(
    lambda_: Any, own: Any, arn: str
) -> None:
    """It says what is missing."""
    assert arn
    told = _refused(lambda_, {"other": 1})
    assert "IdempotencyKeyException" == told["Error"]["Code"]
    assert "`id`" in told["Error"]["Message"]
    record = _record(own, told["ResponseMetadata"]["RequestId"])
    assert "IdempotencyKeyException" == record["errorCode"]


def test_errors_and_ended_processes_are_not_stored(
    lambda_: Any, effects: Effects
) -> None:
    """An exception, and an exit: the next call runs again."""
    event = {"id": "failing", "fail": True}
    told, mark = _call(lambda_, "once", event)
    assert ("ValueError", None) == (told["errorType"], mark)
    told, mark = _call(lambda_, "once", event)
    assert mark is None
    assert (told, "stored") == _call(lambda_, "once", event)
    assert 2 == effects.read()["failing"]
    for _ in range(2):
        told, mark = _call(lambda_, "once", {"id": "exits", "exit": True})
        assert "errorType" in told
        assert mark is None
    assert 2 == effects.read()["exits"]


def test_a_large_answer_is_given_once_and_its_key_is_spent(
    lambda_: Any, own: Any, effects: Effects
) -> None:
    """Later calls are told so by name, on record; nothing runs again."""
    event = {"id": "large", "size": 300_000}
    told, _ = _call(lambda_, "once", event)
    assert 300_000 == len(told["pad"])
    refused = _refused(lambda_, event)
    assert "IdempotencyResponseException" == refused["Error"]["Code"]
    assert told["by"] in refused["Error"]["Message"]
    record = _record(own, refused["ResponseMetadata"]["RequestId"])
    assert "IdempotencyResponseException" == record["errorCode"]
    assert 1 == effects.read()["large"]


def test_tags_of_existing_tools_are_a_policy_that_expires(
    platform: Platform, lambda_: Any, own: Any, effects: Effects
) -> None:
    """By the aws CLI; after its second, the next call runs."""
    arn = _made(platform, "by-tag")
    tags = {"casemate:idempotency-key": "id", "casemate:idempotency-expires": "1"}
    words = ("lambda", "tag-resource", "--resource", arn, "--tags", json.dumps(tags))
    done = platform.aws(*words)
    assert 0 == done.returncode, done.stderr
    assert "Tags" == own.get_idempotency_policy(FunctionName="by-tag")["Source"]
    bad = {"casemate:idempotency-key": "a..b"}
    with pytest.raises(ClientError, match="idempotency-key") as refused:
        lambda_.tag_resource(Resource=arn, Tags=bad)
    meta = refused.value.response["ResponseMetadata"]
    record = _record(own, meta["RequestId"])
    assert "InvalidParameterValueException" == record["errorCode"]
    event = {"id": "short"}
    first, _ = _call(lambda_, "by-tag", event)
    end, told, marks = time.monotonic() + PATIENCE, first, set()
    while told == first:
        assert time.monotonic() < end
        told, mark = _call(lambda_, "by-tag", event)
        marks.add(mark)
    assert {"stored", None} == marks
    assert 2 == effects.read()["short"]


def test_a_stored_answer_is_given_where_nothing_may_run(
    lambda_: Any, arn: str, effects: Effects
) -> None:
    """A function whose concurrency is 0 answers what it has answered."""
    event = {"id": "reserved"}
    first, _ = _call(lambda_, "once", event)
    lambda_.put_function_concurrency(FunctionName=arn, ReservedConcurrentExecutions=0)
    try:
        assert (first, "stored") == _call(lambda_, "once", event)
        told = _refused(lambda_, {"id": "reserved", "other": 1})
        assert "TooManyRequestsException" == told["Error"]["Code"]
    finally:
        lambda_.delete_function_concurrency(FunctionName=arn)
    assert 1 == effects.read()["reserved"]


def test_a_second_account_gets_nothing_of_the_first(
    platform: Platform, lambda_: Any, arn: str, other: str, effects: Effects
) -> None:
    """It may call the function: its keys are its own; it sees no policy (R16)."""
    lambda_.add_permission(
        FunctionName=arn,
        StatementId="them",
        Action="lambda:InvokeFunction",
        Principal=other,
    )
    theirs, event = platform.client("lambda", other), {"id": "of two"}
    mine, _ = _call(lambda_, arn, event)
    told, mark = _call(theirs, arn, event)
    assert mark is None
    assert told != mine
    assert (told, "stored") == _call(theirs, arn, event)
    assert (mine, "stored") == _call(lambda_, arn, event)
    _, mark = _call(theirs, arn, {"id": "of two", "probe": 1} | {"id": "of three"})
    assert mark is None
    assert 2 == effects.read()["of two"]
    outsider = platform.client("casemate", other)
    for call in (
        outsider.get_idempotency_policy,
        outsider.delete_idempotency_policy,
        lambda **n: outsider.put_idempotency_policy(KeyExpression="id", **n),
    ):
        with pytest.raises(outsider.exceptions.AccessDeniedException):
            call(FunctionName=arn)


def test_only_who_may_sets_a_policy(
    platform: Platform, iam: Any, own: Any, arn: str
) -> None:
    """Each operation is a right of its own, on the function's ARN; on record."""
    iam.create_user(UserName="once-reader")
    statement = {
        "Effect": "Allow",
        "Action": "casemate:GetIdempotencyPolicy",
        "Resource": arn,
    }
    document = {"Version": "2012-10-17", "Statement": statement}
    iam.put_user_policy(
        UserName="once-reader", PolicyName="read", PolicyDocument=json.dumps(document)
    )
    key = iam.create_access_key(UserName="once-reader")["AccessKey"]
    reader = platform.client(
        "casemate",
        credentials={
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        },
    )
    assert "id" == reader.get_idempotency_policy(FunctionName=arn)["KeyExpression"]
    with pytest.raises(reader.exceptions.AccessDeniedException) as refused:
        reader.delete_idempotency_policy(FunctionName=arn)
    meta = refused.value.response["ResponseMetadata"]
    assert "AccessDenied" in _record(own, meta["RequestId"])["errorCode"]
    assert own.get_idempotency_policy(FunctionName=arn)


def _killed_in_the_middle(platform: Platform, effects: Effects, event: object) -> None:
    """Kill the platform once a call has had its effect and not its end."""

    def call() -> None:
        with suppress(BotoCoreError, ClientError):
            _call(platform.client("lambda"), "killed", event)

    caller = threading.Thread(target=call)
    caller.start()
    before = effects.read().total()
    assert before + 1 == effects.read(wait=15).total()
    assert platform.process is not None
    os.kill(platform.process.pid, signal.SIGKILL)
    platform.process.wait(10)
    caller.join()
    platform.lines.clear()
    platform.start()


def _patiently(client: Any, event: object) -> tuple[Any, Any]:
    """Call until there is an answer, as a client that retries does."""
    end = time.monotonic() + 2 * LEASE
    while time.monotonic() < end:
        try:
            return _call(client, "killed", event)
        except ClientError as refused:
            code = refused.response["Error"]["Code"]
        assert "IdempotencyInProgressException" == code
    raise AssertionError("the lease does not end")


def test_a_kill_loses_no_answer_and_runs_nothing_within_the_lease() -> None:
    """What was answered stays answered; what was in between waits for its lease."""
    with running() as platform:
        _made(platform, "killed", Timeout=3)
        own = platform.client("casemate")
        own.put_idempotency_policy(FunctionName="killed", KeyExpression="id")
        effects, done = Effects(platform), {"id": "done"}
        answered, _ = _call(platform.client("lambda"), "killed", done)
        assert 1 == effects.read()["done"]
        began = time.monotonic()
        between = {"id": "between", "seconds": 2.5}
        _killed_in_the_middle(platform, effects, between)

        client = platform.client("lambda")
        assert (answered, "stored") == _call(client, "killed", done)
        assert Counter(done=1, between=1) == effects.read()
        ran, mark = _patiently(client, between)
        assert mark is None
        assert time.monotonic() - began >= LEASE
        assert (ran, "stored") == _call(client, "killed", between)
        assert Counter(done=1, between=2) == effects.read()
