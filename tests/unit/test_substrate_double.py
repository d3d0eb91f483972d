"""The stand-in and the real store of records keep the same law."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.substrate.ports import (
    Change,
    Delete,
    Put,
    Records,
    RevisionConflictError,
)
from store_stand import SMALL, store_at
from unit.substrate_double import MemoryRecords

KEYS = ("a", "ab", "b")
ACCOUNTS = ("111111111111", "222222222222")

puts = st.builds(
    Put,
    account=st.sampled_from(ACCOUNTS),
    table=st.just("t"),
    key=st.sampled_from(KEYS),
    value=st.binary(max_size=3),
    expected=st.sampled_from((None, 0, 1, 2)),
)
deletes = st.builds(
    Delete,
    account=st.sampled_from(ACCOUNTS),
    table=st.just("t"),
    key=st.sampled_from(KEYS),
    expected=st.sampled_from((None, 1, 2)),
)


def distinct(changes: Sequence[Change]) -> bool:
    places = [(c.account, c.key) for c in changes]
    return len(set(places)) == len(places)


commits = st.lists(
    st.lists(puts | deletes, min_size=1, max_size=3).filter(distinct), max_size=12
)


async def told(records: Records, history: list[list[Change]]) -> list[object]:
    """Run a history and tell all that can be seen of it."""
    seen: list[object] = []
    records.watch("t", lambda account, key: seen.append((account, key)))
    for changes in history:
        try:
            seen.append(len(await records.commit(*changes)))
        except RevisionConflictError:
            seen.append("conflict")
        for account in ACCOUNTS:
            for prefix in ("", "a", "ab"):
                rows = records.scan(account, "t", prefix=prefix, after="a", limit=2)
                seen.append([(r.key, r.value) for r in rows])
            for key in KEYS:
                record = records.get(account, "t", key)
                seen.append(record.value if record else None)
    return seen


@settings(max_examples=25, deadline=None)
@given(commits)
def test_the_stand_in_does_what_the_store_does(history: list[list[Change]]) -> None:
    """Same answers, same conflicts, same watchers' words, whatever the history."""

    async def both() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with store_at(Path(folder), limits=SMALL) as store:
                real = await told(store.records, history)
        assert await told(MemoryRecords(), history) == real

    asyncio.run(both())
