"""
DeleteMessage and ChangeMessageVisibility, alone and in batches.

A handle is good for deleting until its message is received again, also after
its time has ended; deleting what is gone already is no error.  The visibility of
a message can be changed only while it is in flight, and not past twelve hours
from its receive.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from casemate.core.call import Admitted
from casemate.core.operation import Parameters, operation
from casemate.services.sqs import batch, names
from casemate.services.sqs.directory import Directory
from casemate.services.sqs.model import Queue, QueueRef
from casemate.services.sqs.parameters import needed, ranged
from casemate.services.sqs.receipts import Receipts
from casemate.services.sqs.refusals import (
    INVALID,
    MISSING,
    bad_value,
    missing,
    not_in_flight,
)
from casemate.services.sqs.settings import VISIBILITY
from casemate.services.sqs.store import Store, messages_of

_ERRORS: Final = (INVALID, "InvalidAddress", "QueueDoesNotExist")
_BATCH: Final = (*_ERRORS, *batch.ERRORS)
_HANDLE: Final = "ReceiptHandleIsInvalid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finishing:
    """Ends what a receive began, or changes how long it has."""

    store: Store
    directory: Directory
    receipts: Receipts

    @operation(
        "DeleteMessage",
        action="sqs:DeleteMessage",
        resource=names.of_url,
        accepts=("QueueUrl", "ReceiptHandle"),
        mutates=False,
        acts=True,
        errors=(*_ERRORS, _HANDLE),
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        """Delete a message that was received."""
        ref, queue = self._there(call)
        return await self._delete(ref, queue, call.parameters)

    @operation(
        "DeleteMessageBatch",
        action="sqs:DeleteMessage",
        resource=names.of_url,
        accepts=("QueueUrl", "Entries.Id", "Entries.ReceiptHandle"),
        mutates=False,
        acts=True,
        errors=_BATCH,
    )
    async def delete_batch(self, call: Admitted) -> Mapping[str, object]:
        """Delete up to ten messages that were received."""
        ref, queue = self._there(call)

        async def work(entry: batch.Entry) -> Mapping[str, object]:
            return await self._delete(ref, queue, entry)

        return await batch.each(batch.entries(call.parameters), work)

    @operation(
        "ChangeMessageVisibility",
        action="sqs:ChangeMessageVisibility",
        resource=names.of_url,
        accepts=("QueueUrl", "ReceiptHandle", "VisibilityTimeout"),
        mutates=False,
        acts=True,
        errors=(*_ERRORS, _HANDLE, MISSING, "MessageNotInflight"),
    )
    async def change(self, call: Admitted) -> Mapping[str, object]:
        """Set how long a message in flight stays hidden from now on."""
        ref, queue = self._there(call)
        return await self._change(ref, queue, call.parameters)

    @operation(
        "ChangeMessageVisibilityBatch",
        action="sqs:ChangeMessageVisibility",
        resource=names.of_url,
        accepts=(
            "QueueUrl",
            "Entries.Id",
            "Entries.ReceiptHandle",
            "Entries.VisibilityTimeout",
        ),
        mutates=False,
        acts=True,
        errors=_BATCH,
    )
    async def change_batch(self, call: Admitted) -> Mapping[str, object]:
        """Set how long up to ten messages in flight stay hidden."""
        ref, queue = self._there(call)

        async def work(entry: batch.Entry) -> Mapping[str, object]:
            return await self._change(ref, queue, entry)

        return await batch.each(batch.entries(call.parameters), work)

    def _there(self, call: Admitted) -> tuple[QueueRef, Queue]:
        ref = names.addressed(call.parameters, call.scope)
        return ref, self.directory.present(ref)

    async def _delete(
        self, ref: QueueRef, queue: Queue, given: Parameters
    ) -> Mapping[str, object]:
        lease = self.receipts.read(ref, queue, needed(given, "ReceiptHandle"))
        await self.store.messages.acknowledge(
            ref.account, messages_of(queue), lease, late=True
        )
        return {}

    async def _change(
        self, ref: QueueRef, queue: Queue, given: Parameters
    ) -> Mapping[str, object]:
        handle = needed(given, "ReceiptHandle")
        lease = self.receipts.read(ref, queue, handle)
        seconds = ranged(given, "VisibilityTimeout", 0, VISIBILITY)
        if seconds is None:
            raise missing("VisibilityTimeout")
        place = (ref.account, messages_of(queue))
        held = self.store.messages.held(*place, lease)
        if held is None:
            reason = (
                "Message does not exist or is not available for visibility timeout "
                "change."
            )
            raise bad_value("ReceiptHandle", handle, reason)
        if held.remains <= 0:
            raise not_in_flight()
        if held.since + seconds > VISIBILITY:
            reason = (
                "Total VisibilityTimeout for the message is beyond the limit "
                f"[{VISIBILITY} seconds]"
            )
            raise bad_value("VisibilityTimeout", seconds, reason)
        if not await self.store.messages.extend(*place, lease, seconds):
            raise not_in_flight()
        return {}
