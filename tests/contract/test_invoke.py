"""Invoke: what callers send and get back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from platform_harness import Platform, zipped

LIMIT = 6_291_456
ANSWER_LIMIT = 6_291_556
"""AWS's own number, as its error names it."""

ECHO = """
import json, os, sys

def handler(event, context):
    kind = event.get("kind") if isinstance(event, dict) else None
    if kind == "size":
        return len(json.dumps(event, separators=(",", ":")))
    if kind == "large":
        return "x" * event["bytes"]
    if kind == "print":
        print("x" * 5000 + "the end")
    return event
"""


@pytest.fixture(name="echo", scope="module")
def _echo(platform: Platform, role: str) -> str:
    platform.function("echo", ECHO, role=role, MemorySize=512)
    return "echo"


def _padded(size: int) -> bytes:
    head, tail = b'{"kind":"size","pad":"', b'"}'
    return head + b"x" * (size - len(head) - len(tail)) + tail


def test_six_megabytes_go_in_and_one_byte_more_does_not(
    lambda_: Any, echo: str
) -> None:
    answer = lambda_.invoke(FunctionName=echo, Payload=_padded(LIMIT))
    assert LIMIT == json.load(answer["Payload"])

    with pytest.raises(lambda_.exceptions.RequestTooLargeException) as refused:
        lambda_.invoke(FunctionName=echo, Payload=_padded(LIMIT + 1))
    assert 413 == refused.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_six_megabytes_come_out_and_one_byte_more_does_not(
    platform: Platform, echo: str
) -> None:
    """The answer is the function's error, as on AWS."""
    quotes = 2

    most = ANSWER_LIMIT - quotes

    told, answer = platform.invoke(echo, {"kind": "large", "bytes": most})
    assert most == len(told)
    assert "FunctionError" not in answer

    told, answer = platform.invoke(echo, {"kind": "large", "bytes": most + 1})
    assert "Unhandled" == answer["FunctionError"]
    assert "Function.ResponseSizeTooLarge" == told["errorType"]


@pytest.mark.parametrize("event", [None, 0, "", "ä\u2028𝄞", [], {}, [1.5, {"a": []}]])
def test_any_json_goes_through(platform: Platform, echo: str, event: object) -> None:
    told, answer = platform.invoke(echo, event)

    assert event == told
    assert (200, "$LATEST") == (answer["StatusCode"], answer["ExecutedVersion"])


def test_what_is_not_json_is_refused(lambda_: Any, echo: str) -> None:
    with pytest.raises(lambda_.exceptions.InvalidRequestContentException):
        lambda_.invoke(FunctionName=echo, Payload=b"{")


def test_a_dry_run_runs_nothing(lambda_: Any, logs: Any, role: str) -> None:
    """It says that one may invoke; no code runs, so there is no log either."""
    lambda_.create_function(
        FunctionName="dry",
        Runtime="python3.11",
        Handler="handler.handler",
        Role=role,
        Code={"ZipFile": zipped({"handler.py": ECHO})},
    )

    answer = lambda_.invoke(FunctionName="dry", InvocationType="DryRun")

    assert 204 == answer["StatusCode"]
    groups = logs.describe_log_groups(logGroupNamePrefix="/aws/lambda/dry")
    assert [] == groups["logGroups"]


def test_the_tail_of_the_log_comes_along(platform: Platform, echo: str) -> None:
    """The last 4 KB, with the REPORT line at its end."""
    _, answer = platform.invoke(echo, {"kind": "print"}, LogType="Tail")

    tail = base64.b64decode(answer["LogResult"])
    assert len(tail) <= 4096
    assert b"the end" in tail
    assert b"REPORT RequestId: " in tail
    assert answer["ResponseMetadata"]["RequestId"].encode() in tail


def test_names_in_every_form_mean_the_same_function(
    lambda_: Any, echo: str, account: str
) -> None:
    arn = f"arn:aws:lambda:us-east-1:{account}:function:{echo}"
    for name in (echo, f"{echo}:$LATEST", f"{account}:function:{echo}", arn):
        answer = lambda_.invoke(FunctionName=name, Payload=b"1")
        assert b"1" == answer["Payload"].read()


def test_the_clients_context_reaches_the_handler(
    platform: Platform, role: str, lambda_: Any
) -> None:
    source = "def handler(e, c):\n    return c.client_context.custom\n"
    platform.function("client-context", source, role=role)
    context = base64.b64encode(json.dumps({"custom": {"a": "b"}}).encode()).decode()

    answer = lambda_.invoke(FunctionName="client-context", ClientContext=context)

    assert {"a": "b"} == json.load(answer["Payload"])
