"""Once a minute: messages that have had their time, and what deletions left."""

from __future__ import annotations

from dataclasses import dataclass

from casemate.services.sqs.ports import Accounts
from casemate.services.sqs.store import Store, messages_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """Forgets what is due, queue by queue."""

    store: Store
    accounts: Accounts
    region: str

    async def expire(self, now: float) -> int:
        """Delete what is past its queue's retention; give the count."""
        count = 0
        for account in self.accounts.all():
            await self.store.bury(account, now)
            for _, queue in self.store.queues(account, self.region):
                name = messages_of(queue)
                if self.store.messages.due_in(account, name) is not None:
                    count += await self.store.messages.forget(
                        account, name, older=queue.retention
                    )
        return count
