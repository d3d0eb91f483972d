"""The platform's own service, as boto3 knows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.implemented import every_operation
from platform_harness import Platform


def test_every_operation_answers(own: Any, sts: Any, account: str) -> None:
    with every_operation("casemate", own):
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
