"""Reading a function's log as soon as it is there."""

from __future__ import annotations

import time
from typing import Any

PATIENCE = 10.0


def lines_of(logs: Any, name: str, answer: Any) -> list[str]:
    """
    The lines of one invocation, in order, once its REPORT line is there.

    As on AWS, the answer may be sooner with its caller than the lines in the log.
    """
    request = answer["ResponseMetadata"]["RequestId"]
    group = {"logGroupName": f"/aws/lambda/{name}"}
    end = time.monotonic() + PATIENCE
    while True:
        found: list[str] = []
        streams = _streams(logs, group)
        for stream in streams:
            page = logs.get_log_events(
                **group, logStreamName=stream, startFromHead=True
            )
            lines = [event["message"].rstrip("\n") for event in page["events"]]
            if any(line.startswith(f"START RequestId: {request}") for line in lines):
                found = lines[_start(lines, request) :]
        if any(_is_report(line, request) for line in found):
            return found
        assert time.monotonic() < end, f"no REPORT of {request} in {streams}: {found}"
        time.sleep(0.02)


def _streams(logs: Any, group: dict[str, str]) -> list[str]:
    try:
        told = logs.describe_log_streams(**group)["logStreams"]
    except logs.exceptions.ResourceNotFoundException:
        return []
    return [stream["logStreamName"] for stream in told]


def _start(lines: list[str], request: str) -> int:
    return next(
        n for n, line in enumerate(lines) if f"START RequestId: {request}" in line
    )


def _is_report(line: str, request: str) -> bool:
    return line.startswith(f"REPORT RequestId: {request}")
