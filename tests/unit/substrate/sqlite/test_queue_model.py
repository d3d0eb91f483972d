"""Queues against a model of lists: delays, leases, dead letters, retention."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from casemate.substrate.ports import ClaimRules, DeadLetters, InFlightError
from store_stand import ALICE, SMALL, SetClock, opened

QUEUES = ("work", "dead")
NAMES = st.sampled_from(QUEUES)
KEEP = 60.0
RECEIVES = 2
MOST = 4
RULES = {
    "work": ClaimRules(
        keep=KEEP,
        in_flight=MOST,
        dead=DeadLetters(queue="dead", receives=RECEIVES, attributes={"from": "work"}),
    ),
    # A cycle: what the dead letters give up goes back.
    "dead": ClaimRules(
        keep=KEEP,
        dead=DeadLetters(queue="work", receives=RECEIVES, attributes={"from": "dead"}),
    ),
}


@dataclass
class Told:
    """A message as the model has it."""

    id: str
    queue: str
    sent: float
    visible: float
    received: int = 0
    before: int = 0
    first: float | None = None
    lease: str | None = None
    old_leases: list[str] = field(default_factory=list)
    came_from: str = ""


class QueueMachine(RuleBasedStateMachine):
    """Every answer of a queue is the one that the model would give."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.runner = asyncio.Runner()
        self.clock = SetClock()
        self.store = opened(self.folder, clock=self.clock, limits=SMALL)
        self.there: list[Told] = []
        self.leases: list[tuple[str, str]] = []

    @property
    def now(self) -> float:
        return self.clock.now()

    def of(self, queue: str) -> list[Told]:
        return [m for m in self.there if m.queue == queue]

    def holder(self, queue: str, lease: str) -> Told | None:
        return next((m for m in self.of(queue) if m.lease == lease), None)

    @rule(queue=NAMES, delay=st.integers(0, 20))
    def send(self, queue: str, delay: int) -> None:
        sent = self.store.queue.send(ALICE, queue, b"body", delay=delay)
        name = self.runner.run(sent)
        self.there.append(Told(name, queue, self.now, self.now + delay))

    @rule(queue=NAMES, limit=st.integers(1, 3), lease=st.integers(0, 30))
    def claim(self, queue: str, limit: int, lease: int) -> None:
        rules, now = RULES[queue], self.now
        self.there = [m for m in self.there if m.queue != queue or m.sent > now - KEEP]
        flying = sum(m.visible > now and m.lease is not None for m in self.of(queue))
        claim = self.store.queue.claim(
            ALICE, queue, limit=limit, lease=lease, rules=rules
        )
        try:
            got = self.runner.run(claim)
        except InFlightError:
            assert rules.in_flight is not None
            # A count may be a second old, and then say too much.
            assert flying >= rules.in_flight or self.counted_lately
            return
        due = sorted(
            (m for m in self.of(queue) if m.visible <= now),
            key=lambda m: m.visible,
        )
        assert {m.id for m in got} <= {m.id for m in due}
        for message in got:
            told = next(m for m in due if m.id == message.id)
            assert told.received - told.before < RECEIVES
            told.received += 1
            told.first = now if told.first is None else told.first
            if told.lease:
                told.old_leases.append(told.lease)
            told.lease, told.visible = message.lease, now + lease
            self.leases.append((queue, message.lease))
            assert message.receive_count == told.received
            assert (message.sent_at, message.first_at) == (told.sent, told.first)
            assert message.attributes.get("from", "") == told.came_from
        self.moved(queue, {m.id for m in due} - {m.id for m in got})
        if not got and due and all(m.queue == queue for m in due):
            raise AssertionError("a visible message was neither given nor moved")

    counted_lately = True

    def moved(self, queue: str, candidates: set[str]) -> None:
        """Find what the claim took to the dead letters, by the counts there."""
        dead = RULES[queue].dead
        assert dead is not None
        visible, _, _ = self.store.queue.depth(ALICE, queue)
        still = [m for m in self.of(queue) if m.visible <= self.now]
        went = [
            m
            for m in sorted(still, key=lambda m: m.visible)
            if m.id in candidates and m.received - m.before >= RECEIVES
        ][: len(still) - visible]
        assert len(went) == len(still) - visible
        for told in went:
            told.queue, told.visible, told.before = dead.queue, self.now, told.received
            told.lease, told.came_from = None, queue

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), late=st.booleans())
    def acknowledge(self, data: st.DataObject, late: bool) -> None:
        queue, lease = data.draw(st.sampled_from(self.leases))
        told = self.holder(queue, lease)
        good = told is not None and (late or told.visible > self.now)
        done = self.store.queue.acknowledge(ALICE, queue, lease, late=late)
        assert self.runner.run(done) == good
        if good and told is not None:
            self.there.remove(told)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), seconds=st.integers(0, 30))
    def extend(self, data: st.DataObject, seconds: int) -> None:
        queue, lease = data.draw(st.sampled_from(self.leases))
        told = self.holder(queue, lease)
        held = self.store.queue.held(ALICE, queue, lease)
        assert (held is None) == (told is None)
        if held is not None and told is not None:
            assert held.remains == told.visible - self.now
        good = told is not None and told.visible > self.now
        done = self.store.queue.extend(ALICE, queue, lease, seconds)
        assert self.runner.run(done) == good
        if good and told is not None:
            told.visible = self.now + seconds

    @rule(queue=NAMES, older=st.integers(0, 40))
    def forget(self, queue: str, older: int) -> None:
        gone = [m for m in self.of(queue) if m.sent <= self.now - older]
        forgotten = self.store.queue.forget(ALICE, queue, older=older)
        assert self.runner.run(forgotten) == len(gone)
        self.there = [m for m in self.there if m not in gone]

    @rule(seconds=st.integers(1, 25))
    def wait(self, seconds: int) -> None:
        self.clock.forward(seconds)

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.store.close())
        self.store = opened(self.folder, clock=self.clock, limits=SMALL)

    @invariant()
    def counts_are_the_models(self) -> None:
        for queue in QUEUES:
            mine = self.of(queue)
            hidden = [m for m in mine if m.visible > self.now]
            claimed = sum(m.lease is not None for m in hidden)
            assert self.store.queue.depth(ALICE, queue) == (
                len(mine) - len(hidden),
                claimed,
                len(hidden) - claimed,
            )
            soonest = min((m.visible for m in mine), default=None)
            due = self.store.queue.due_in(ALICE, queue)
            assert due == (None if soonest is None else soonest - self.now)

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)


QueueMachine.TestCase.settings = settings(
    max_examples=40, stateful_step_count=40, deadline=None
)
TestQueue = QueueMachine.TestCase
