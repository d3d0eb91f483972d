"""The platform's own service, as boto3 knows it."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from contract.implemented import every_operation
from platform_harness import Platform

PATIENCE = 60.0


@pytest.fixture(name="there", scope="module")
def _there(platform: Platform, role: str) -> str:
    """A function that fails."""
    source = "def handler(event, context):\n    raise ValueError\n"
    platform.function("failing", source, role=role)
    return "failing"


def test_every_operation_answers(
    own: Any, sts: Any, lambda_: Any, account: str, there: str
) -> None:
    with every_operation("casemate", own):
        put = own.put_idempotency_policy(FunctionName=there, KeyExpression="id")
        got = own.get_idempotency_policy(FunctionName=there)
        own.delete_idempotency_policy(FunctionName=there)
        assert put["FunctionArn"] == got["FunctionArn"]
        arn = lambda_.get_function_configuration(FunctionName=there)["FunctionArn"]
        put = own.put_residue_policy(FunctionArn=arn, Policy="wipe")
        assert (arn, "wipe") == (put["FunctionArn"], put["Policy"])
        assert "wipe" == own.get_residue_policy(FunctionArn=arn)["Policy"]
        own.delete_residue_policy(FunctionArn=arn)
        assert own.get_status()["Runtimes"]
        names = {runtime["Name"] for runtime in own.list_runtimes()["Runtimes"]}
        assert "python3.11" in names
        made = own.create_account(Name="made")
        pages = own.get_paginator("list_accounts").paginate(
            PaginationConfig={"PageSize": 1}
        )
        listed = {a["AccountId"]: a for page in pages for a in page["Accounts"]}
        assert listed[account]["Operator"]
        assert not listed[made["AccountId"]]["Operator"]
        asked = sts.get_caller_identity()["ResponseMetadata"]["RequestId"]
        told = own.explain_request(RequestId=asked)
        record = json.loads(told["Record"])
        assert ("GetCallerIdentity", asked) == (
            record["eventName"],
            record["requestID"],
        )
        assert own.verify_audit()["Sound"]
        first, second = _quarantined(lambda_, own, there)
        assert own.get_quarantined(RequestId=first)["Payload"] == b"{}"
        assert own.dispose(RequestId=first, Reason="seen")["RequestId"] == first
        assert own.redrive(RequestId=second, Reason="again")["RequestId"] == second


def _quarantined(lambda_: Any, own: Any, name: str) -> list[str]:
    """Send two events to a function that fails; wait until they are set aside."""
    lambda_.put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=0)
    for _ in range(2):
        lambda_.invoke(FunctionName=name, InvocationType="Event")
    end = time.monotonic() + PATIENCE
    while True:
        pages = own.get_paginator("list_quarantine").paginate(
            FunctionName=name, PaginationConfig={"PageSize": 1}
        )
        found = [event["RequestId"] for page in pages for event in page["Events"]]
        if len(found) == 2:
            return found
        assert time.monotonic() < end, found


def test_a_request_that_is_not_there_is_not_found(own: Any) -> None:
    with pytest.raises(own.exceptions.ResourceNotFoundException):
        own.explain_request(RequestId="00000000-0000-0000-0000-000000000000")


def test_only_the_operators_account_looks_past_itself(
    platform: Platform, sts: Any, other: str
) -> None:
    """A tenant gets no status, no account, no verdict, no request of another."""
    theirs = platform.client("casemate", other)
    request = sts.get_caller_identity()["ResponseMetadata"]["RequestId"]

    for call in (theirs.get_status, theirs.list_accounts, theirs.verify_audit):
        with pytest.raises(theirs.exceptions.AccessDeniedException):
            call()
    with pytest.raises(theirs.exceptions.AccessDeniedException):
        theirs.create_account(Name="mine")
    with pytest.raises(theirs.exceptions.ResourceNotFoundException):
        theirs.explain_request(RequestId=request)
