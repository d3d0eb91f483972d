"""Laws of records."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.substrate.ports import Delete, NewEntry, Put, RevisionConflictError
from casemate.substrate.sqlite import (
    ClosedError,
    Limits,
    NoKeyError,
    TooLargeError,
)
from casemate.substrate.sqlite.prefix import past
from store_stand import ALICE, BOB, SMALL, Keys, SetClock, opened, store_at


def put(
    key: str,
    value: bytes = b"v",
    *,
    account: str = ALICE,
    table: str = "t",
    expected: int | None = None,
    expires_at: float | None = None,
) -> Put:
    return Put(
        account=account,
        table=table,
        key=key,
        value=value,
        expected=expected,
        expires_at=expires_at,
    )


def delete(key: str, expected: int | None = None) -> Delete:
    return Delete(account=ALICE, table="t", key=key, expected=expected)


def test_a_commit_is_read_back_at_once_and_after_a_restart(tmp_path: Path) -> None:
    """What commit returned for is there, in this process and the next."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            assert store.records.get(ALICE, "t", "a") is None
            assert await store.records.commit(put("a", b"1"), put("b", b"2")) == (1, 1)
            assert await store.records.commit(put("a", b"3"), delete("b")) == (2, 0)
            before = store.records.get(ALICE, "t", "a")
            assert before is not None
            assert (before.value, before.revision) == (b"3", 2)
        async with store_at(tmp_path) as store:
            assert store.records.get(ALICE, "t", "a") == before
            assert store.records.get(ALICE, "t", "b") is None

    asyncio.run(law())


def test_a_conflict_fails_its_own_commit_only(tmp_path: Path) -> None:
    """In one group, one conflict changes nothing for the others."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            commit = store.records.commit
            results = await asyncio.gather(
                *(commit(put(f"k{n}")) for n in range(50)),
                commit(put("new"), put("k0", expected=7)),
                commit(put("k1", expected=0)),
                *(commit(put(f"l{n}", expected=0)) for n in range(50)),
                return_exceptions=True,
            )
            kinds = [type(result) for result in results]
            assert kinds.count(RevisionConflictError) == 2
            assert store.records.get(ALICE, "t", "new") is None
            assert len(store.records.scan(ALICE, "t")) == 100

    asyncio.run(law())


def test_of_many_with_the_same_expectation_one_wins(tmp_path: Path) -> None:
    """Compare-and-set holds within a group as between groups."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            race = [store.records.commit(put("a", expected=0)) for _ in range(40)]
            results = await asyncio.gather(*race, return_exceptions=True)
            assert [r for r in results if not isinstance(r, Exception)] == [(1,)]

    asyncio.run(law())


def test_changes_of_one_commit_see_each_other(tmp_path: Path) -> None:
    """A put, a checked put and a checked deletion of one key go in order."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            changes = (put("a", expected=0), put("a", b"2", expected=1))
            assert await store.records.commit(*changes) == (1, 2)
            changes3 = (delete("a", expected=2), put("a", b"3", expected=0))
            assert await store.records.commit(*changes3) == (0, 1)
            found = store.records.get(ALICE, "t", "a")
            assert found is not None
            assert found.value == b"3"

    asyncio.run(law())


def test_an_expired_record_is_not_there(tmp_path: Path) -> None:
    """It is gone for get, scan and compare-and-set alike, and swept later."""

    async def law() -> None:
        clock = SetClock()
        async with store_at(tmp_path, clock=clock) as store:
            records = store.records
            await records.commit(put("a", expires_at=clock.now() + 10), put("b"))
            assert records.get(ALICE, "t", "a") is not None
            clock.forward(10)
            assert records.get(ALICE, "t", "a") is None
            assert [r.key for r in records.scan(ALICE, "t")] == ["b"]
            assert await store.sweep() == 1
            await records.commit(put("a", expected=0, expires_at=clock.now() + 5))
            clock.forward(9)
            assert await records.commit(put("a", expected=0)) == (1,)

    asyncio.run(law())


def test_o7_a_clock_set_back_revives_nothing(tmp_path: Path) -> None:
    """O7: an hour back, what had expired stays expired."""

    async def law() -> None:
        clock = SetClock()
        async with store_at(tmp_path, clock=clock) as store:
            await store.records.commit(put("session", expires_at=clock.now() + 10))
            clock.forward(11)
            assert store.records.get(ALICE, "t", "session") is None
            clock.wall -= 3600
            assert store.records.get(ALICE, "t", "session") is None

    asyncio.run(law())


def test_a_watcher_hears_before_the_committer_goes_on(tmp_path: Path) -> None:
    """Whoever waits for a commit finds the watchers' caches up to date."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            heard: list[tuple[str, str]] = []
            store.records.watch("t", lambda account, key: heard.append((account, key)))
            await store.records.commit(put("a"), put("x", table="other"))
            assert heard == [(ALICE, "a")]
            with pytest.raises(RevisionConflictError):
                await store.records.commit(put("a", expected=9))
            assert heard == [(ALICE, "a")]

    asyncio.run(law())


def test_a_failing_watcher_is_told_and_stops_nobody(tmp_path: Path) -> None:
    """The commit stands, the other watcher hears, the loop's handler is told."""

    async def law() -> None:
        told: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: told.append(context))
        async with store_at(tmp_path) as store:
            heard: list[str] = []

            def fails(_account: str, _key: str) -> None:
                raise RuntimeError("mine")

            store.records.watch("t", fails)
            store.records.watch("t", lambda _account, key: heard.append(key))
            assert await store.records.commit(put("a")) == (1,)
            assert (heard, len(told)) == (["a"], 1)

    asyncio.run(law())


def test_accounts_are_apart(tmp_path: Path) -> None:
    """The same table and key of another account is another record."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            await store.records.commit(put("a", b"alice"))
            assert store.records.get(BOB, "t", "a") is None
            assert store.records.scan(BOB, "t") == []

    asyncio.run(law())


def test_an_account_without_a_key_is_refused(tmp_path: Path) -> None:
    """Absence refuses, before anything is written."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            with pytest.raises(NoKeyError):
                await store.records.commit(put("a"), put("a", account=Keys().unknown))
            assert store.records.get(ALICE, "t", "a") is None

    asyncio.run(law())


@pytest.mark.parametrize("key", ["a\0b", "\ud800"])
def test_a_name_that_no_file_could_hold_is_refused(tmp_path: Path, key: str) -> None:
    """Zero bytes and lone surrogates are no names."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            with pytest.raises(ValueError, match=r"zero|surrogates"):
                await store.records.commit(put(key))

    asyncio.run(law())


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    """Names and values have bounds; an expiry is a number."""

    async def law() -> None:
        limits = Limits(reserve_bytes=0, value_bytes=10)
        async with store_at(tmp_path, limits=limits) as store:
            with pytest.raises(TooLargeError):
                await store.records.commit(put("a", bytes(11)))
            with pytest.raises(TooLargeError):
                await store.records.commit(put("a" * 3000))
            with pytest.raises(ValueError, match="finite"):
                await store.records.commit(put("a", expires_at=float("nan")))
            with pytest.raises(ValueError, match="must not exist"):
                await store.records.commit(delete("a", expected=0))

    asyncio.run(law())


def test_scan_pages_in_key_order(tmp_path: Path) -> None:
    """Prefix, after and limit together walk every key once."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            keys = [
                "a",
                "a/1",
                "a/2",
                "a/\U0010ffff",
                "a0",
                "b",
                "é",
                "\ud7ff",
                "\ue000",
            ]
            await store.records.commit(*(put(key) for key in keys))

            def scanned(prefix: str, after: str = "", limit: int = 99) -> list[str]:
                found = store.records.scan(
                    ALICE, "t", prefix=prefix, after=after, limit=limit
                )
                return [record.key for record in found]

            assert scanned("") == sorted(keys)
            assert scanned("a/") == ["a/1", "a/2", "a/\U0010ffff"]
            assert scanned("a/", after="a/1", limit=1) == ["a/2"]
            assert scanned("a/", after="b") == []
            assert scanned("\ud7ff") == ["\ud7ff"]

    asyncio.run(law())


@given(prefix=st.text(max_size=3), text=st.text(max_size=5))
def test_past_is_the_end_of_a_prefix(prefix: str, text: str) -> None:
    """A text begins with the prefix if, and only if, it lies in the range."""
    end = past(prefix)

    inside = text >= prefix and (end is None or text < end)
    assert inside == text.startswith(prefix)


def test_the_cache_never_shows_an_older_record(tmp_path: Path) -> None:
    """Readers on other threads see revisions go up, never down, while it evicts."""

    async def law() -> None:
        async with store_at(tmp_path, limits=SMALL) as store:
            done = False

            def reads() -> int:
                last, count = 0, 0
                while not done:
                    for n in range(20):
                        store.records.get(ALICE, "t", f"filler{n}")
                    found = store.records.get(ALICE, "t", "a")
                    revision = found.revision if found else 0
                    assert revision >= last
                    last, count = revision, count + 1
                return count

            await store.records.commit(
                *(put(f"filler{n}", bytes(9000)) for n in range(20))
            )
            readers = [asyncio.to_thread(reads) for _ in range(2)]
            tasks = [asyncio.create_task(reader) for reader in readers]
            for n in range(1, 40):
                await store.records.commit(put("a", b"%d" % n))
                found = store.records.get(ALICE, "t", "a")
                assert found is not None
                assert found.revision == n
            done = True
            assert all([await task for task in tasks])

    asyncio.run(law())


def test_a_closed_store_refuses(tmp_path: Path) -> None:
    """After close nothing is taken, and closing twice is no error."""

    async def law() -> None:
        store = opened(tmp_path)
        pending = asyncio.create_task(store.records.commit(put("a")))
        await asyncio.sleep(0)
        await store.close()
        await store.close()
        assert await pending == (1,)
        with pytest.raises(ClosedError):
            await store.records.commit(put("a"))
        with pytest.raises(ClosedError):
            store.records.get(ALICE, "t", "other")
        with pytest.raises(ClosedError):
            store.log.append_soon(ALICE, "s", [NewEntry(at=1, kind="k", data=b"")])
        with pytest.raises(ClosedError):
            store.counters.add(ALICE, "n")
        with pytest.raises(ClosedError):
            await store.blobs.put(ALICE, b"")

    asyncio.run(law())


def test_a_cancelled_caller_disturbs_nobody(tmp_path: Path) -> None:
    """The change of a caller that gave up is made or not; the others go on."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            task = asyncio.create_task(store.records.commit(put("a")))
            other = asyncio.create_task(store.records.commit(put("b")))
            await asyncio.sleep(0)
            task.cancel()
            assert await other == (1,)
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(law())
