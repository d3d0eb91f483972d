"""Laws of a key's life, in virtual time, against what really ran."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from casemate.services.lambda_.idempotency.machine import (
    Entry,
    Verdict,
    begun,
    ended,
    judge,
)

KEEP, LEASE, MOST = 60.0, 10.0, 100
PAYLOADS = st.sampled_from(["one", "other"])


@dataclass
class Effect:
    """Something that a call did.  until: when its key may be had again."""

    payload: str
    at: float
    until: float
    over: bool = False


class KeyMachine(RuleBasedStateMachine):
    """
    One key, any calls, crashes and a clock that only this machine moves.

    The model knows the effects; the entry is all that the machine remembers.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.entry: Entry | None = None
        self.running = False
        self.effects: list[Effect] = []

    @rule(payload=PAYLOADS)
    def call(self, payload: str) -> None:
        verdict = judge(
            self.entry, payload=payload, now=self.now, is_running=self.running
        )
        last = self.effects[-1] if self.effects else None
        taken = last is not None and (self.running or last.until > self.now)
        assert (verdict is Verdict.RUN) == (not taken)
        if verdict is Verdict.RUN:
            self.entry = begun(owner="o", payload=payload, now=self.now, lease=LEASE)
            self.running = True
            self.effects.append(Effect(payload, self.now, self.now + LEASE))
            return
        assert last is not None
        assert (verdict is Verdict.MISMATCH) == (payload != last.payload)
        if verdict is not Verdict.MISMATCH:
            assert (verdict is Verdict.WAIT) == (not last.over)

    @rule(size=st.sampled_from([0, MOST, MOST + 1]))
    def end_well(self, size: int) -> None:
        if not self.running or self.entry is None:
            return
        self.entry = ended(
            self.entry, version="1", size=size, most=MOST, now=self.now, keep=KEEP
        )
        self.running = False
        self.effects[-1].over = True
        self.effects[-1].until = self.now + KEEP
        told = judge(
            self.entry,
            payload=self.effects[-1].payload,
            now=self.now,
            is_running=False,
        )
        assert told is (Verdict.ANSWER if size <= MOST else Verdict.SPENT)

    @rule()
    def fail(self) -> None:
        if self.running:
            self.entry, self.running = None, False
            self.effects[-1].until = float("-inf")

    @rule()
    def crash(self) -> None:
        """The process is gone; what was durable stays."""
        self.running = False

    @rule(seconds=st.sampled_from([0.0, 1.0, LEASE, KEEP, 3600.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from([1.0, KEEP]))
    def clock_jumps_back(self, seconds: float) -> None:
        self.now -= seconds

    @invariant()
    def an_answer_that_is_not_kept_takes_no_room(self) -> None:
        if self.entry is not None and not self.entry.is_kept:
            assert self.entry.size == 0


KeyMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
TestKey = KeyMachine.TestCase


def test_a_call_under_way_is_waited_for_whatever_the_clock_says() -> None:
    """A clock that jumps past the lease lets nobody run beside it (O7)."""
    entry = begun(owner="o", payload="p", now=0.0, lease=LEASE)
    for now in (0.0, LEASE, 1e12):
        assert Verdict.WAIT is judge(entry, payload="p", now=now, is_running=True)
    assert Verdict.WAIT is judge(entry, payload="p", now=LEASE - 1, is_running=False)
    assert Verdict.RUN is judge(entry, payload="p", now=LEASE, is_running=False)
