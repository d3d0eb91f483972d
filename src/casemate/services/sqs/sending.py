"""
SendMessage, alone and in batches.

A message is durable when its call is answered; no audit record of its own waits
for the disk, as it is with every call that moves data.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from casemate.core.call import Admitted, Inside
from casemate.core.operation import Parameters, operation
from casemate.services.sqs import batch, contents, names
from casemate.services.sqs.contents import TRACE, Content
from casemate.services.sqs.directory import Directory
from casemate.services.sqs.model import Queue, QueueRef
from casemate.services.sqs.parameters import ranged
from casemate.services.sqs.refusals import INVALID, MISSING, UNAVAILABLE
from casemate.services.sqs.settings import BODY, DELAY, MESSAGE_BYTES
from casemate.services.sqs.store import Store, messages_of, translated

SENDER: Final = "SenderId"
ATTRIBUTES: Final = "MessageAttributes"
HOPS: Final = "CasemateHops"
"""Names of what is kept beside a body."""

_MEMBERS: Final = (
    "MessageBody",
    "DelaySeconds",
    "MessageAttributes.DataType",
    "MessageAttributes.StringValue",
    "MessageAttributes.BinaryValue",
    "MessageSystemAttributes.DataType",
    "MessageSystemAttributes.StringValue",
)
_ERRORS: Final = (
    INVALID,
    MISSING,
    UNAVAILABLE,
    "InvalidAddress",
    "InvalidMessageContents",
    "OverLimit",
    "QueueDoesNotExist",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Takes messages in."""

    store: Store
    directory: Directory

    @operation(
        "SendMessage",
        action="sqs:SendMessage",
        resource=names.of_url,
        accepts=("QueueUrl", *_MEMBERS),
        loose=("MessageSystemAttributes",),
        mutates=False,
        acts=True,
        body_limit=BODY,
        errors=_ERRORS,
    )
    async def send(self, call: Admitted) -> Mapping[str, object]:
        """Take a message in."""
        ref = names.addressed(call.parameters, call.scope)
        queue = self.directory.present(ref)
        content = contents.read(call.parameters)
        return await self._enqueue(call, ref, queue, call.parameters, content)

    @operation(
        "SendMessageBatch",
        action="sqs:SendMessage",
        resource=names.of_url,
        accepts=(
            "QueueUrl",
            "Entries.Id",
            *(f"Entries.{member}" for member in _MEMBERS),
        ),
        loose=("Entries.MessageSystemAttributes",),
        mutates=False,
        acts=True,
        body_limit=BODY,
        errors=(*_ERRORS, *batch.ERRORS, "BatchRequestTooLong"),
    )
    async def send_batch(self, call: Admitted) -> Mapping[str, object]:
        """Take up to ten messages in."""
        ref = names.addressed(call.parameters, call.scope)
        queue = self.directory.present(ref)
        entries = batch.entries(call.parameters)
        size = sum(contents.weight(entry) for entry in entries)
        if size > MESSAGE_BYTES:
            raise batch.too_long(size, MESSAGE_BYTES)

        async def work(entry: batch.Entry) -> Mapping[str, object]:
            return await self._enqueue(call, ref, queue, entry, contents.read(entry))

        return await batch.each(entries, work)

    async def _enqueue(
        self,
        call: Admitted,
        ref: QueueRef,
        queue: Queue,
        given: Parameters,
        content: Content,
    ) -> Mapping[str, object]:
        if content.size > queue.size:
            raise contents.too_long(queue.size)
        delay = ranged(given, "DelaySeconds", 0, DELAY)
        with translated():
            name = await self.store.messages.send(
                ref.account,
                messages_of(queue),
                content.body,
                attributes=_beside(call, content),
                delay=queue.delay if delay is None else delay,
            )
        answer: dict[str, object] = {
            "MessageId": message_id(name),
            "MD5OfMessageBody": contents.digest(content.body),
        }
        if content.attributes:
            digest = contents.digest_of(content.attributes)
            answer["MD5OfMessageAttributes"] = digest
        if content.system:
            digest = contents.digest_of(content.system)
            answer["MD5OfMessageSystemAttributes"] = digest
        return answer


def message_id(name: str) -> str:
    """Give the id that clients see of a message."""
    return str(uuid.UUID(hex=name))


def _beside(call: Admitted, content: Content) -> dict[str, str]:
    """Give what is kept beside the body."""
    kept = {SENDER: call.principal.id}
    if hops := call.arrival.trace.hops:
        kept[HOPS] = str(hops)
    if content.attributes:
        kept[ATTRIBUTES] = contents.packed(content.attributes)
    if content.system:
        kept[TRACE] = content.system[TRACE].text or ""
    elif _is_traced(call):
        kept[TRACE] = call.arrival.trace.amazon()
    return kept


def _is_traced(call: Admitted) -> bool:
    """Tell whether the message goes on with a trace that others began."""
    claim = call.arrival.claim
    return isinstance(claim, Inside) or claim.header("x-amzn-trace-id") is not None
