"""
The keys of queues in the substrate.

    account  kind of thing          name          value
    tenant   record `sqs.queues`    REGION/NAME   Queue
    tenant   record `sqs.deleted`   REGION/NAME   nothing; it expires
    tenant   record `sqs.doomed`    ID            when the queue was deleted
    tenant   messages               sqs/ID

A deleted queue's record goes first, so that nothing is taken in any more, and
its messages after it.  What a crash, or a message that was already on its way,
leaves behind is found by the record of the doomed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from casemate.services.sqs.model import Queue, QueueRef
from casemate.services.sqs.refusals import (
    contended,
    deleted_lately,
    full,
    no_queue,
    over,
)
from casemate.services.sqs.settings import RECREATE
from casemate.substrate.ports import (
    Delete,
    FullError,
    Put,
    QueueFullError,
    Records,
    RevisionConflictError,
)
from casemate.substrate.ports import Queue as Messages

QUEUES: Final = "sqs.queues"
DELETED: Final = "sqs.deleted"
DOOMED: Final = "sqs.doomed"

TRIES: Final = 8
PAGE: Final = 500

_encode = msgspec.json.Encoder().encode
_queue = msgspec.json.Decoder(Queue).decode
_moment = msgspec.json.Decoder(float).decode


def queue_key(ref: QueueRef) -> str:
    """Give the key of a queue's record."""
    return f"{ref.region}/{ref.name}"


def messages_of(queue: Queue) -> str:
    """Give the name of a queue's messages in the substrate."""
    return f"sqs/{queue.id}"


@contextmanager
def translated() -> Iterator[None]:
    """Turn what is full into AWS's words."""
    try:
        yield
    except QueueFullError as cause:
        raise over(f"{cause}; receive and delete some, or purge a queue") from cause
    except FullError as cause:
        raise full() from cause


class Store:
    """Queues, as kept, and their messages."""

    def __init__(self, records: Records, messages: Messages) -> None:
        self.records = records
        self.messages = messages

    def queue(self, ref: QueueRef) -> Queue | None:
        """Read a queue."""
        record = self.records.get(ref.account, QUEUES, queue_key(ref))
        return _queue(record.value) if record else None

    def queues(
        self, account: str, region: str, *, prefix: str = "", after: str = ""
    ) -> Iterator[tuple[QueueRef, Queue]]:
        """Give the queues of an account in the order of their names."""
        start = f"{region}/"
        last = start + after if after else ""
        while page := self.records.scan(
            account, QUEUES, prefix=start + prefix, after=last, limit=PAGE
        ):
            for record in page:
                name = record.key.removeprefix(start)
                ref = QueueRef(account=account, region=region, name=name)
                yield ref, _queue(record.value)
            last = page[-1].key

    async def create(self, ref: QueueRef, queue: Queue) -> bool:
        """
        Write a queue; False if there is one of its name already.

        Raises Conflict while a deleted one holds the name, Unavailable.
        """
        if self.records.get(ref.account, DELETED, queue_key(ref)) is not None:
            raise deleted_lately()
        put = Put(
            account=ref.account,
            table=QUEUES,
            key=queue_key(ref),
            value=_encode(queue),
            expected=0,
        )
        with translated():
            try:
                await self.records.commit(put)
            except RevisionConflictError:
                return False
        return True

    async def change(self, ref: QueueRef, edit: Callable[[Queue], Queue]) -> Queue:
        """Change a queue; give what it is now.  Raises NotFound, Unavailable."""
        for _ in range(TRIES):
            record = self.records.get(ref.account, QUEUES, queue_key(ref))
            if record is None:
                raise no_queue()
            queue = edit(_queue(record.value))
            put = Put(
                account=ref.account,
                table=QUEUES,
                key=record.key,
                value=_encode(queue),
                expected=record.revision,
            )
            with translated():
                try:
                    await self.records.commit(put)
                except RevisionConflictError:
                    continue
            return queue
        raise contended()

    async def delete(self, ref: QueueRef, now: float) -> None:
        """Delete a queue with its messages.  Raises NotFound."""
        account, key = ref.account, queue_key(ref)
        queue = self.queue(ref)
        if queue is None:
            raise no_queue()
        deletion = Delete(account=account, table=QUEUES, key=key)
        try:
            await self.records.commit(
                deletion,
                Put(
                    account=account,
                    table=DELETED,
                    key=key,
                    value=b"",
                    expires_at=now + RECREATE,
                ),
                Put(account=account, table=DOOMED, key=queue.id, value=_encode(now)),
            )
        except FullError:
            # Who comes to make room is not sent away for the want of it.
            await self.records.commit(deletion)
        await self.messages.forget(account, messages_of(queue), older=0)

    async def bury(self, account: str, now: float) -> int:
        """Remove what is left of queues deleted a while ago; give their count."""
        count = 0
        for record in self.records.scan(account, DOOMED, limit=PAGE):
            if _moment(record.value) + RECREATE > now:
                continue
            await self.messages.forget(account, f"sqs/{record.key}", older=0)
            await self.records.commit(
                Delete(account=account, table=DOOMED, key=record.key)
            )
            count += 1
        return count
