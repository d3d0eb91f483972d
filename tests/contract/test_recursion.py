"""Functions that invoke themselves, by their own credentials, on a running platform."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from platform_harness import Platform

SOURCE = """
import json
import boto3

lambda_ = boto3.client("lambda")


def forge(request, **_):
    # What a client says of its own lineage is a label: no header resets the count.
    root = "Root=1-00000000-" + 24 * "0"
    request.headers["x-amzn-trace-id"] = root + ";Lineage=0:0:0"
    request.headers["traceparent"] = "00-" + 32 * "1" + "-" + 16 * "2" + "-01"


lambda_.meta.events.register("before-sign.lambda.*", forge)


def handler(event, context):
    n = event["n"]
    print("round", n)
    if n == event["until"]:
        return {"deepest": n}
    given = {
        "FunctionName": event.get("other") or context.function_name,
        "Payload": json.dumps({**event, "n": n + 1}),
    }
    try:
        if event["way"] == "stream":
            answer = lambda_.invoke_with_response_stream(**given)
            chunks = [e["PayloadChunk"]["Payload"] for e in answer["EventStream"]
                      if "PayloadChunk" in e]
            return json.loads(b"".join(chunks))
        answer = lambda_.invoke(**given, InvocationType=event["way"])
        body = answer["Payload"].read()
        return json.loads(body) if body else None
    except lambda_.exceptions.RecursiveInvocationException as stopped:
        told = stopped.response
        meta = told["ResponseMetadata"]
        print("stopped", n, meta["HTTPStatusCode"], meta["RequestId"])
        return {"deepest": n, "code": told["Error"]["Code"]}
"""
INVOKE = {"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}
PATIENCE = 90.0


@pytest.fixture(name="looper", scope="module")
def _looper(platform: Platform) -> str:
    """A role whose functions may invoke all."""
    return platform.role("looper", INVOKE)


def _made(platform: Platform, name: str, role: str) -> None:
    # With less memory, and so less of a core, importing boto3 takes seconds.
    platform.function(name, SOURCE, role=role, Timeout=110, MemorySize=512)


def _until(seen: Callable[[], Any]) -> Any:
    end = time.monotonic() + PATIENCE
    while not (found := seen()):
        assert time.monotonic() < end
    return found


def _said(platform: Platform, name: str, word: str) -> list[list[str]]:
    """Give what a function has printed after a word, line by line."""
    lines = platform.casemate("logs", name).stdout.splitlines()
    return [
        line.partition(f"{word} ")[2].split() for line in lines if f"{word} " in line
    ]


def _record(own: Any, request: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(
        own.explain_request(RequestId=request)["Record"]
    )
    return record


def test_a_function_that_sends_itself_events_is_stopped(
    platform: Platform, own: Any, looper: str
) -> None:
    """After sixteen hops, at the call of its own that would be the next."""
    _made(platform, "loops", looper)
    event = {"n": 0, "until": -1, "way": "Event"}
    platform.invoke("loops", event, InvocationType="Event")
    ((last, status, request),) = _until(lambda: _said(platform, "loops", "stopped"))

    assert ("16", "400") == (last, status)
    rounds = [int(n) for (n, *_) in _said(platform, "loops", "round")]
    assert list(range(17)) == rounds
    record = _record(own, request)
    assert "RecursiveInvocationException" == record["errorCode"]
    assert [] == own.list_quarantine(FunctionName="loops")["Events"]


@pytest.mark.parametrize("way", ["RequestResponse", "stream"])
def test_a_function_that_calls_itself_is_stopped(
    platform: Platform, own: Any, looper: str, way: str
) -> None:
    """Its seventeenth depth is told by AWS's exception; a new call begins anew."""
    name = f"mirror-{way}"
    _made(platform, name, looper)
    for _ in range(2):
        told, _answer = platform.invoke(name, {"n": 0, "until": -1, "way": way})
        assert {"deepest": 16, "code": "RecursiveInvocationException"} == told
    told, _answer = platform.invoke(name, {"n": 0, "until": 16, "way": way})
    assert {"deepest": 16} == told
    _last, status, request = _until(lambda: _said(platform, name, "stopped"))[-1]
    assert "400" == status
    assert "RecursiveInvocationException" == _record(own, request)["errorCode"]


def test_an_owner_may_allow_it(platform: Platform, lambda_: Any, looper: str) -> None:
    """Past sixteen hops, until the function itself ends it; then stopped again."""
    _made(platform, "spiral", looper)
    name = {"FunctionName": "spiral"}
    assert "Terminate" == lambda_.get_function_recursion_config(**name)["RecursiveLoop"]
    put = lambda_.put_function_recursion_config(**name, RecursiveLoop="Allow")
    assert "Allow" == put["RecursiveLoop"]
    shown = platform.aws(
        "lambda", "get-function-recursion-config", "--function-name", "spiral"
    )
    assert {"RecursiveLoop": "Allow"} == json.loads(shown.stdout)

    event = {"n": 0, "until": 20, "way": "Event"}
    platform.invoke("spiral", event, InvocationType="Event")
    _until(lambda: ["20"] in _said(platform, "spiral", "round"))
    assert [] == _said(platform, "spiral", "stopped")

    lambda_.put_function_recursion_config(**name, RecursiveLoop="Terminate")
    platform.invoke("spiral", event, InvocationType="Event")
    ((last, *_),) = _until(lambda: _said(platform, "spiral", "stopped"))
    assert "16" == last


def test_a_loop_over_two_functions_is_one_lineage(
    platform: Platform, lambda_: Any, looper: str
) -> None:
    """What is allowed to one function is not to the other that it calls."""
    _made(platform, "open", looper)
    _made(platform, "shut", looper)
    lambda_.put_function_recursion_config(FunctionName="open", RecursiveLoop="Allow")
    event = {"n": 0, "until": -1, "way": "Event", "other": "shut"}
    platform.invoke("open", event, InvocationType="Event")
    ((last, *_),) = _until(lambda: _said(platform, "shut", "stopped"))
    assert "16" == last
    assert [["0"]] == _said(platform, "open", "round")
