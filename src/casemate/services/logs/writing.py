"""
PutLogEvents: events that a client brings.

1. The batch keeps AWS's bounds: bytes, count, order, span.
2. Events that are too old, too new or past retention are left out, and the
   answer says which.
3. There is room.
4. If events lie far from now, the stream says so before they are in it, so that
   no search by time misses them.
5. The events are durable when the call is answered.

Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from casemate.core.call import Admitted
from casemate.core.clock import Clock
from casemate.core.operation import Parameters, operation
from casemate.services.logs import names
from casemate.services.logs import settings as bounds
from casemate.services.logs.extent import Extents
from casemate.services.logs.ledger import Ledger
from casemate.services.logs.model import Group, GroupRef, Source, packed
from casemate.services.logs.parameters import needed
from casemate.services.logs.refusals import (
    INVALID,
    aborted,
    invalid,
    limit,
    no_group,
    no_stream,
)
from casemate.services.logs.settings import DAY, LogSettings
from casemate.services.logs.store import Store, group_key, stream_key, translated

Batch = Sequence[tuple[int, bytes]]
"""Epoch milliseconds, and a message in UTF-8."""

_BODY: Final = 8_388_608
"""Bytes of a request: a batch whose every character JSON has escaped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """Takes events of clients in."""

    store: Store
    extents: Extents
    ledger: Ledger
    clock: Clock
    settings: LogSettings

    @operation(
        "PutLogEvents",
        action="logs:PutLogEvents",
        resource=names.of_stream,
        accepts=("logGroupName", "logStreamName", "logEvents", "sequenceToken"),
        mutates=False,
        acts=True,
        body_limit=_BODY,
        errors=(
            INVALID,
            "LimitExceededException",
            "OperationAbortedException",
            "ResourceNotFoundException",
            "ServiceUnavailableException",
        ),
    )
    async def put(self, call: Admitted) -> Mapping[str, object]:
        """
        Append a batch of events to a stream.

        `sequenceToken` is looked at by nobody, as AWS documents.  The data are
        durable in the answer; no audit record of its own waits for the disk.
        """
        ref = names.here(names.named(call.parameters, call.scope), call.scope)
        stream = names.stream_name(needed(call.parameters, "logStreamName"))
        # (1)
        batch = read_batch(call.parameters)
        group = self.store.group(ref)
        if group is None:
            raise no_group()
        if self.store.stream(ref, stream) is None:
            raise no_stream()
        # (2)
        now = int(self.clock.now() * 1000)
        kept, rejected = timely(batch, now, group)
        position = await self._append(ref, stream, kept, now) if kept else 0
        answer: dict[str, object] = {"nextSequenceToken": f"{position:056d}"}
        if rejected:
            answer["rejectedLogEventsInfo"] = rejected
        return answer

    async def _append(self, ref: GroupRef, stream: str, batch: Batch, now: int) -> int:
        if (ref.account, group_key(ref)) in self.store.deleting:
            raise aborted()
        # (3)
        held = sum(len(message) for _, message in batch)
        if self.ledger.total(ref.account) + held > self.settings.stored_bytes:
            raise limit(
                f"the account's logs hold {self.settings.stored_bytes} bytes, which is "
                "the most; set a retention, or delete what is not needed"
            )
        key = stream_key(ref, stream)
        ingested = self.extents.moment(ref.account, key, now)
        first, last = batch[0][0], batch[-1][0]
        # (4)
        await self.store.widen(
            ref, stream, late=max(0, ingested - first), early=max(0, last - ingested)
        )
        # (5)
        entries = [
            packed(at=at, ingested=ingested, source=Source.CLIENT, message=message)
            for at, message in batch
        ]
        with translated():
            position = await self.store.log.append(ref.account, key, entries)
        self.extents.wrote(ref.account, key, first=first, last=last, ingested=ingested)
        self.ledger.add(ref, held)
        return position


def read_batch(parameters: Parameters) -> Batch:
    """Read `logEvents` and hold it against AWS's bounds.  Raises Invalid."""
    given = parameters.get("logEvents")
    if not isinstance(given, list | tuple) or not given:
        raise invalid("`logEvents` needs at least one event")
    if len(given) > bounds.BATCH_EVENTS:
        raise invalid(f"`logEvents` has more than {bounds.BATCH_EVENTS} events")
    batch = [_event(one) for one in given]
    held = sum(len(message) + bounds.EVENT_OVERHEAD for _, message in batch)
    if held > bounds.BATCH_BYTES:
        raise invalid(
            f"Upload too large: {held} bytes exceeds limit of {bounds.BATCH_BYTES}"
        )
    if any(a[0] > b[0] for a, b in pairwise(batch)):
        raise invalid(
            "Log events in a single PutLogEvents request must be in chronological "
            "order."
        )
    if batch[-1][0] - batch[0][0] > bounds.BATCH_SPAN:
        raise invalid(
            "The batch of log events in a single PutLogEvents request cannot span more "
            "than 24 hours."
        )
    return batch


def _event(given: object) -> tuple[int, bytes]:
    if not isinstance(given, Mapping):
        raise invalid("an event of `logEvents` is not a structure")
    at, message = given.get("timestamp"), given.get("message")
    if isinstance(at, bool) or not isinstance(at, int) or at < 0:
        raise invalid("an event of `logEvents` has no `timestamp` in milliseconds")
    if not isinstance(message, str) or not message:
        raise invalid("an event of `logEvents` has no `message`")
    return at, message.encode("utf-8", "replace")


def timely(batch: Batch, now: int, group: Group) -> tuple[Batch, dict[str, int]]:
    """
    Leave out what is too old, past retention, or too new.

    Gives what stays and AWS's words for the rest.  The indexes count from 0;
    an end is the index after the last.
    """
    days = group.retention_days
    expired = now - days * DAY if days is not None else 0
    old = sum(1 for at, _ in batch if at < now - bounds.TOO_OLD)
    gone = sum(1 for at, _ in batch if at < expired)
    new = sum(1 for at, _ in batch if at > now + bounds.TOO_NEW)
    rejected: dict[str, int] = {}
    if old:
        rejected["tooOldLogEventEndIndex"] = old
    if gone:
        rejected["expiredLogEventEndIndex"] = gone
    if new:
        rejected["tooNewLogEventStartIndex"] = len(batch) - new
    return batch[max(old, gone) : len(batch) - new], rejected
