"""
Batches: up to ten entries, each with an id, each with an ending of its own.

What is wrong with the batch as a whole refuses it; what is wrong with one entry
fails that entry alone.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from casemate.core.errors import Invalid, Refusal
from casemate.core.operation import Parameters
from casemate.services.sqs.parameters import needed, structures
from casemate.services.sqs.settings import BATCH

ERRORS: Final = (
    "BatchEntryIdsNotDistinct",
    "EmptyBatchRequest",
    "InvalidBatchEntryId",
    "TooManyEntriesInBatchRequest",
)
_ID = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
_SERVERS: Final = 500
"""HTTP statuses from here on are no fault of the sender."""

Entry = Mapping[str, object]
Results = dict[str, list[Mapping[str, object]]]


def entries(parameters: Parameters) -> Sequence[Entry]:
    """Give the entries of a batch.  Raises Invalid for the whole of it."""
    given = structures(parameters, "Entries")
    if not given:
        raise _refused("EmptyBatchRequest", "There should be at least one entry.")
    if len(given) > BATCH:
        raise _refused(
            "TooManyEntriesInBatchRequest",
            f"Maximum number of entries per request are {BATCH}. You have sent "
            f"{len(given)}.",
        )
    ids = [needed(entry, "Id") for entry in given]
    if any(not _ID.fullmatch(one) for one in ids):
        raise _refused(
            "InvalidBatchEntryId",
            "A batch entry id can only contain alphanumeric characters, hyphens and "
            "underscores. It can be at most 80 letters long.",
        )
    if len(set(ids)) < len(ids):
        raise _refused("BatchEntryIdsNotDistinct", "Two entries have the same Id.")
    return given


def too_long(size: int, most: int) -> Invalid:
    """Refuse a batch for the size of its messages together."""
    return _refused(
        "BatchRequestTooLong",
        f"Batch requests cannot be longer than {most} bytes. You have sent {size} "
        "bytes.",
    )


async def each(
    given: Sequence[Entry], work: Callable[[Entry], Awaitable[Mapping[str, object]]]
) -> Results:
    """
    Work on all entries; give the endings in the order of the entries.

    At once, so that one group commit takes them all.
    """
    endings = await asyncio.gather(*(_ending(entry, work) for entry in given))
    results: Results = {"Successful": [], "Failed": []}
    for member, told in endings:
        results[member].append(told)
    return results


async def _ending(
    entry: Entry, work: Callable[[Entry], Awaitable[Mapping[str, object]]]
) -> tuple[str, Mapping[str, object]]:
    try:
        return "Successful", {"Id": entry["Id"], **await work(entry)}
    except Refusal as refusal:
        failed = {
            "Id": entry["Id"],
            "SenderFault": refusal.http_status < _SERVERS,
            "Code": refusal.code,
            "Message": refusal.reason,
        }
        return "Failed", failed


def _refused(code: str, reason: str) -> Invalid:
    return Invalid(reason, code=code)
