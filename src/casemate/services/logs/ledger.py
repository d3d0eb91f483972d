"""
How many bytes each group holds.

Counted in memory and written to the groups' records once a minute; a crash may
lose a minute of counting, never an event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from casemate.core.errors import Refusal
from casemate.services.logs.model import Group, GroupRef
from casemate.services.logs.store import Store
from casemate.substrate.ports import SubstrateError


class Ledger:
    """Bytes of messages by group and by account."""

    def __init__(self, store: Store, region: str) -> None:
        self._store = store
        self._region = region
        self._groups: dict[str, dict[str, int]] = {}
        self._totals: dict[str, int] = {}
        self._dirty: set[GroupRef] = set()

    def total(self, account: str) -> int:
        """Give the bytes of an account."""
        self._loaded(account)
        return self._totals[account]

    def of(self, ref: GroupRef) -> int:
        """Give the bytes of a group."""
        return self._loaded(ref.account).get(ref.name, 0)

    def add(self, ref: GroupRef, amount: int) -> None:
        """Count what was written, or (negative) what was removed."""
        groups = self._loaded(ref.account)
        before = groups.get(ref.name, 0)
        after = max(0, before + amount)
        groups[ref.name] = after
        self._totals[ref.account] += after - before
        self._dirty.add(ref)

    def forget(self, ref: GroupRef) -> None:
        """Forget a group that was deleted."""
        gone = self._loaded(ref.account).pop(ref.name, 0)
        self._totals[ref.account] -= gone
        self._dirty.discard(ref)

    async def flush(self) -> None:
        """Write what has changed.  What cannot be written now is kept for later."""
        for ref in tuple(self._dirty):
            self._dirty.discard(ref)
            try:
                await self._store.change_group(ref, _counted(self.of(ref)))
            except (Refusal, SubstrateError):
                # The group is gone, or the disk is full; the count goes on in
                # memory either way.
                if self._store.group(ref) is not None:
                    self._dirty.add(ref)

    def _loaded(self, account: str) -> dict[str, int]:
        groups = self._groups.get(account)
        if groups is None:
            groups = {
                ref.name: group.stored_bytes
                for ref, group in self._store.groups(account, self._region)
            }
            self._groups[account] = groups
            self._totals[account] = sum(groups.values())
        return groups


def _counted(amount: int) -> Callable[[Group], Group]:
    return lambda group: replace(group, stored_bytes=amount)
