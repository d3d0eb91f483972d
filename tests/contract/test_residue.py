"""Residue policies on a running platform, as boto3 and the aws CLI set them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from platform_harness import Platform

SOURCE = """
import os

seen = 0

def handler(event, context):
    global seen
    seen += 1
    found = [seen, os.listdir("/tmp")]
    if event == "leave":
        open("/tmp/left", "w").close()
    return found
"""
NEW = [1, []]


@pytest.fixture(name="arn", scope="module")
def _arn(platform: Platform, role: str) -> str:
    made = platform.function("residual", SOURCE, role=role, Publish=True)
    return str(made["FunctionArn"]).removesuffix(":1")


def _record(own: Any, refused: Any) -> dict[str, Any]:
    """The audit record of a refusal."""
    request = refused.value.response["ResponseMetadata"]["RequestId"]
    told = own.explain_request(RequestId=request)
    record: dict[str, Any] = json.loads(told["Record"])
    return record


@pytest.mark.parametrize("qualifier", ["$LATEST", "1"])
def test_a_policy_holds_from_the_next_event_on(
    platform: Platform, own: Any, arn: str, qualifier: str
) -> None:
    """Also where warm cells of the policy before it wait."""

    def found(event: str = "") -> Any:
        return platform.invoke("residual", event, Qualifier=qualifier)[0]

    assert NEW == found("leave")
    assert [2, ["left"]] == found()
    own.put_residue_policy(FunctionArn=arn, Policy="wipe")
    try:
        assert NEW == found()
        assert [2, []] == found("leave")
        assert NEW == found()
        own.put_residue_policy(FunctionArn=arn, Policy="fresh")
        assert [NEW, NEW] == [found(), found()]
    finally:
        own.delete_residue_policy(FunctionArn=arn)
    assert NEW == found("leave")
    assert [2, ["left"]] == found()


def test_the_aws_cli_sets_one(platform: Platform, own: Any, arn: str) -> None:
    """The service's model is found by any AWS client."""
    named = ("--function-arn", arn)
    done = platform.aws("casemate", "put-residue-policy", *named, "--policy", "wipe")
    assert 0 == done.returncode, done.stderr
    try:
        assert "wipe" == own.get_residue_policy(FunctionArn=arn)["Policy"]
    finally:
        own.delete_residue_policy(FunctionArn=arn)


def test_what_is_refused_is_on_record(own: Any, arn: str) -> None:
    """A word that is none, and a function that is not there."""
    with pytest.raises(own.exceptions.ClientError) as refused:
        own.put_residue_policy(FunctionArn=arn, Policy="rinse")
    assert "ValidationException" == refused.value.response["Error"]["Code"]
    assert "ValidationException" == _record(own, refused)["errorCode"]
    for call, more in (
        (own.put_residue_policy, {"Policy": "fresh"}),
        (own.get_residue_policy, {}),
        (own.delete_residue_policy, {}),
    ):
        with pytest.raises(own.exceptions.ResourceNotFoundException) as refused:
            call(FunctionArn=f"{arn}-not", **more)
        record = _record(own, refused)
        assert "ResourceNotFoundException" == record["errorCode"]
    assert "keep" == own.get_residue_policy(FunctionArn=arn)["Policy"]


def test_another_account_has_no_say(
    platform: Platform, own: Any, other: str, arn: str
) -> None:
    """Denied alike for a function that is there and one that is not; on record."""
    theirs = platform.client("casemate", other)
    for name in (arn, f"{arn}-not"):
        for call, more in (
            (theirs.put_residue_policy, {"Policy": "fresh"}),
            (theirs.get_residue_policy, {}),
            (theirs.delete_residue_policy, {}),
        ):
            with pytest.raises(theirs.exceptions.AccessDeniedException) as refused:
                call(FunctionArn=name, **more)
            record = _record(theirs, refused)
            assert "AccessDeniedException" == record["errorCode"]
    assert "keep" == own.get_residue_policy(FunctionArn=arn)["Policy"]
