"""CloudWatch Logs, as boto3 knows it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from contract.implemented import every_operation


def test_every_operation_answers(logs: Any) -> None:
    """The life of a group, a stream and its events, through every operation."""
    group, stream = {"logGroupName": "/life/group"}, {"logStreamName": "stream"}
    now = int(time.time() * 1000)
    with every_operation("logs", logs):
        logs.create_log_group(**group, tags={"team": "keep"})
        described = logs.describe_log_groups(logGroupNamePrefix="/life/")["logGroups"]
        arn = described[0]["logGroupArn"]
        logs.tag_resource(resourceArn=arn, tags={"more": "1"})
        logs.untag_resource(resourceArn=arn, tagKeys=["team"])
        tags = logs.list_tags_for_resource(resourceArn=arn)["tags"]
        assert {"more": "1"} == tags
        logs.put_retention_policy(**group, retentionInDays=7)
        told = logs.describe_log_groups(logGroupNamePrefix="/life/")["logGroups"][0]
        assert 7 == told["retentionInDays"]
        logs.delete_retention_policy(**group)
        logs.create_log_stream(**group, **stream)
        logs.put_log_events(
            **group,
            **stream,
            logEvents=[
                {"timestamp": now + n, "message": f"line {n}"} for n in range(3)
            ],
        )
        streams = logs.describe_log_streams(**group)["logStreams"]
        assert [("stream", now)] == [
            (s["logStreamName"], s["firstEventTimestamp"]) for s in streams
        ]
        page = logs.get_log_events(**group, **stream, startFromHead=True, limit=2)
        assert ["line 0", "line 1"] == [e["message"] for e in page["events"]]
        rest = logs.get_log_events(
            **group, **stream, startFromHead=True, nextToken=page["nextForwardToken"]
        )
        assert ["line 2"] == [e["message"] for e in rest["events"]]
        found = logs.filter_log_events(**group, filterPattern='"line 1"')["events"]
        assert ["line 1"] == [e["message"] for e in found]
        logs.delete_log_stream(**group, **stream)
        logs.delete_log_group(**group)

    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.filter_log_events(**group)


def test_refusals_say_why(logs: Any) -> None:
    """The message is there, although the model's error has no member for it."""
    logs.create_log_group(logGroupName="/twice")

    with pytest.raises(
        logs.exceptions.ResourceAlreadyExistsException, match="already exists"
    ):
        logs.create_log_group(logGroupName="/twice")
    with pytest.raises(
        logs.exceptions.ResourceNotFoundException, match="does not exist"
    ):
        logs.get_log_events(logGroupName="/twice", logStreamName="none")
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.put_retention_policy(logGroupName="/twice", retentionInDays=2)


def test_paginators_see_each_group_once(logs: Any) -> None:
    names = [f"/pages/{n}" for n in range(5)]
    for name in names:
        logs.create_log_group(logGroupName=name)

    pages = logs.get_paginator("describe_log_groups").paginate(
        logGroupNamePrefix="/pages/", PaginationConfig={"PageSize": 2}
    )

    assert names == [g["logGroupName"] for page in pages for g in page["logGroups"]]


def test_a_token_of_another_query_is_refused(logs: Any) -> None:
    for n in range(3):
        logs.create_log_group(logGroupName=f"/token/{n}")
    page = logs.describe_log_groups(logGroupNamePrefix="/token/", limit=1)

    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.describe_log_groups(
            logGroupNamePrefix="/", limit=1, nextToken=page["nextToken"]
        )
