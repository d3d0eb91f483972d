"""Reserved concurrency on a running platform, as boto3 and the aws CLI use it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ReadTimeoutError

from platform_harness import Platform

SOURCE = """
import os, time

def handler(event, context):
    time.sleep(event.get("seconds", 0))
    if event.get("exit"):
        os._exit(1)
    return "done"
"""
PATIENCE = 15.0
REASON = "ReservedFunctionConcurrentInvocationLimitExceeded"


@pytest.fixture(name="held", scope="module")
def _held(platform: Platform, role: str) -> str:
    platform.function("held", SOURCE, role=role)
    platform.function("beside", SOURCE, role=role)
    return "held"


@pytest.fixture(name="threads", scope="module")
def _threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as threads:
        yield threads


def _reserve(lambda_: Any, name: str, most: int) -> None:
    lambda_.put_function_concurrency(
        FunctionName=name, ReservedConcurrentExecutions=most
    )


def _throttled(platform: Platform, name: str, **more: Any) -> dict[str, Any]:
    client = platform.client("lambda")
    with pytest.raises(client.exceptions.TooManyRequestsException) as refused:
        client.invoke(FunctionName=name, Payload=b"{}", **more)
    response: dict[str, Any] = refused.value.response
    return response


def _until_busy(platform: Platform, name: str, calls: list[Future[Any]]) -> None:
    """Wait until so many calls are inside that another is refused."""
    client, end = platform.client("lambda"), time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < end
        assert not any(call.done() for call in calls)
        try:
            client.invoke(FunctionName=name, Payload=b"{}")
        except client.exceptions.TooManyRequestsException:
            return


def test_reserved_concurrency_is_set_shown_and_taken_back(
    platform: Platform, lambda_: Any, held: str
) -> None:
    """By boto3 and by the aws CLI."""

    def unreserved() -> int:
        limit = lambda_.get_account_settings()["AccountLimit"]
        return int(limit["UnreservedConcurrentExecutions"])

    before = unreserved()
    _reserve(lambda_, held, 5)
    assert before - 5 == unreserved()
    told = lambda_.get_function(FunctionName=held)["Concurrency"]
    assert {"ReservedConcurrentExecutions": 5} == told
    shown = platform.aws("lambda", "get-function-concurrency", "--function-name", held)
    assert {"ReservedConcurrentExecutions": 5} == json.loads(shown.stdout)
    name = ("--function-name", held)
    done = platform.aws("lambda", "delete-function-concurrency", *name)
    assert (0, before) == (done.returncode, unreserved())
    with pytest.raises(
        lambda_.exceptions.InvalidParameterValueException, match=r"\[100\]"
    ):
        _reserve(lambda_, held, before - 99)
    assert before == unreserved()


def test_a_share_of_nothing_throttles_every_name_of_a_function(
    platform: Platform, lambda_: Any, own: Any, held: str
) -> None:
    """429, AWS's reason, Retry-After, and on record; a dry run is no run."""
    lambda_.publish_version(FunctionName=held)
    _reserve(lambda_, held, 0)
    try:
        for more in ({}, {"Qualifier": "1"}, {"Qualifier": "$LATEST"}):
            told = _throttled(platform, held, **more)
            assert REASON == told["Reason"]
            meta = told["ResponseMetadata"]
            assert (429, "1") == (
                meta["HTTPStatusCode"],
                meta["HTTPHeaders"]["retry-after"],
            )
            explained = own.explain_request(RequestId=meta["RequestId"])
            record = json.loads(explained["Record"])
            assert "TooManyRequestsException" == record["errorCode"]
        dry = lambda_.invoke(FunctionName=held, InvocationType="DryRun")
        assert 204 == dry["StatusCode"]
        assert "done" == platform.invoke("beside", {})[0]
    finally:
        lambda_.delete_function_concurrency(FunctionName=held)
    assert "done" == platform.invoke(held, {})[0]


def test_a_share_is_a_ceiling_and_comes_back(
    platform: Platform, lambda_: Any, held: str, threads: ThreadPoolExecutor
) -> None:
    """Two run, the third is throttled, another function runs; then all is free."""
    _reserve(lambda_, held, 2)
    try:
        # The asking below may take a place for a moment, so these try again.
        patient = platform.client("lambda", retries=9)
        given = {"FunctionName": held, "Payload": b'{"seconds": 3}'}
        calls = [threads.submit(patient.invoke, **given) for _ in range(2)]
        _until_busy(platform, held, calls)
        assert REASON == _throttled(platform, held)["Reason"]
        assert "done" == platform.invoke("beside", {})[0]
        assert all(b'"done"' == call.result()["Payload"].read() for call in calls)
        assert "done" == platform.invoke(held, {})[0]
    finally:
        lambda_.delete_function_concurrency(FunctionName=held)


def test_a_place_comes_back_from_every_ending(
    platform: Platform, lambda_: Any, held: str
) -> None:
    """An exit, a timeout, a caller who hangs up: one place serves them all in turn."""
    _reserve(lambda_, held, 1)
    try:
        for event in ({"exit": True}, {"seconds": 11}):
            _, answer = platform.invoke(held, event)
            assert "Unhandled" == answer["FunctionError"]
        with pytest.raises(ReadTimeoutError):
            _hasty(platform).invoke(FunctionName=held, Payload=b'{"seconds": 4}')
        # As on AWS, what it asked for goes on, and holds its place until then.
        assert REASON == _throttled(platform, held)["Reason"]
        end = time.monotonic() + PATIENCE
        while not _runs(platform, held):
            assert time.monotonic() < end
    finally:
        lambda_.delete_function_concurrency(FunctionName=held)


def _runs(platform: Platform, name: str) -> bool:
    client = platform.client("lambda")
    try:
        client.invoke(FunctionName=name, Payload=b"{}")
    except client.exceptions.TooManyRequestsException:
        return False
    return True


def _hasty(platform: Platform) -> Any:
    """A client that hangs up after a second."""
    variables = platform.variables
    return botocore.session.Session().create_client(
        "lambda",
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        verify=variables["AWS_CA_BUNDLE"],
        region_name=variables["AWS_DEFAULT_REGION"],
        aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=variables["AWS_SESSION_TOKEN"],
        config=Config(read_timeout=1, retries={"total_max_attempts": 1}),
    )
