"""Calls of the platform's API, with boto3 as the client that everybody has."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Any, Final

import boto3

_SECOND: Final = 1.0
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class CallFailedError(Exception):
    """The platform refused; the text is its reason."""


def client(service: str) -> Any:
    """Make a client from the environment that `session.adopt` filled."""
    return boto3.client(service)


def call(service: str, operation: str, **parameters: object) -> dict[str, object]:
    """Call an operation and give its members."""
    answer: dict[str, object] = getattr(client(service), operation)(**parameters)
    answer.pop("ResponseMetadata", None)
    return answer


def function_names() -> list[str]:
    """Name the account's functions."""
    pages = client("lambda").get_paginator("list_functions").paginate()
    return [f["FunctionName"] for page in pages for f in page["Functions"]]


def invoke(name: str, event: str) -> tuple[str, bool]:
    """Invoke; give what came back, and whether the function failed."""
    answer = client("lambda").invoke(FunctionName=name, Payload=event.encode())
    return answer["Payload"].read().decode(), "FunctionError" in answer


def account_line(account: dict[str, Any]) -> str:
    """Write an account on one line."""
    return f"{account['AccountId']}  {account.get('Name', '')}".rstrip()


def account_lines() -> Iterator[str]:
    """Write every account on a line of its own."""
    pages = client("casemate").get_paginator("list_accounts").paginate()
    for page in pages:
        for account in page["Accounts"]:
            yield account_line(account)


def log_lines(name: str, *, minutes: int, follow: bool) -> Iterator[str]:
    """
    Give a function's log lines, oldest first.

    Control characters are replaced: what a function prints must not move the
    operator's cursor or set their terminal's title.
    """
    logs = client("logs")
    group = name if name.startswith("/") else f"/aws/lambda/{_short(name)}"
    start = int((time.time() - minutes * 60) * 1000)
    seen: set[str] = set()
    while True:
        pages = logs.get_paginator("filter_log_events").paginate(
            logGroupName=group, startTime=start, interleaved=True
        )
        for page in pages:
            for event in page["events"]:
                if event["eventId"] not in seen:
                    seen.add(event["eventId"])
                    yield _CONTROL.sub(
                        "\N{REPLACEMENT CHARACTER}", event["message"]
                    ).rstrip("\n")
        if not follow:
            return
        time.sleep(_SECOND)


def _short(name: str) -> str:
    return name.split(":")[6] if name.startswith("arn:") else name.partition(":")[0]
