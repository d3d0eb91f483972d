"""Q9: a flood of calls, and those who must not feel it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from security.tenant import Tenant

SLOW = """
import time

def handler(event, context):
    time.sleep(0.3)
    return event
"""
FLOOD, AT_ONCE = 600, 160
"""Calls, and how many of them at a time: more than the places that are shared."""


def _counted(count: int, call: Callable[[int], object]) -> tuple[Counter[str], Any]:
    """Make many calls at once; count how they ended, and keep one refusal."""
    kept: list[Any] = []

    def one(n: int) -> str:
        try:
            call(n)
        except ClientError as error:
            kept.append(error.response)
            return str(error.response.get("Reason"))
        return "done"

    with ThreadPoolExecutor(AT_ONCE) as threads:
        ended = Counter(threads.map(one, range(count)))
    return ended, kept[-1] if kept else None


def _reserve(tenant: Tenant, name: str, most: int) -> None:
    tenant.client("lambda").put_function_concurrency(
        FunctionName=name, ReservedConcurrentExecutions=most
    )


def test_q9_a_flood_takes_no_reserved_share(tenant: Tenant, other: Tenant) -> None:
    """
    The flood is throttled with a reason and a time; the other function answers
    every call meanwhile, and so does another account's.
    """
    flood, kept = tenant.deploy(SLOW, MemorySize=128), tenant.deploy(SLOW)
    theirs = other.deploy(SLOW)
    _reserve(tenant, kept, 900)  # what is left is the least that can be shared
    lambda_ = tenant.client("lambda")
    assert (tenant.invoke(kept, 1)[0], other.invoke(theirs, 1)[0]) == (1, 1)
    with ThreadPoolExecutor(1) as beside:
        flooding = beside.submit(
            _counted, FLOOD, lambda _: lambda_.invoke(FunctionName=flood, Payload=b"1")
        )
        answered = 0
        while not flooding.done():
            assert tenant.invoke(kept, answered)[0] == answered
            assert other.invoke(theirs, answered)[0] == answered
            answered += 1
        ended, refusal = flooding.result()
    lambda_.delete_function_concurrency(FunctionName=kept)

    assert answered > 2
    assert ended["done"]
    assert ended["ConcurrentInvocationLimitExceeded"]
    assert FLOOD == ended.total()
    _throttled(tenant, refusal)
    assert tenant.invoke(flood, 2)[0] == 2


def test_q9_a_flood_of_a_function_stays_in_its_share(tenant: Tenant) -> None:
    """It never runs more than it has, whatever comes; the places come back."""
    name, beside = tenant.deploy(SLOW, MemorySize=128), tenant.deploy(SLOW)
    _reserve(tenant, name, 3)
    lambda_ = tenant.client("lambda")
    ended, refusal = _counted(
        150, lambda _: lambda_.invoke(FunctionName=name, Payload=b"1")
    )
    assert ended["done"] >= 3
    assert ended["ReservedFunctionConcurrentInvocationLimitExceeded"]
    _throttled(tenant, refusal)
    assert len(_cells(tenant, name)) <= 3
    assert tenant.invoke(beside, 1)[0] == 1
    assert tenant.invoke(name, 1)[0] == 1


def _throttled(tenant: Tenant, refusal: Any) -> None:
    """A refusal says when to come back, and is on record."""
    meta = refusal["ResponseMetadata"]
    assert (meta["HTTPStatusCode"], meta["HTTPHeaders"]["retry-after"]) == (429, "1")
    assert refusal["Error"]["Code"] == "TooManyRequestsException"
    record = tenant.record(meta["RequestId"])
    assert record["errorCode"] == "TooManyRequestsException"


def _cells(tenant: Tenant, name: str) -> set[str]:
    """Name the cells that have run a function: each has a log stream of its own."""
    logs = tenant.client("logs")
    try:
        pages = logs.get_paginator("describe_log_streams").paginate(
            logGroupName=f"/aws/lambda/{name}"
        )
        return {s["logStreamName"] for page in pages for s in page["logStreams"]}
    except logs.exceptions.ResourceNotFoundException:
        return set()
