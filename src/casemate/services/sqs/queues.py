"""The operations on queues as a whole: make, find, list, purge, delete."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Final
from weakref import WeakValueDictionary

from casemate.core.call import Admitted
from casemate.core.clock import Clock
from casemate.core.errors import Unavailable
from casemate.core.operation import anything, operation
from casemate.services.sqs import attributes, names, tagging
from casemate.services.sqs.directory import Directory
from casemate.services.sqs.model import Queue, QueueRef
from casemate.services.sqs.paging import Paging
from casemate.services.sqs.parameters import text, text_map
from casemate.services.sqs.ports import NewId
from casemate.services.sqs.refusals import (
    INVALID,
    UNAVAILABLE,
    exists,
    over,
    purging,
)
from casemate.services.sqs.settings import PURGE, QueueSettings
from casemate.services.sqs.store import Store, messages_of

_SEEN: Final = (INVALID, "InvalidAddress")
_THERE: Final = (*_SEEN, "QueueDoesNotExist")
_CHANGED: Final = (*_THERE, UNAVAILABLE, "AccessDeniedException")


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """Queues."""

    store: Store
    directory: Directory
    listing: Paging
    sources: Paging
    clock: Clock
    new_id: NewId
    settings: QueueSettings
    _making: WeakValueDictionary[str, asyncio.Lock] = field(
        default_factory=WeakValueDictionary, init=False
    )

    @operation(
        "CreateQueue",
        action="sqs:CreateQueue",
        resource=names.of_new,
        needs=tagging.tagging_too,
        context=tagging.with_creation,
        accepts=("QueueName", "Attributes", "tags"),
        loose=("Attributes",),
        mutates=True,
        errors=(
            *_SEEN,
            UNAVAILABLE,
            "InvalidAttributeName",
            "InvalidAttributeValue",
            "OverLimit",
            "QueueDeletedRecently",
            "QueueNameExists",
        ),
    )
    async def create(self, call: Admitted) -> Mapping[str, object]:
        """Make a queue; one that is there already with these attributes is given."""
        ref = names.made(call.parameters, call.scope)
        given = text_map(call.parameters, "Attributes") or {}
        tags = tagging.check(text_map(call.parameters, "tags") or {})
        # One at a time, or those that come at once would each find the last place.
        async with self._making.setdefault(ref.account, asyncio.Lock()):
            if self.directory.find(ref) is None:
                self._room_for_one(ref)
                fresh = self._new(tags)
                queue = attributes.edited(ref, fresh, given, self.directory.find)
                await self.store.create(ref, queue)
        now = self.directory.present(ref)
        if attributes.edited(ref, now, given, self.directory.find) != now:
            raise exists()
        return {"QueueUrl": self._url(call, ref)}

    def _room_for_one(self, ref: QueueRef) -> None:
        most = self.settings.queues
        there = islice(self.store.queues(ref.account, ref.region), most)
        if sum(1 for _ in there) >= most:
            raise over(f"the account has {most} queues, which is the most")

    @operation(
        "GetQueueUrl",
        action="sqs:GetQueueUrl",
        resource=names.of_name,
        accepts=("QueueName", "QueueOwnerAWSAccountId"),
        mutates=False,
        errors=_THERE,
    )
    async def url(self, call: Admitted) -> Mapping[str, object]:
        """Give the address of a queue by its name."""
        ref = names.named(call.parameters, call.scope)
        self.directory.present(ref)
        return {"QueueUrl": self._url(call, ref)}

    @operation(
        "ListQueues",
        action="sqs:ListQueues",
        resource=anything,
        accepts=("QueueNamePrefix", "NextToken", "MaxResults"),
        mutates=False,
        paginated=True,
        errors=_SEEN,
    )
    async def list_(self, call: Admitted) -> Mapping[str, object]:
        """List the caller's queues by name."""
        scope, prefix = call.scope, text(call.parameters, "QueueNamePrefix") or ""
        query = (scope.region, prefix)
        after = self.listing.after(call, query)
        there = self.store.queues(
            scope.account, scope.region, prefix=prefix, after=after
        )
        page, token = self.listing.page(call, query, (ref for ref, _ in there))
        # AWS leaves the member out where there is none to list.
        return self._listed(call, "QueueUrls", page, token) if page else {}

    @operation(
        "ListDeadLetterSourceQueues",
        action="sqs:ListDeadLetterSourceQueues",
        resource=names.of_url,
        accepts=("QueueUrl", "NextToken", "MaxResults"),
        mutates=False,
        paginated=True,
        errors=_THERE,
    )
    async def dead_letter_sources(self, call: Admitted) -> Mapping[str, object]:
        """List the queues whose dead letters come to this one."""
        target = names.addressed(call.parameters, call.scope)
        self.directory.present(target)
        query = (target.arn,)
        after = self.sources.after(call, query)
        there = self.store.queues(target.account, target.region, after=after)
        found = (
            ref
            for ref, queue in there
            if queue.redrive is not None and queue.redrive.target == target.arn
        )
        page, token = self.sources.page(call, query, found)
        return self._listed(call, "queueUrls", page, token)

    @operation(
        "PurgeQueue",
        action="sqs:PurgeQueue",
        resource=names.of_url,
        accepts=("QueueUrl",),
        mutates=True,
        errors=(*_CHANGED, "PurgeQueueInProgress"),
    )
    async def purge(self, call: Admitted) -> Mapping[str, object]:
        """Delete all messages of a queue, those in flight too."""
        ref = names.addressed(call.parameters, call.scope)
        now = self.clock.now()

        def edit(queue: Queue) -> Queue:
            if now < queue.purged_at + PURGE:
                raise purging(ref.name)
            return replace(queue, purged_at=now)

        queue = self.directory.present(ref)
        try:
            await self.store.change(ref, edit)
        except Unavailable:
            # A full disk does not keep anybody from making room on it.
            edit(queue)
        await self.store.messages.forget(ref.account, messages_of(queue), older=0)
        return {}

    @operation(
        "DeleteQueue",
        action="sqs:DeleteQueue",
        resource=names.of_url,
        accepts=("QueueUrl",),
        mutates=True,
        errors=_CHANGED,
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        """Delete a queue with all its messages."""
        await self.store.delete(names.own(call), self.clock.now())
        return {}

    def _new(self, tags: Mapping[str, str]) -> Queue:
        now = int(self.clock.now())
        return Queue(id=self.new_id(), created_at=now, modified_at=now, tags=tags)

    def _url(self, call: Admitted, ref: QueueRef) -> str:
        return ref.url(names.base(call, self.settings.endpoint))

    def _listed(
        self, call: Admitted, member: str, page: list[QueueRef], token: str | None
    ) -> Mapping[str, object]:
        answer: dict[str, object] = {member: [self._url(call, ref) for ref in page]}
        if token is not None:
            answer["NextToken"] = token
        return answer
