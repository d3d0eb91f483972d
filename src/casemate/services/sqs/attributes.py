"""
The attributes of queues: read, held to their rules, and shown.

What is not enforced is refused by its name: FIFO queues and KMS keys.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from casemate.services.sqs import policy, redrive
from casemate.services.sqs.model import Queue, QueueRef
from casemate.services.sqs.redrive import Find
from casemate.services.sqs.refusals import bad_attribute, bad_name
from casemate.services.sqs.settings import (
    DELAY,
    MESSAGE_BYTES,
    RETENTION,
    VISIBILITY,
    WAIT,
)

NUMBERS: Final[Mapping[str, tuple[str, int, int]]] = {
    "DelaySeconds": ("delay", 0, DELAY),
    "MaximumMessageSize": ("size", 1024, MESSAGE_BYTES),
    "MessageRetentionPeriod": ("retention", *RETENTION),
    "ReceiveMessageWaitTimeSeconds": ("wait", 0, WAIT),
    "VisibilityTimeout": ("visibility", 0, VISIBILITY),
}
"""The queue's member, and its bounds."""

COUNTS: Final = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
"""In the order in which the substrate counts."""

_FIFO: Final = frozenset(
    {
        "FifoQueue",
        "ContentBasedDeduplication",
        "DeduplicationScope",
        "FifoThroughputLimit",
    }
)
_KMS: Final = frozenset({"KmsMasterKeyId", "KmsDataKeyReusePeriodSeconds"})
_KNOWN: Final = frozenset(
    {
        "All",
        "QueueArn",
        "CreatedTimestamp",
        "LastModifiedTimestamp",
        "SqsManagedSseEnabled",
        "Policy",
        "RedrivePolicy",
        "RedriveAllowPolicy",
        *NUMBERS,
        *COUNTS,
        *_FIFO,
        *_KMS,
    }
)
"""What can be asked for; what a queue has not is not in the answer."""

_NUMBER = re.compile(r"[0-9]{1,9}", re.ASCII)


def edited(ref: QueueRef, queue: Queue, given: Mapping[str, str], find: Find) -> Queue:
    """Give a queue with attributes set.  Raises Invalid."""
    changes: dict[str, Any] = {}
    for name, value in given.items():
        if name in NUMBERS:
            member, low, high = NUMBERS[name]
            changes[member] = _number(name, value, low, high)
        elif name == "Policy":
            changes["policy"] = policy.checked(value) if value else ""
        elif name == "RedrivePolicy":
            changes["redrive"] = redrive.read_redrive(ref, value, find)
        elif name == "RedriveAllowPolicy":
            changes["redrive_allow"] = redrive.read_allow(value)
        else:
            _unset(name, value)
    return replace(queue, **changes)


def shown(
    ref: QueueRef,
    queue: Queue,
    asked: Collection[str],
    counts: tuple[int, int, int] | None,
) -> dict[str, str]:
    """Write the attributes that were asked for.  counts: where they are."""
    told = {
        "QueueArn": ref.arn,
        "CreatedTimestamp": str(queue.created_at),
        "LastModifiedTimestamp": str(queue.modified_at),
        # Everything at rest is under a key of its account; nothing turns it off.
        "SqsManagedSseEnabled": "true",
    }
    told |= {n: str(getattr(queue, member)) for n, (member, _, _) in NUMBERS.items()}
    if counts is not None:
        told |= zip(COUNTS, map(str, counts), strict=True)
    if queue.policy:
        told["Policy"] = queue.policy
    if queue.redrive is not None:
        told["RedrivePolicy"] = redrive.written_redrive(queue.redrive)
    if queue.redrive_allow is not None:
        told["RedriveAllowPolicy"] = redrive.written_allow(queue.redrive_allow)
    if "All" in asked:
        return told
    return {name: value for name, value in told.items() if name in asked}


def wanted(names: Iterable[str]) -> frozenset[str]:
    """Read which attributes are asked for.  Raises Invalid for one there is not."""
    asked = frozenset(names)
    if stray := sorted(asked - _KNOWN):
        raise bad_name(stray[0][:256])
    return asked


def wants_counts(asked: Collection[str]) -> bool:
    """Tell whether the messages must be counted for what was asked."""
    return "All" in asked or not frozenset(COUNTS).isdisjoint(asked)


def _number(name: str, value: str, low: int, high: int) -> int:
    if not _NUMBER.fullmatch(value) or not low <= int(value) <= high:
        raise bad_attribute(name, f"It is a whole number from {low} to {high}.")
    return int(value)


def _unset(name: str, value: str) -> None:
    """Take what is so anyway; refuse everything else by its name."""
    if name in _FIFO:
        raise bad_name(name, "FIFO queues are not enforced yet, so it is refused.")
    if name in _KMS:
        raise bad_name(
            name, "Keys of KMS are not there yet; messages are sealed without them."
        )
    if name != "SqsManagedSseEnabled":
        raise bad_name(name)
    if value != "true":
        reason = "Messages are always encrypted at rest; it can only be true."
        raise bad_attribute(name, reason)
