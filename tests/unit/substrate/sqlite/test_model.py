"""The store against a model of dictionaries, restarts included."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from casemate.substrate.ports import Delete, NewEntry, Put, RevisionConflictError
from casemate.substrate.sqlite import Limits
from store_stand import ALICE, BOB, SetClock, opened

ACCOUNTS = st.sampled_from([ALICE, BOB])
KEYS = st.sampled_from(["", "a", "a/b", "a/c", "b", "é", "\U0010ffff"])
VALUES = st.binary(max_size=40)
EXPECTED = st.one_of(st.none(), st.integers(0, 4))
PLACES = st.integers(1, 9)
Name = tuple[str, str]


class StoreMachine(RuleBasedStateMachine):
    """Every answer of the store is the one that dictionaries would give."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.clock = SetClock()
        self.records: dict[Name, tuple[bytes, int, float | None]] = {}
        self.log: dict[Name, list[tuple[int, int, bytes]]] = {}
        self.last: dict[Name, int] = {}
        self.counters: dict[Name, int] = {}
        self.queues: dict[Name, list[bytes]] = {}
        self.begin()

    def begin(self) -> None:
        # Tiny bounds, so that the cache forgets all the time.
        limits = Limits(reserve_bytes=0, cache_bytes=60_000)
        self.opened = opened(self.folder, clock=self.clock, limits=limits)

    def current(self, name: Name) -> tuple[bytes, int, float | None] | None:
        found = self.records.get(name)
        if found and found[2] is not None and found[2] <= self.clock.now():
            return None
        return found

    @rule(
        account=ACCOUNTS,
        key=KEYS,
        value=VALUES,
        expected=EXPECTED,
        lives=st.one_of(st.none(), st.integers(1, 20)),
    )
    def put(
        self,
        account: str,
        key: str,
        value: bytes,
        expected: int | None,
        lives: int | None,
    ) -> None:
        expires = None if lives is None else self.clock.now() + lives
        change = Put(
            account=account,
            table="t",
            key=key,
            value=value,
            expected=expected,
            expires_at=expires,
        )
        there = self.current((account, key))
        revision = there[1] if there else 0
        try:
            given = self.runner.run(self.opened.records.commit(change))
        except RevisionConflictError:
            assert expected not in (None, revision)
            return
        assert expected in (None, revision)
        assert given == (revision + 1,)
        self.records[account, key] = (value, revision + 1, expires)

    @rule(account=ACCOUNTS, keys=st.lists(KEYS, min_size=1, max_size=3))
    def delete(self, account: str, keys: list[str]) -> None:
        changes = [Delete(account=account, table="t", key=key) for key in keys]
        self.runner.run(self.opened.records.commit(*changes))
        for key in keys:
            self.records.pop((account, key), None)

    @rule(account=ACCOUNTS, prefix=KEYS, after=KEYS, limit=st.integers(1, 5))
    def scan(self, account: str, prefix: str, after: str, limit: int) -> None:
        found = self.opened.records.scan(
            account, "t", prefix=prefix, after=after, limit=limit
        )
        there = sorted(
            key
            for owner, key in self.records
            if owner == account
            and key.startswith(prefix)
            and key > after
            and self.current((owner, key))
        )
        assert [record.key for record in found] == there[:limit]

    @rule(
        account=ACCOUNTS,
        stream=KEYS,
        entries=st.lists(st.tuples(st.integers(0, 9), VALUES), max_size=4),
        soon=st.booleans(),
    )
    def append(
        self, account: str, stream: str, entries: list[tuple[int, bytes]], soon: bool
    ) -> None:
        new = [NewEntry(at=at, kind="k", data=data) for at, data in entries]
        name = (account, stream)
        kept = self.log.setdefault(name, [])
        for at, data in entries:
            self.last[name] = self.last.get(name, 0) + 1
            kept.append((self.last[name], at, data))
        if soon:
            self.opened.log.append_soon(account, stream, new)
            return
        last = self.runner.run(self.opened.log.append(account, stream, new))
        assert last == self.last.get(name, 0)

    @rule(
        account=ACCOUNTS, stream=KEYS, after=st.integers(0, 9), limit=st.integers(1, 9)
    )
    def read(self, account: str, stream: str, after: int, limit: int) -> None:
        # An append of nothing, to have what was appended soon committed first.
        self.runner.run(self.opened.log.append(account, stream, []))
        there = self.log.get((account, stream), [])
        forward = self.opened.log.read(account, stream, after=after, limit=limit)
        told = [(entry.position, entry.at, entry.data) for entry in forward]
        assert told == [entry for entry in there if entry[0] > after][:limit]
        back = self.opened.log.read_back(account, stream, before=after, limit=limit)
        told = [(entry.position, entry.at, entry.data) for entry in back]
        assert told == [entry for entry in there if entry[0] < after][::-1][:limit]

    @rule(account=ACCOUNTS, stream=KEYS, before=st.integers(0, 10))
    def trim(self, account: str, stream: str, before: int) -> None:
        there = self.log.get((account, stream), [])
        kept = [entry for entry in there if entry[1] >= before]
        count = self.runner.run(self.opened.log.trim(account, stream, before=before))
        assert count == len(there) - len(kept)
        self.log[account, stream] = kept

    @rule(account=ACCOUNTS, stream=KEYS)
    def drop(self, account: str, stream: str) -> None:
        self.runner.run(self.opened.log.drop(account, stream))
        self.log.pop((account, stream), None)
        self.last.pop((account, stream), None)

    @rule(account=ACCOUNTS, name=KEYS, amount=st.integers(-5, 5))
    def count(self, account: str, name: str, amount: int) -> None:
        value = self.counters.get((account, name), 0) + amount
        assert self.opened.counters.add(account, name, amount) == value
        self.counters[account, name] = value

    @rule(account=ACCOUNTS, queue=KEYS, body=VALUES)
    def send(self, account: str, queue: str, body: bytes) -> None:
        self.runner.run(self.opened.queue.send(account, queue, body))
        self.queues.setdefault((account, queue), []).append(body)

    @rule(account=ACCOUNTS, queue=KEYS, limit=st.integers(1, 3))
    def work(self, account: str, queue: str, limit: int) -> None:
        there = self.queues.get((account, queue), [])
        claimed = self.runner.run(self.opened.queue.claim(account, queue, limit=limit))
        assert [message.body for message in claimed] == there[:limit]
        for message in claimed:
            done = self.opened.queue.acknowledge(account, queue, message.lease)
            assert self.runner.run(done)
        del there[:limit]

    @rule(seconds=st.integers(1, 10))
    def wait(self, seconds: int) -> None:
        self.clock.forward(seconds)

    @rule()
    def sweep(self) -> None:
        self.runner.run(self.opened.sweep())

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.opened.close())
        self.begin()

    @invariant()
    def every_record_is_the_models(self) -> None:
        for account in (ALICE, BOB):
            for key in ("", "a", "a/b", "a/c", "b", "é", "\U0010ffff"):
                found = self.opened.records.get(account, "t", key)
                told = found and (found.value, found.revision, found.expires_at)
                assert told == self.current((account, key))

    @invariant()
    def every_counter_is_the_models(self) -> None:
        for (account, name), value in self.counters.items():
            assert self.opened.counters.read(account, name) == value

    def teardown(self) -> None:
        self.runner.run(self.opened.close())
        self.runner.close()
        shutil.rmtree(self.folder)


StoreMachine.TestCase.settings = settings(
    max_examples=30, stateful_step_count=30, deadline=None
)
TestStore = StoreMachine.TestCase
