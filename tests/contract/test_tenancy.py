"""Tenant isolation on a running platform, as boto3 and the aws CLI use it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from platform_harness import Platform

SOURCE = """
seen = []

def handler(event, context):
    seen.append(context.tenant_id)
    print("seen", seen)
    return seen
"""
PER_TENANT = {"TenantIsolationMode": "PER_TENANT"}
PATIENCE = 60.0


@pytest.fixture(name="isolated", scope="module")
def _isolated(platform: Platform, role: str) -> str:
    platform.function("isolated", SOURCE, role=role, TenancyConfig=PER_TENANT)
    platform.function("shared", SOURCE, role=role)
    return "isolated"


def test_tenants_have_cells_of_their_own(
    platform: Platform, lambda_: Any, isolated: str
) -> None:
    """The configuration says so, and the cells keep to it."""
    told = lambda_.get_function_configuration(FunctionName=isolated)
    assert PER_TENANT == told["TenancyConfig"]
    for tenant, times in (("blue", 1), ("green", 1), ("blue", 2), ("green", 2)):
        seen, _ = platform.invoke(isolated, TenantId=tenant)
        assert [tenant] * times == seen


def test_the_aws_cli_makes_one_and_names_a_tenant(
    platform: Platform, isolated: str
) -> None:
    """By its own words for both."""
    dry = ("--invocation-type", "DryRun", "--tenant-id", "blue", "/dev/null")
    done = platform.aws("lambda", "invoke", "--function-name", isolated, *dry)
    assert 0 == done.returncode, done.stderr
    shown = platform.aws(
        *("lambda", "get-function-configuration", "--function-name", isolated),
        *("--query", "TenancyConfig"),
    )
    assert PER_TENANT == json.loads(shown.stdout)


def test_an_event_for_later_keeps_its_tenant(
    lambda_: Any, logs: Any, isolated: str
) -> None:
    """It runs in a cell of that tenant."""
    taken = lambda_.invoke(
        FunctionName=isolated, InvocationType="Event", TenantId="later"
    )
    assert 202 == taken["StatusCode"]
    end = time.monotonic() + PATIENCE
    while not (found := _lines(logs, isolated, "later")):
        assert time.monotonic() < end
    assert ["seen ['later']"] == found


def test_a_streamed_answer_is_of_its_tenant(lambda_: Any, isolated: str) -> None:
    """The same cell that serves the tenant's other events; without one, refused."""
    named = {"FunctionName": isolated}
    told = lambda_.invoke_with_response_stream(**named, TenantId="streamed")
    chunks = [event.get("PayloadChunk", {}) for event in told["EventStream"]]
    answer = b"".join(chunk.get("Payload", b"") for chunk in chunks)
    assert ["streamed"] == json.loads(answer)
    with pytest.raises(lambda_.exceptions.InvalidParameterValueException):
        lambda_.invoke_with_response_stream(**named)


def _lines(logs: Any, name: str, word: str) -> list[str]:
    told = logs.filter_log_events(
        logGroupName=f"/aws/lambda/{name}", filterPattern=f'"{word}"'
    )
    return [event["message"].strip() for event in told["events"]]


@pytest.mark.parametrize("kind", ["RequestResponse", "Event", "DryRun"])
@pytest.mark.parametrize(
    ("name", "more", "words"),
    [
        ("isolated", {}, "Add a valid tenant ID in your request and try again."),
        ("shared", {"TenantId": "blue"}, "Remove the tenant ID"),
    ],
)
def test_a_tenant_is_named_where_there_are_tenants_and_nowhere_else(
    lambda_: Any,
    own: Any,
    isolated: str,
    name: str,
    more: dict[str, str],
    words: str,
    kind: str,
) -> None:
    """AWS's refusals, on record."""
    assert isolated
    refusal = lambda_.exceptions.InvalidParameterValueException
    with pytest.raises(refusal, match=words) as refused:
        lambda_.invoke(FunctionName=name, InvocationType=kind, **more)
    request = refused.value.response["ResponseMetadata"]["RequestId"]
    record = json.loads(own.explain_request(RequestId=request)["Record"])
    assert "InvalidParameterValueException" == record["errorCode"]
