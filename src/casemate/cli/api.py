"""Calls of the platform's API, with boto3 as the client that everybody has."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

import boto3

from casemate.cli.terminal import clean

_SECOND: Final = 1.0
_LATE: Final = 60_000
"""Milliseconds by which a line may come after one with a later time."""

_SEEN: Final = 50_000
"""Ids of lines that are remembered, so that none is shown twice."""

_LONGEST: Final = 960
"""Seconds: the longest timeout of a function, and what its start may take."""


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


def invoke(name: str, event: str) -> tuple[str, str | None, str]:
    """
    Invoke; give what came back, how the function failed if it did, and the
    id of the request.

    The answer is waited for as long as a function may run, and the call is
    made once: a client that lost patience would run the function again.
    """
    settings = boto3.session.Config(
        read_timeout=_LONGEST, retries={"total_max_attempts": 1}
    )
    answer = boto3.client("lambda", config=settings).invoke(
        FunctionName=name, Payload=event.encode()
    )
    body: bytes = answer["Payload"].read()
    request = clean(answer["ResponseMetadata"]["RequestId"])
    return body.decode(errors="replace"), answer.get("FunctionError"), request


def account_line(account: dict[str, Any]) -> str:
    """Write an account on one line."""
    return clean(f"{account['AccountId']}  {account.get('Name', '')}".rstrip())


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
    _in_own_account(name)
    logs = client("logs")
    group = name if name.startswith("/") else _group(name)
    tail = _Tail(start=int((time.time() - minutes * 60) * 1000))
    while True:
        try:
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=tail.start
            )
            for page in pages:
                for event in page["events"]:
                    if tail.new(event["eventId"], event["timestamp"]):
                        yield clean(event["message"]).rstrip("\n")
        except logs.exceptions.ResourceNotFoundException:
            if not follow:
                raise NoLinesError(
                    f"there is no log group `{clean(group)}`: a function's is made "
                    "when it first runs; `casemate logs --follow` waits for it"
                ) from None
        if not follow:
            return
        time.sleep(_SECOND)


class NoLinesError(Exception):
    """There are no lines to show; the text says why."""


class _Tail:
    """What was shown.  start: epoch milliseconds from which to ask again."""

    def __init__(self, start: int) -> None:
        self.start = start
        self._seen: set[str] = set()
        self._order: deque[str] = deque()

    def new(self, identifier: str, at: int) -> bool:
        """Tell whether a line is to be shown, and remember it."""
        if identifier in self._seen:
            return False
        self._seen.add(identifier)
        self._order.append(identifier)
        if len(self._order) > _SEEN:
            self._seen.discard(self._order.popleft())
        self.start = max(self.start, at - _LATE)
        return True


def _group(name: str) -> str:
    """Name the log group of a function: its own, or the default one."""
    functions = client("lambda")
    try:
        told = functions.get_function_configuration(FunctionName=name)
    except functions.exceptions.ClientError:
        # A log group outlives its function, and may be all that one may see.
        return f"/aws/lambda/{_short(name)}"
    group: str = told["LoggingConfig"]["LogGroup"]
    return group


def _in_own_account(name: str) -> None:
    """Refuse the ARN of another account's function: its log is there, not here."""
    fields = name.split(":")
    if not _is_arn(fields):
        return
    owner = clean(fields[4])
    if owner != client("sts").get_caller_identity()["Account"]:
        raise NoLinesError(
            f"the log of `{clean(name)}` is in its account {owner}: "
            f"ask there, as with `casemate logs {clean(fields[6])} --account {owner}`"
        )


def _short(name: str) -> str:
    fields = name.split(":")
    return fields[6] if _is_arn(fields) else fields[0]


def _is_arn(fields: list[str]) -> bool:
    return fields[0] == "arn" and len(fields) > 6  # noqa: PLR2004 — arn:aws:lambda:REGION:ACCOUNT:function:NAME
