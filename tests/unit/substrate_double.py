"""
A verified stand-in for the store of records: the port's law, in memory.

`tests/unit/test_substrate_double.py` holds it to that law.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from casemate.substrate.ports import (
    Change,
    Delete,
    FullError,
    Put,
    Record,
    RevisionConflictError,
)

Place = tuple[str, str, str]


class MemoryRecords:
    """
    Documents with revisions, kept in a dictionary.

    A deleted record's revision is not reused by the next of its key: revisions
    of a key only grow, as they do in a store that can be trusted with
    compare-and-set.
    """

    def __init__(self) -> None:
        self.kept: dict[Place, Record] = {}
        self.full = False
        self._revisions: dict[Place, int] = {}
        self._watchers: list[tuple[str, Callable[[str, str], None]]] = []

    def get(self, account: str, table: str, key: str) -> Record | None:
        return self.kept.get((account, table, key))

    def scan(
        self,
        account: str,
        table: str,
        *,
        prefix: str = "",
        after: str = "",
        limit: int = 1000,
    ) -> Sequence[Record]:
        found = [
            self.kept[place]
            for place in sorted(self.kept)
            if place[:2] == (account, table)
            and place[2].startswith(prefix)
            and place[2] > after
        ]
        return found[:limit]

    async def commit(self, *changes: Change) -> Sequence[int]:
        if self.full:
            raise FullError("the disk is full")
        for change in changes:
            self._check(change)
        revisions = [self._apply(change) for change in changes]
        for change in changes:
            for table, changed in self._watchers:
                if table == change.table:
                    changed(change.account, change.key)
        return revisions

    def watch(self, table: str, changed: Callable[[str, str], None]) -> None:
        self._watchers.append((table, changed))

    def _check(self, change: Change) -> None:
        there = self.get(change.account, change.table, change.key)
        if change.expected is not None and change.expected != (
            there.revision if there else 0
        ):
            raise RevisionConflictError(f"`{change.key}` is in another revision")

    def _apply(self, change: Change) -> int:
        place = (change.account, change.table, change.key)
        if isinstance(change, Delete):
            self.kept.pop(place, None)
            return 0
        return self._put(place, change)

    def _put(self, place: Place, change: Put) -> int:
        revision = self._revisions.get(place, 0) + 1
        self._revisions[place] = revision
        self.kept[place] = Record(
            account=change.account,
            table=change.table,
            key=change.key,
            value=change.value,
            revision=revision,
            expires_at=change.expires_at,
        )
        return revision
