"""Asynchronous invocation as boto3 and the command line know it, with real queues."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from platform_harness import Platform, running

SOURCE = """
def handler(event, context):
    print("ran", event["n"], context.aws_request_id)
    if event.get("fail"):
        raise ValueError(event["fail"])
    return {"got": event["n"]}
"""
PATIENCE = 60.0
SEND = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "*"}
INVOKE = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}
TAKEN = "arn:aws:lambda:us-east-1:{account}:function:{name}"


@pytest.fixture(name="sqs", scope="module")
def _sqs(platform: Platform) -> Any:
    return platform.client("sqs")


@pytest.fixture(name="giver", scope="module")
def _giver(platform: Platform) -> str:
    """A role that may deliver."""
    return platform.role("giver", SEND, INVOKE)


@pytest.fixture(name="queue", scope="module")
def _queue(sqs: Any) -> tuple[str, str]:
    """A queue's URL and ARN."""
    return _made(sqs, "events")


def _made(sqs: Any, name: str) -> tuple[str, str]:
    url = str(sqs.create_queue(QueueName=name)["QueueUrl"])
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return url, str(told["Attributes"]["QueueArn"])


def _send(lambda_: Any, name: str, event: object) -> str:
    """Send an event; give its request id."""
    answer = lambda_.invoke(
        FunctionName=name, InvocationType="Event", Payload=json.dumps(event).encode()
    )
    assert (answer["StatusCode"], answer["Payload"].read()) == (202, b"")
    return str(answer["ResponseMetadata"]["RequestId"])


def _received(sqs: Any, url: str) -> dict[str, Any]:
    """Wait for one message, and take it out."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        found = sqs.receive_message(
            QueueUrl=url, WaitTimeSeconds=10, MessageAttributeNames=["All"]
        )
        for message in found.get("Messages", ()):
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            taken: dict[str, Any] = message
            return taken
    raise AssertionError("no message came")


def _until(seen: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := seen()):
        assert time.monotonic() < end
    return found


def _quarantined(own: Any, name: str) -> Callable[[], list[dict[str, Any]]]:
    return lambda: list(own.list_quarantine(FunctionName=name)["Events"])


def test_an_event_runs_later_under_its_own_request_id(
    platform: Platform, lambda_: Any, role: str
) -> None:
    """202 with no body; the function sees the id that the caller got."""
    platform.function("later", SOURCE, role=role)
    request = _send(lambda_, "later", {"n": 1})

    _until(lambda: f"ran 1 {request}" in platform.casemate("logs", "later").stdout)


def test_success_is_told_to_a_queue(
    platform: Platform,
    lambda_: Any,
    sqs: Any,
    account: str,
    giver: str,
    queue: tuple[str, str],
) -> None:
    """AWS's invocation record, delivered under the function's role."""
    url, arn = queue
    platform.function("glad", SOURCE, role=giver)
    lambda_.put_function_event_invoke_config(
        FunctionName="glad", DestinationConfig={"OnSuccess": {"Destination": arn}}
    )
    request = _send(lambda_, "glad", {"n": 2})
    record = json.loads(_received(sqs, url)["Body"])

    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "version": "1.0",
        "requestContext": {
            "requestId": request,
            "functionArn": f"{TAKEN.format(account=account, name='glad')}:$LATEST",
            "condition": "Success",
            "approximateInvokeCount": 1,
        },
        "requestPayload": {"n": 2},
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST"},
        "responsePayload": {"got": 2},
    }


def test_failure_is_told_to_a_queue_and_to_the_dead_letters(
    platform: Platform, lambda_: Any, sqs: Any, giver: str, queue: tuple[str, str]
) -> None:
    """The record to one, the raw event with three attributes to the other."""
    url, arn = queue
    dead_url, dead_arn = _made(sqs, "dead")
    platform.function(
        "sad", SOURCE, role=giver, DeadLetterConfig={"TargetArn": dead_arn}
    )
    lambda_.put_function_event_invoke_config(
        FunctionName="sad",
        MaximumRetryAttempts=0,
        DestinationConfig={"OnFailure": {"Destination": arn}},
    )
    request = _send(lambda_, "sad", {"n": 3, "fail": "no"})
    record = json.loads(_received(sqs, url)["Body"])
    dead = _received(sqs, dead_url)

    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["responseContext"]["functionError"] == "Unhandled"
    assert record["responsePayload"]["errorMessage"] == "no"
    assert json.loads(dead["Body"]) == {"n": 3, "fail": "no"}
    told = {n: a["StringValue"] for n, a in dead["MessageAttributes"].items()}
    assert told.keys() == {"RequestID", "ErrorCode", "ErrorMessage"}
    assert (told["RequestID"], told["ErrorCode"]) == (request, "200")
    assert "no" == told["ErrorMessage"]


def test_a_share_of_nothing_sends_events_to_the_dead_letters(
    platform: Platform, lambda_: Any, sqs: Any, giver: str
) -> None:
    """At once and without a retry, as on AWS; the function never ran."""
    dead_url, dead_arn = _made(sqs, "stopped-dead")
    platform.function(
        "stopped", SOURCE, role=giver, DeadLetterConfig={"TargetArn": dead_arn}
    )
    lambda_.put_function_concurrency(
        FunctionName="stopped", ReservedConcurrentExecutions=0
    )
    request = _send(lambda_, "stopped", {"n": 1})
    dead = _received(sqs, dead_url)
    assert json.loads(dead["Body"]) == {"n": 1}
    told = {n: a["StringValue"] for n, a in dead["MessageAttributes"].items()}
    assert (told["RequestID"], told["ErrorCode"]) == (request, "429")
    assert "reserved" in told["ErrorMessage"]


def test_success_is_told_to_a_function(
    platform: Platform, lambda_: Any, account: str, giver: str
) -> None:
    """The record is the next function's event."""
    platform.function("first", SOURCE, role=giver)
    platform.function(
        "second",
        "def handler(event, context):\n    print(event['requestPayload'], 'came')\n",
        role=giver,
    )
    lambda_.put_function_event_invoke_config(
        FunctionName="first",
        DestinationConfig={
            "OnSuccess": {"Destination": TAKEN.format(account=account, name="second")}
        },
    )
    _send(lambda_, "first", {"n": 4})

    _until(lambda: "{'n': 4} came" in platform.casemate("logs", "second").stdout)


def test_a_circle_of_functions_is_stopped(
    platform: Platform, lambda_: Any, own: Any, account: str, giver: str
) -> None:
    """After sixteen hops the event is set aside, and says why."""
    platform.function("circle", CIRCLE, role=giver)
    lambda_.put_function_event_invoke_config(
        FunctionName="circle",
        DestinationConfig={
            "OnSuccess": {"Destination": TAKEN.format(account=account, name="circle")}
        },
    )
    _send(lambda_, "circle", {})
    (stopped,) = _until(_quarantined(own, "circle"))

    assert (stopped["Condition"], stopped["Invocations"]) == ("RecursionStopped", 0)
    logs = platform.casemate("logs", "circle").stdout
    assert 17 == logs.count("round")


CIRCLE = "def handler(event, context):\n    print('round')\n"


def test_a_destination_that_the_role_may_not_use_is_refused(
    platform: Platform, lambda_: Any, own: Any, role: str, queue: tuple[str, str]
) -> None:
    """When it is configured, in AWS's words, and nothing is written."""
    platform.function("bare", SOURCE, role=role)
    with pytest.raises(lambda_.exceptions.InvalidParameterValueException) as refused:
        lambda_.put_function_event_invoke_config(
            FunctionName="bare",
            DestinationConfig={"OnFailure": {"Destination": queue[1]}},
        )
    assert "does not have permissions to call SendMessage" in str(refused.value)
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_function_event_invoke_config(FunctionName="bare")
    asked = refused.value.response["ResponseMetadata"]["RequestId"]
    record = json.loads(own.explain_request(RequestId=asked)["Record"])
    assert record["errorCode"] == "InvalidParameterValueException"


def test_a_right_that_was_taken_away_stops_the_delivery(
    platform: Platform, lambda_: Any, iam: Any, own: Any, sqs: Any
) -> None:
    """The right is asked at each delivery; what is not delivered is not lost."""
    url, arn = _made(sqs, "taken")
    role = platform.role("loser", SEND)
    platform.function("loser", SOURCE, role=role)
    lambda_.put_function_event_invoke_config(
        FunctionName="loser", DestinationConfig={"OnSuccess": {"Destination": arn}}
    )
    iam.delete_role_policy(RoleName="loser", PolicyName="inline")
    sqs.purge_queue(QueueUrl=url)
    request = _send(lambda_, "loser", {"n": 5})
    _until(lambda: f"ran 5 {request}" in platform.casemate("logs", "loser").stdout)
    assert "Messages" not in sqs.receive_message(QueueUrl=url, WaitTimeSeconds=1)
    iam.put_role_policy(
        RoleName="loser",
        PolicyName="inline",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [SEND]}),
    )
    record = json.loads(_received(sqs, url)["Body"])
    assert (record["requestContext"]["requestId"], record["requestPayload"]) == (
        request,
        {"n": 5},
    )
    assert [] == _quarantined(own, "loser")()


def test_what_has_nowhere_to_go_is_decided_on_by_hand(
    platform: Platform, lambda_: Any, own: Any, role: str
) -> None:
    """Listed, shown, redriven under its own id, disposed of; each on record."""
    platform.function("lost", SOURCE, role=role)
    lambda_.put_function_event_invoke_config(
        FunctionName="lost", MaximumRetryAttempts=0
    )
    request = _send(lambda_, "lost", {"n": 6, "fail": "no"})
    _until(_quarantined(own, "lost"))
    word = platform.casemate

    assert request in word("quarantine", "list", "--function", "lost").stdout
    assert "in quarantine: RetriesExhausted" in word("why", request).stdout
    shown = word("quarantine", "show", request).stdout
    assert '{"n": 6, "fail": "no"}' in shown
    assert "RetriesExhausted" in shown
    dry = word("quarantine", "redrive", request, "--reason", "x", "--dry-run")
    assert (dry.returncode, dry.stdout.split()[:2]) == (0, ["would", "redrive"])
    assert 1 == word("logs", "lost").stdout.count("ran 6")

    done = word("quarantine", "redrive", "--function", "lost", "--reason", "fixed")
    assert done.stdout.startswith(f"redriven  {request}")
    _until(lambda: word("logs", "lost").stdout.count(f"ran 6 {request}") == 2)
    _until(_quarantined(own, "lost"))
    done = word("quarantine", "dispose", request, "--reason", "of no use")
    assert (done.returncode, _quarantined(own, "lost")()) == (0, [])
    again = word("quarantine", "dispose", request, "--reason", "of no use")
    assert (again.returncode, "ResourceNotFound" in again.stderr) == (1, True)
    vague = word("quarantine", "dispose", "--reason", "x")
    assert vague.returncode != 0


def test_a_decision_is_on_record_with_its_reason(own: Any, sts: Any) -> None:
    """Also one on an event that is not there."""
    with pytest.raises(own.exceptions.ResourceNotFoundException) as refused:
        own.dispose(RequestId="none", Reason="because of me")
    asked = refused.value.response["ResponseMetadata"]["RequestId"]
    record = json.loads(own.explain_request(RequestId=asked)["Record"])

    assert record["requestParameters"]["Reason"] == "because of me"
    me = sts.get_caller_identity()["Arn"]
    assert record["userIdentity"]["arn"] == me


def test_who_may_not_invoke_may_not_send_events(
    platform: Platform, other: str, role: str, account: str
) -> None:
    """Refused when it is sent, and on record; nothing is taken."""
    platform.function("closed", SOURCE, role=role)
    theirs = platform.client("lambda", other)
    with pytest.raises(theirs.exceptions.ClientError) as refused:
        theirs.invoke(
            FunctionName=TAKEN.format(account=account, name="closed"),
            InvocationType="Event",
            Payload=b'{"n": 7}',
        )
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    asked = refused.value.response["ResponseMetadata"]["RequestId"]
    told = platform.client("casemate", other).explain_request(RequestId=asked)
    assert json.loads(told["Record"])["errorCode"] == "AccessDeniedException"
    assert "ran" not in platform.casemate("logs", "closed").stdout


def test_z18_a_right_taken_away_holds_for_events_that_wait(
    platform: Platform, lambda_: Any, iam: Any, role: str
) -> None:
    """Who may not any more has no event run; once they may again, it does run."""
    platform.function("slow", SLOW, role=role)
    iam.create_user(UserName="sender")
    grant = {
        "UserName": "sender",
        "PolicyName": "p",
        "PolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": [INVOKE]}),
    }
    iam.put_user_policy(**grant)
    key = iam.create_access_key(UserName="sender")["AccessKey"]
    theirs = platform.client(
        "lambda",
        credentials={
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        },
    )
    for _ in range(16):  # as many as are worked on at once
        _send(lambda_, "slow", {"n": 0, "seconds": 5})
    _send(theirs, "slow", {"n": 1, "seconds": 0})
    iam.delete_user_policy(UserName="sender", PolicyName="p")
    logs = platform.casemate
    _until(lambda: logs("logs", "slow").stdout.count("ran 0") == 16)
    request = _send(lambda_, "slow", {"n": 2, "seconds": 0})
    _until(lambda: f"ran 2 {request}" in logs("logs", "slow").stdout)

    assert "ran 1" not in logs("logs", "slow").stdout
    iam.put_user_policy(**grant)
    _until(lambda: "ran 1" in logs("logs", "slow").stdout)


SLOW = """
import time

def handler(event, context):
    time.sleep(event["seconds"])
    print("ran", event["n"], context.aws_request_id)
"""


def test_what_is_too_large_for_an_event_is_refused(lambda_: Any, there: str) -> None:
    """A megabyte goes, a byte more does not; both go synchronously."""
    most = b'"%s"' % (b"x" * (1_048_576 - 2))
    answer = lambda_.invoke(FunctionName=there, InvocationType="Event", Payload=most)
    assert answer["StatusCode"] == 202
    with pytest.raises(lambda_.exceptions.RequestTooLargeException):
        lambda_.invoke(FunctionName=there, InvocationType="Event", Payload=most + b" ")
    answer = lambda_.invoke(FunctionName=there, Payload=most + b" ")
    assert answer["StatusCode"] == 200


@pytest.fixture(name="there", scope="module")
def _there(platform: Platform, role: str) -> str:
    platform.function("quiet", "def handler(event, context):\n    pass\n", role=role)
    return "quiet"


def test_invoke_async_is_refused_by_name(lambda_: Any, there: str) -> None:
    with pytest.raises(lambda_.exceptions.ClientError, match="InvokeAsync"):
        lambda_.invoke_async(FunctionName=there, InvokeArgs=b"{}")


@pytest.fixture(name="own_platform")
def _own_platform() -> Iterator[Platform]:
    with running() as platform:
        yield platform


def test_nothing_acknowledged_is_lost_to_a_kill_or_a_stop(
    own_platform: Platform,
) -> None:
    """Killed while it drains, stopped while it drains: every event is told of."""
    platform = own_platform
    role = platform.role("keeper", SEND)
    platform.function("kept", SOURCE, role=role)
    url, arn = _made(platform.client("sqs"), "kept")
    platform.client("lambda").put_function_event_invoke_config(
        FunctionName="kept", DestinationConfig={"OnSuccess": {"Destination": arn}}
    )
    sent: set[str] = set()
    for ending in (platform.kill, platform.stop):
        lambda_ = platform.client("lambda")
        sent |= {_send(lambda_, "kept", {"n": n}) for n in range(100)}
        ending()
        platform.lines.clear()
        platform.start()
    seen: list[str] = []
    sqs = platform.client("sqs")
    while len(set(seen)) < len(sent):
        record = json.loads(_received(sqs, url)["Body"])
        seen.append(record["requestContext"]["requestId"])

    assert set(seen) == sent
    assert len(seen) <= len(sent) + 16  # at most what was worked on at the kill
