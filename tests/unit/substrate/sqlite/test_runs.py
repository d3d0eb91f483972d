"""Laws of runs: many entries in one row are read, trimmed and moved on as if apart."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.seal.envelope import Envelope
from casemate.substrate.ports import DamagedError, Entry, NewEntry
from casemate.substrate.sqlite.file import connect
from casemate.substrate.sqlite.runs import RUN_BYTES, RUN_ENTRIES, Runs, numbered
from casemate.substrate.sqlite.schema import MIGRATIONS, migrate
from casemate.substrate.sqlite.vault import Vault
from store_stand import ALICE, FILE_KEY, Keys, store_at

VAULT = Vault(Keys(), Envelope(os.urandom))
RUNS = Runs(VAULT)
NEW = st.builds(
    NewEntry,
    at=st.integers(-(2**63), 2**63 - 1),
    kind=st.sampled_from(["", "line", "é"]),
    data=st.binary(max_size=64),
)


def place(entries: list[Entry]) -> list[Entry]:
    """Seal entries, and open what was made of them."""
    return [
        entry
        for row in RUNS.sealed(ALICE, "s", 7, entries)
        for entry in RUNS.opened(ALICE, "s", 7, row[1:])
    ]


@given(after=st.integers(0, 2**40), new=st.lists(NEW, min_size=1, max_size=40))
def test_entries_come_back_as_they_were(after: int, new: list[NewEntry]) -> None:
    """In their order, with their positions, whatever their times."""
    entries = numbered(after, new)
    assert place(entries) == entries


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [
        ([10], 1),
        ([10] * RUN_ENTRIES, 1),
        ([10] * (RUN_ENTRIES + 1), 2),
        ([RUN_BYTES // 2] * 2, 1),
        ([RUN_BYTES // 2] * 2 + [1], 2),
        ([RUN_BYTES * 3], 1),
        ([1, RUN_BYTES * 3, 1], 3),
    ],
)
def test_a_run_has_a_bound(sizes: list[int], rows: int) -> None:
    """A run ends at its bytes and at its count; a larger entry is a row alone."""
    entries = numbered(0, [NewEntry(at=1, kind="k", data=bytes(n)) for n in sizes])
    assert len(RUNS.sealed(ALICE, "s", 7, entries)) == rows
    assert place(entries) == entries


def test_a_run_of_another_place_does_not_open() -> None:
    """A run is sealed with its stream, positions, times and count."""
    entries = numbered(0, [NewEntry(at=n, kind="k", data=b"x") for n in range(3)])
    run = RUNS.sealed(ALICE, "s", 7, entries)[0]
    for changed in (
        run._replace(position=4),
        run._replace(at=5),
        run._replace(low=-1),
        run._replace(held=2),
        run._replace(low=None),
    ):
        with pytest.raises(DamagedError):
            RUNS.opened(ALICE, "s", 7, changed[1:])
    with pytest.raises(DamagedError):
        RUNS.opened(ALICE, "s", 8, run[1:])


def test_reading_begins_and_ends_within_runs(tmp_path: Path) -> None:
    """From any position, forward and back, with any limit."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            for size in (3, 1, 5, 2):
                new = [NewEntry(at=1, kind="k", data=b"")] * size
                await store.log.append(ALICE, "s", new)
            for edge in range(13):
                for limit in (1, 2, 4, 100):
                    on = store.log.read(ALICE, "s", after=edge, limit=limit)
                    expected = list(range(edge + 1, 12))[:limit]
                    assert [entry.position for entry in on] == expected
                    back = store.log.read_back(ALICE, "s", before=edge, limit=limit)
                    expected = list(range(1, min(edge, 12)))[::-1][:limit]
                    assert [entry.position for entry in back] == expected

    asyncio.run(law())


def test_a_stream_counts_what_a_trim_left_of_its_runs(tmp_path: Path) -> None:
    """Thinned twice and then emptied, the stream is gone from the names."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            new = [NewEntry(at=at, kind="k", data=b"x" * 50) for at in (5, 1, 9, 3)]
            await store.log.append(ALICE, "s", new)
            assert await store.log.trim(ALICE, "s", before=4) == 2
            assert await store.log.trim(ALICE, "s", before=6) == 1
            assert [e.position for e in store.log.read(ALICE, "s")] == [3]
            assert [e.position for e in store.log.read_back(ALICE, "s")] == [3]
            assert await store.log.append(ALICE, "s", new[:1]) == 5
            assert await store.log.trim(ALICE, "s", before=10) == 2
            assert store.log.streams(ALICE) == []

    asyncio.run(law())


def test_many_runs_are_thinned_over_many_turns(tmp_path: Path) -> None:
    """More runs than one turn takes, each half old."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            new = [NewEntry(at=at, kind="k", data=b"") for at in (1, 9)]
            appends = [store.log.append(ALICE, "s", new) for _ in range(350)]
            await asyncio.gather(*appends)
            assert await store.log.trim(ALICE, "s", before=5) == 350
            left = store.log.read(ALICE, "s", limit=1000)
            assert [entry.position for entry in left] == list(range(2, 701, 2))

    asyncio.run(law())


def test_entries_from_before_there_were_runs_are_read(tmp_path: Path) -> None:
    """A file of version 3 is brought forward, and its entries open."""
    path = tmp_path / "state.db"
    path.touch(0o600)
    connection = connect(path, FILE_KEY, writes=True)
    migrate(connection, 1.0, MIGRATIONS[:3])
    connection.execute("INSERT INTO streams VALUES (7, ?, 's', 2, 2, 99)", (ALICE,))
    for position in (1, 2):
        sealed = VAULT.seal(ALICE, b"old", "entry", "s", 7, position, 5, "k")
        row = (7, position, 5, "k", sealed)
        connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?, ?)", row)
    connection.close()

    async def law() -> None:
        async with store_at(tmp_path) as store:
            new = [NewEntry(at=6, kind="k", data=b"new")] * 2
            assert await store.log.append(ALICE, "s", new) == 4
            found = [(e.position, e.data) for e in store.log.read(ALICE, "s")]
            assert found == [(1, b"old"), (2, b"old"), (3, b"new"), (4, b"new")]
            assert await store.log.trim(ALICE, "s", before=6) == 2

    asyncio.run(law())
