"""The operations on what a queue is like: attributes, permissions, tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from casemate.core.call import Admitted
from casemate.core.clock import Clock
from casemate.core.operation import operation
from casemate.services.sqs import attributes, names, policy, tagging
from casemate.services.sqs.counting import Counting
from casemate.services.sqs.directory import Directory
from casemate.services.sqs.model import Queue, QueueRef
from casemate.services.sqs.parameters import needed, text_map, texts
from casemate.services.sqs.refusals import INVALID, UNAVAILABLE
from casemate.services.sqs.store import Store, messages_of

_SEEN: Final = (INVALID, "InvalidAddress", "QueueDoesNotExist")
_CHANGED: Final = (*_SEEN, UNAVAILABLE, "AccessDeniedException")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuring:
    """What queues are like."""

    store: Store
    directory: Directory
    counting: Counting
    clock: Clock

    @operation(
        "GetQueueAttributes",
        action="sqs:GetQueueAttributes",
        resource=names.of_url,
        accepts=("QueueUrl", "AttributeNames"),
        loose=("AttributeNames",),
        mutates=False,
        errors=(*_SEEN, "InvalidAttributeName"),
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """Show attributes of a queue; none unless they are named."""
        ref = names.addressed(call.parameters, call.scope)
        queue = self.directory.present(ref)
        wanted = attributes.wanted(texts(call.parameters, "AttributeNames") or ())
        counts = None
        if attributes.wants_counts(wanted):
            counts = await self.counting.of(ref.account, messages_of(queue))
        told = attributes.shown(ref, queue, wanted, counts)
        return {"Attributes": told} if told else {}

    @operation(
        "SetQueueAttributes",
        action="sqs:SetQueueAttributes",
        resource=names.of_url,
        accepts=("QueueUrl", "Attributes"),
        loose=("Attributes",),
        mutates=True,
        errors=(*_CHANGED, "InvalidAttributeName", "InvalidAttributeValue"),
    )
    async def set_(self, call: Admitted) -> Mapping[str, object]:
        """Set attributes of a queue; the others stay as they are."""
        ref = names.own(call)
        given = text_map(call.parameters, "Attributes") or {}
        return await self._modify(
            ref,
            lambda queue: attributes.edited(ref, queue, given, self.directory.find),
        )

    @operation(
        "AddPermission",
        action="sqs:AddPermission",
        resource=names.of_url,
        accepts=("QueueUrl", "Label", "AWSAccountIds", "Actions"),
        mutates=True,
        errors=(*_CHANGED, "InvalidAttributeValue", "OverLimit"),
    )
    async def permit(self, call: Admitted) -> Mapping[str, object]:
        """Add a statement for other accounts to a queue's policy."""
        ref, label = names.own(call), needed(call.parameters, "Label")
        accounts = texts(call.parameters, "AWSAccountIds") or ()
        actions = texts(call.parameters, "Actions") or ()

        def edit(queue: Queue) -> Queue:
            document = policy.with_statement(
                queue.policy, ref, label=label, accounts=accounts, actions=actions
            )
            return replace(queue, policy=document)

        return await self._modify(ref, edit)

    @operation(
        "RemovePermission",
        action="sqs:RemovePermission",
        resource=names.of_url,
        accepts=("QueueUrl", "Label"),
        mutates=True,
        errors=_CHANGED,
    )
    async def forbid(self, call: Admitted) -> Mapping[str, object]:
        """Take a statement out of a queue's policy."""
        ref, label = names.own(call), needed(call.parameters, "Label")

        def edit(queue: Queue) -> Queue:
            document = policy.without_statement(queue.policy, ref, label)
            return replace(queue, policy=document)

        return await self._modify(ref, edit)

    @operation(
        "TagQueue",
        action="sqs:TagQueue",
        resource=names.of_url,
        context=tagging.tag_context,
        accepts=("QueueUrl", "Tags"),
        mutates=True,
        errors=_CHANGED,
    )
    async def tag(self, call: Admitted) -> Mapping[str, object]:
        """Add tags to a queue."""
        added = tagging.check(text_map(call.parameters, "Tags") or {})
        await self.store.change(
            names.own(call),
            lambda queue: replace(queue, tags=tagging.check({**queue.tags, **added})),
        )
        return {}

    @operation(
        "UntagQueue",
        action="sqs:UntagQueue",
        resource=names.of_url,
        context=tagging.untag_context,
        accepts=("QueueUrl", "TagKeys"),
        mutates=True,
        errors=_CHANGED,
    )
    async def untag(self, call: Admitted) -> Mapping[str, object]:
        """Remove tags from a queue."""
        gone = frozenset(texts(call.parameters, "TagKeys") or ())
        await self.store.change(
            names.own(call),
            lambda queue: replace(
                queue, tags={k: v for k, v in queue.tags.items() if k not in gone}
            ),
        )
        return {}

    @operation(
        "ListQueueTags",
        action="sqs:ListQueueTags",
        resource=names.of_url,
        accepts=("QueueUrl",),
        mutates=False,
        errors=(*_SEEN, "AccessDeniedException"),
    )
    async def tags(self, call: Admitted) -> Mapping[str, object]:
        """List the tags of a queue."""
        queue = self.directory.present(names.own(call))
        return {"Tags": dict(queue.tags)} if queue.tags else {}

    async def _modify(
        self, ref: QueueRef, edit: Callable[[Queue], Queue]
    ) -> Mapping[str, object]:
        now = int(self.clock.now())
        await self.store.change(ref, lambda q: replace(edit(q), modified_at=now))
        return {}
