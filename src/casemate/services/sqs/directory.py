"""
Queues as the hot path needs them: read and compiled once, found by a dictionary.

An entry is dropped the moment a commit touches its record, so what is served is
never older than the last commit that was acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from casemate.core.arn import Arn
from casemate.services.sqs import names
from casemate.services.sqs.facts import ResourceFacts
from casemate.services.sqs.model import Queue, QueueRef
from casemate.services.sqs.policy import compiled
from casemate.services.sqs.refusals import no_queue
from casemate.services.sqs.store import QUEUES, Store

_ENTRIES: Final = 20_000
"""Entries kept; beyond that the one that came first goes."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A queue, and what policies see of it."""

    queue: Queue
    facts: ResourceFacts


class Directory:
    """Finds queues."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries: dict[tuple[str, str, str], Found] = {}
        store.records.watch(QUEUES, self._changed)

    def find(self, ref: QueueRef) -> Queue | None:
        """Find a queue."""
        found = self._find(ref)
        return found.queue if found else None

    def present(self, ref: QueueRef) -> Queue:
        """Give a queue that must be there.  Raises NotFound."""
        found = self._find(ref)
        if found is None:
            raise no_queue()
        return found.queue

    def resource_facts(self, arn: Arn) -> ResourceFacts | None:
        """Give the facts of the queue that an ARN names, or None."""
        ref = names.by_arn(arn)
        found = self._find(ref) if ref else None
        return found.facts if found else None

    def _find(self, ref: QueueRef) -> Found | None:
        return self._entries.get((ref.account, ref.region, ref.name)) or self._load(ref)

    def _load(self, ref: QueueRef) -> Found | None:
        queue = self._store.queue(ref)
        if queue is None:
            return None
        facts = ResourceFacts(policies=compiled(ref, queue.policy), tags=queue.tags)
        found = Found(queue=queue, facts=facts)
        if len(self._entries) >= _ENTRIES:
            self._entries.pop(next(iter(self._entries)))
        self._entries[ref.account, ref.region, ref.name] = found
        return found

    def _changed(self, account: str, key: str) -> None:
        region, _, name = key.partition("/")
        self._entries.pop((account, region, name), None)
