"""
ReceiveMessage: what is visible now, or what comes within the wait.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from casemate.core.call import Admitted
from casemate.core.errors import Refusal
from casemate.core.operation import Parameters, operation
from casemate.services.sqs import contents, names, redrive
from casemate.services.sqs.directory import Directory
from casemate.services.sqs.model import Queue, QueueRef
from casemate.services.sqs.parameters import ranged, texts
from casemate.services.sqs.receipts import Receipts
from casemate.services.sqs.refusals import INVALID, bad_name, over
from casemate.services.sqs.sending import ATTRIBUTES, HOPS, SENDER, message_id
from casemate.services.sqs.settings import BATCH, VISIBILITY, WAIT, QueueSettings
from casemate.services.sqs.store import Store, messages_of
from casemate.services.sqs.waiting import Arrivals
from casemate.substrate.ports import ClaimRules, DeadLetters, InFlightError, Message

SOURCE: Final = "DeadLetterQueueSourceArn"
SYSTEM: Final = frozenset(
    {
        "All",
        "ApproximateFirstReceiveTimestamp",
        "ApproximateReceiveCount",
        "AWSTraceHeader",
        SOURCE,
        "MessageDeduplicationId",
        "MessageGroupId",
        SENDER,
        "SentTimestamp",
        "SequenceNumber",
    }
)
"""System attributes that can be asked for; those of FIFO queues no message has."""

_KEPT: Final = frozenset({ATTRIBUTES, HOPS})
"""What is beside a message and is no system attribute of it."""

_PASSES: Final = 50
"""Claims of one call: each takes what is old, or ten dead letters, out of the way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Receiving:
    """Gives messages out."""

    store: Store
    directory: Directory
    receipts: Receipts
    arrivals: Arrivals
    settings: QueueSettings
    given_back: set[asyncio.Future[object]] = field(default_factory=set)
    """Claims of callers who left before they had the answer."""

    @operation(
        "ReceiveMessage",
        action="sqs:ReceiveMessage",
        resource=names.of_url,
        accepts=(
            "QueueUrl",
            "AttributeNames",
            "MessageSystemAttributeNames",
            "MessageAttributeNames",
            "MaxNumberOfMessages",
            "VisibilityTimeout",
            "WaitTimeSeconds",
        ),
        # The model names attributes of queues where AWS takes those of messages.
        loose=("AttributeNames", "MessageSystemAttributeNames"),
        mutates=False,
        acts=True,
        waits=True,
        errors=(
            INVALID,
            "InvalidAddress",
            "InvalidAttributeName",
            "OverLimit",
            "QueueDoesNotExist",
        ),
    )
    async def receive(self, call: Admitted) -> Mapping[str, object]:
        """Give up to ten messages out; an empty answer is not there at all."""
        ref = names.addressed(call.parameters, call.scope)
        queue = self.directory.present(ref)
        given = call.parameters
        limit = ranged(given, "MaxNumberOfMessages", 1, BATCH)
        lease = ranged(given, "VisibilityTimeout", 0, VISIBILITY)
        wait = ranged(given, "WaitTimeSeconds", 0, WAIT)
        system, wanted = _system(given), texts(given, "MessageAttributeNames") or ()
        messages = await self._messages(
            ref,
            queue,
            limit=1 if limit is None else limit,
            lease=queue.visibility if lease is None else lease,
            wait=queue.wait if wait is None else wait,
        )
        told = [self._shown(ref, queue, m, system, wanted) for m in messages]
        return {"Messages": told} if told else {}

    async def _messages(
        self, ref: QueueRef, queue: Queue, *, limit: int, lease: int, wait: int
    ) -> Sequence[Message]:
        place = (ref.account, messages_of(queue))
        end = asyncio.get_running_loop().time() + wait
        for _ in range(_PASSES):
            if not await self.arrivals.visible(place, end):
                return ()
            try:
                if found := await self._claimed(ref, queue, limit, lease):
                    return found
            except InFlightError as cause:
                if not wait:
                    raise self._over() from cause
                # As on AWS, a long poll waits for room and is told nothing.
                await self.arrivals.pause(end)
            finally:
                self.arrivals.look(place)
        return ()

    def _over(self) -> Refusal:
        most = self.settings.in_flight
        return over(
            f"the queue has {most} messages in flight, which is the most; delete "
            "those that are done"
        )

    async def _claimed(
        self, ref: QueueRef, queue: Queue, limit: int, lease: int
    ) -> Sequence[Message]:
        claim = asyncio.ensure_future(
            self.store.messages.claim(
                ref.account,
                messages_of(queue),
                limit=limit,
                lease=lease,
                rules=self._rules(ref, queue),
            )
        )
        try:
            return await asyncio.shield(claim)
        except asyncio.CancelledError:
            self._give_back(ref, queue, claim)
            raise

    def _give_back(
        self, ref: QueueRef, queue: Queue, claim: asyncio.Future[Sequence[Message]]
    ) -> None:
        """Make visible again what was claimed for a caller who has left."""

        async def back() -> None:
            for message in await claim:
                await self.store.messages.extend(
                    ref.account, messages_of(queue), message.lease, 0
                )

        task: asyncio.Future[object] = asyncio.ensure_future(back())
        self.given_back.add(task)
        task.add_done_callback(self._given)

    def _given(self, task: asyncio.Future[object]) -> None:
        self.given_back.discard(task)
        if not task.cancelled():
            task.exception()  # What could not be given back comes when its time ends.

    def _rules(self, ref: QueueRef, queue: Queue) -> ClaimRules:
        return ClaimRules(
            keep=queue.retention,
            in_flight=self.settings.in_flight,
            dead=self._dead(ref, queue),
        )

    def _dead(self, ref: QueueRef, queue: Queue) -> DeadLetters | None:
        """Say where dead letters go; nowhere if nothing takes them in."""
        if queue.redrive is None:
            return None
        target = redrive.target_of(queue.redrive)
        there = self.directory.find(target) if target else None
        if there is None or not redrive.allows(there, ref):
            return None
        return DeadLetters(
            queue=messages_of(there),
            receives=queue.redrive.receives,
            attributes={SOURCE: ref.arn},
        )

    def _shown(
        self,
        ref: QueueRef,
        queue: Queue,
        message: Message,
        system: frozenset[str],
        wanted: Sequence[str],
    ) -> Mapping[str, object]:
        told: dict[str, object] = {
            "MessageId": message_id(message.id),
            "ReceiptHandle": self.receipts.give(ref, queue, message.lease),
            "MD5OfBody": contents.digest(message.body),
            "Body": message.body.decode(),
        }
        if attributes := _attributes(message, system):
            told["Attributes"] = attributes
        kept = message.attributes.get(ATTRIBUTES)
        if kept and (user := contents.chosen(contents.unpacked(kept), wanted)):
            told["MessageAttributes"] = {n: v.shown() for n, v in user.items()}
            told["MD5OfMessageAttributes"] = contents.digest_of(user)
        return told


def _system(parameters: Parameters) -> frozenset[str]:
    """Read which system attributes are wanted, under both of the names for it."""
    wanted = frozenset(
        (
            *(texts(parameters, "AttributeNames") or ()),
            *(texts(parameters, "MessageSystemAttributeNames") or ()),
        )
    )
    if stray := sorted(wanted - SYSTEM):
        raise bad_name(stray[0][:256])
    return wanted


def _attributes(message: Message, wanted: frozenset[str]) -> dict[str, str]:
    told = {
        "SentTimestamp": str(int(message.sent_at * 1000)),
        "ApproximateFirstReceiveTimestamp": str(int(message.first_at * 1000)),
        "ApproximateReceiveCount": str(message.receive_count),
        **{n: v for n, v in message.attributes.items() if n not in _KEPT},
    }
    if "All" in wanted:
        return told
    return {name: value for name, value in told.items() if name in wanted}
