"""Laws of an event's life, in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from casemate.core.event import HOPS, Plan
from casemate.road.dispatch.events import life
from casemate.road.dispatch.events.life import (
    BACK_OFF,
    DELIVERIES,
    LONGEST_WAIT,
    RETRY,
    Again,
    Aside,
    Condition,
    Course,
    Deliver,
    Done,
    Life,
    Response,
    Run,
    Step,
    Way,
)

NOW: Final = 1_700_000_000.0
QUEUE: Final = "arn:aws:sqs:us-east-1:111122223333:q"
FUNCTION: Final = "arn:aws:lambda:us-east-1:111122223333:function:g"
ERROR: Final = Response(error="Unhandled", payload=b'{"errorMessage":"no"}')
WELL: Final = Response(payload=b"{}")
BARE: Final = Plan(role_arn="arn:aws:iam::111122223333:role/r", role_id="AROA")


def course(chance: float = 0.0, hops: int = 0, **plan: object) -> Course:
    return Course(plan=replace(BARE, **plan), hops=hops, chance=chance)  # type: ignore[arg-type]


def due(step: Step) -> tuple[Life, float]:
    assert isinstance(step, Again)
    return step.life, step.at


def test_an_event_that_succeeds_is_done() -> None:
    """Nothing more happens, and nobody is told who did not ask."""
    step = life.begin(life.born(NOW), course(), NOW)
    assert isinstance(step, Run)
    assert isinstance(life.ran(step.life, course(), NOW + 1, WELL), Done)


def test_a_function_that_fails_runs_again_after_one_and_two_minutes() -> None:
    """Three runs by default, and then it is over."""
    now, one = NOW, life.born(NOW)
    for wait in RETRY:
        one, at = due(life.ran(one, course(), now, ERROR))
        assert at == now + wait
        now = at
        assert isinstance(life.begin(one, course(), now), Run)
    step = life.ran(one, course(), now, ERROR)
    assert isinstance(step, Aside)
    assert (step.life.condition, step.life.runs) == (Condition.EXHAUSTED, 3)
    assert "nowhere to go" in step.reason


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_attempts_are_those_that_were_asked_for(retries: int) -> None:
    """One run, and as many more as the plan allows."""
    plan, one, now = course(retries=retries), life.born(NOW), NOW
    for _ in range(retries):
        one, now = due(life.ran(one, plan, now, ERROR))
    step = life.ran(one, plan, now, ERROR)
    assert isinstance(step, Aside)
    assert step.life.runs == retries + 1


@given(st.floats(0, 1, exclude_max=True))
def test_what_finds_no_room_backs_off_until_it_is_too_old(chance: float) -> None:
    """From a second to five minutes apart; the last look is at the very age."""
    plan, one, now = course(chance), life.born(NOW), NOW
    waits: list[float] = []
    while isinstance(step := life.begin(one, plan, now), Run):
        one, at = due(life.refused(step.life, plan, now, 429, "no room"))
        waits.append(at - now)
        now = at
    assert isinstance(step, Aside)
    assert step.life.condition is Condition.TOO_OLD
    assert now - NOW == pytest.approx(21_600, abs=1e-3)
    assert step.life.runs == 0
    first, longest = 1, 300
    assert (first, longest) == BACK_OFF
    assert longest == LONGEST_WAIT
    assert waits[0] == first
    assert all(wait <= longest for wait in waits)
    assert all(first <= wait for wait in waits[:-1])
    assert max(waits) >= longest / 2


def test_a_run_begins_the_back_off_anew() -> None:
    """Throttles in a row are counted, not those of the whole life."""
    plan, one = course(), life.born(NOW)
    for _ in range(5):
        one, _ = due(life.refused(one, plan, NOW, 429, "no room"))
    one, _ = due(life.ran(one, plan, NOW, ERROR))
    _, at = due(life.refused(one, plan, NOW, 429, "no room"))
    assert at == NOW + BACK_OFF[0]


@pytest.mark.parametrize("age", [60, 3_600, 21_600])
def test_an_event_of_its_age_does_not_run(age: int) -> None:
    """At the age it has ended; a moment before, it runs."""
    plan = course(max_age=age)
    assert isinstance(life.begin(life.born(NOW), plan, NOW + age - 0.001), Run)
    step = life.begin(life.born(NOW), plan, NOW + age)
    assert isinstance(step, Aside)
    assert step.life.condition is Condition.TOO_OLD


def test_a_retry_that_would_come_too_late_ends_on_time() -> None:
    """A minute's wait is cut where the event's age ends."""
    plan = course(max_age=60)
    step = life.begin(life.born(NOW), plan, NOW + 10)
    assert isinstance(step, Run)
    one, at = due(life.ran(step.life, plan, NOW + 10, ERROR))
    assert at == NOW + 60
    assert isinstance(life.begin(one, plan, at), Aside)


def test_failure_goes_to_the_dead_letters_and_to_the_destination() -> None:
    """Both may be set, and both are told."""
    plan = course(retries=0, on_failure=FUNCTION, dead_letter=QUEUE)
    step = life.ran(life.born(NOW), plan, NOW, ERROR)
    assert isinstance(step, Deliver)
    assert (step.way, step.target) == (Way.DEAD_LETTER, QUEUE)
    step = life.delivered(step.life, plan, NOW)
    assert isinstance(step, Deliver)
    assert (step.way, step.target) == (Way.ON_FAILURE, FUNCTION)
    assert isinstance(life.delivered(step.life, plan, NOW), Done)


def test_success_goes_to_its_own_destination_alone() -> None:
    plan = course(on_success=QUEUE, on_failure=FUNCTION, dead_letter=QUEUE)
    step = life.ran(life.born(NOW), plan, NOW, WELL)
    assert isinstance(step, Deliver)
    assert (step.way, step.life.condition) == (Way.ON_SUCCESS, Condition.SUCCESS)
    assert isinstance(life.delivered(step.life, plan, NOW), Done)


def test_a_delivery_that_fails_is_tried_a_bounded_time() -> None:
    """Eight times, 1 to 64 seconds apart; then it is aside, with its reason."""
    plan, now = course(on_success=QUEUE), NOW
    step = life.ran(life.born(NOW), plan, NOW, WELL)
    for tried in range(DELIVERIES - 1):
        one, at = due(life.undelivered(step.life, plan, now, "gone", final=False))
        assert at - now == 2.0**tried
        now = at
        step = life.begin(one, plan, now)
        assert isinstance(step, Deliver)
    step = life.undelivered(step.life, plan, now, "gone", final=False)
    assert isinstance(step, Aside)
    assert step.reason == "not delivered: OnSuccess: gone"


def test_one_lost_delivery_does_not_keep_the_other() -> None:
    """The destination is told although the dead letters are not; then it is aside."""
    plan = course(retries=0, on_failure=FUNCTION, dead_letter=QUEUE)
    step = life.ran(life.born(NOW), plan, NOW, ERROR)
    step = life.undelivered(step.life, plan, NOW, "too long", final=True)
    assert isinstance(step, Deliver)
    assert step.way is Way.ON_FAILURE
    step = life.delivered(step.life, plan, NOW)
    assert isinstance(step, Aside)
    assert step.life.lost == ((Way.DEAD_LETTER, "too long"),)


def test_a_destination_taken_away_is_not_forgotten() -> None:
    """Who waits for it is set aside, not dropped."""
    plan = course(on_success=QUEUE)
    step = life.ran(life.born(NOW), plan, NOW, WELL)
    one, at = due(life.undelivered(step.life, plan, NOW, "busy", final=False))
    step = life.begin(one, course(), at)
    assert isinstance(step, Aside)
    assert "not configured any more" in step.reason


def test_a_function_that_is_gone_leaves_its_events_aside() -> None:
    """Whether it is gone before, during or after a run."""
    gone = Course(plan=None)
    assert isinstance(life.begin(life.born(NOW), gone, NOW), Aside)
    assert isinstance(life.gone(life.born(NOW), NOW, "Function not found"), Aside)
    assert isinstance(life.ran(life.born(NOW), gone, NOW, ERROR), Aside)
    assert isinstance(life.refused(life.born(NOW), gone, NOW, 429, "no"), Aside)
    assert isinstance(life.ran(life.born(NOW), gone, NOW, WELL), Done)


def test_a_lineage_is_stopped_after_sixteen_hops() -> None:
    """The sixteenth runs, the next does not, and no function is told of it."""
    plan = course(hops=HOPS, on_failure=FUNCTION)
    assert isinstance(life.begin(life.born(NOW), plan, NOW), Run)
    step = life.begin(life.born(NOW), replace(plan, hops=HOPS + 1), NOW)
    assert isinstance(step, Aside)
    assert step.life.condition is Condition.RECURSIVE
    allowed = course(hops=HOPS + 1, recursive=True)
    assert isinstance(life.begin(life.born(NOW), allowed, NOW), Run)
    queued = course(hops=HOPS + 1, on_failure=FUNCTION, dead_letter=QUEUE)
    step = life.begin(life.born(NOW), queued, NOW)
    assert isinstance(step, Deliver)
    assert step.way is Way.DEAD_LETTER
    assert isinstance(life.delivered(step.life, queued, NOW), Done)


def test_a_redrive_begins_anew_or_delivers_what_was_lost() -> None:
    """What failed runs again as if it were new; what was lost is only delivered."""
    step = life.ran(life.born(NOW), course(retries=0), NOW, ERROR)
    again = life.redriven(step.life, NOW + 1e6)
    assert again == life.born(NOW + 1e6)
    plan = course(on_success=QUEUE)
    step = life.ran(life.born(NOW), plan, NOW, WELL)
    step = life.undelivered(step.life, plan, NOW, "gone", final=True)
    step = life.begin(life.redriven(step.life, NOW + 1e6), plan, NOW + 1e6)
    assert isinstance(step, Deliver)
    assert step.life.runs == 1


def test_a_redrive_of_what_was_left_to_deliver_does_not_run_it() -> None:
    """Set aside before its delivery had failed for good, it is delivered."""
    plan = course(on_success=QUEUE)
    step = life.ran(life.born(NOW), plan, NOW, WELL)
    step = life.undelivered(step.life, plan, NOW, "denied", final=False)
    step = life.begin(life.redriven(step.life, NOW + 1e6), plan, NOW + 1e6)
    assert isinstance(step, Deliver)
    assert (step.way, step.life.tries) == (Way.ON_SUCCESS, 0)


def test_a_share_of_nothing_ends_an_event_at_once() -> None:
    """It is aside if it has nowhere to go, as any failure is."""
    step = life.shut(life.born(NOW), course(), NOW, 429, "nothing is reserved")
    assert isinstance(step, Aside)
    assert (step.life.condition, step.life.runs) == (Condition.EXHAUSTED, 0)
    step = life.shut(life.born(NOW), course(dead_letter=QUEUE), NOW, 429, "no")
    assert isinstance(step, Deliver)
    gone = Course(plan=None)
    assert isinstance(life.shut(life.born(NOW), gone, NOW, 429, "no"), Aside)


@dataclass
class Entry:
    """An event in the machine: its life as kept, when it is due, what it met."""

    kept: Life
    due_at: float
    plan: Plan
    born_at: float
    hops: int
    real_age: float = 0.0
    attempts: list[float] = field(default_factory=list)
    delivered: list[Way] = field(default_factory=list)


class Lives(RuleBasedStateMachine):
    """
    Thousands of events against a queue that is a list, and a clock that jumps.

    What the machine says is held to a model of its own: how long an event may
    wait, how often it may run, and that it is in exactly one place.
    """

    @initialize()
    def begin(self) -> None:
        self.wall = NOW
        self.true = 0.0
        self.waiting: dict[int, Entry] = {}
        self.aside: dict[int, Entry] = {}
        self.ended: dict[int, Entry] = {}
        self.accepted = 0

    @rule(
        count=st.integers(1, 40),
        retries=st.integers(0, 2),
        max_age=st.sampled_from([60, 61, 600, 21_600]),
        ways=st.tuples(*[st.sampled_from(["", QUEUE, FUNCTION])] * 2),
        dead=st.booleans(),
        hops=st.sampled_from([0, HOPS, HOPS + 1]),
    )
    def accept(
        self,
        count: int,
        retries: int,
        max_age: int,
        ways: tuple[str, str],
        dead: bool,
        hops: int,
    ) -> None:
        plan = replace(
            BARE,
            retries=retries,
            max_age=max_age,
            on_success=ways[0],
            on_failure=ways[1],
            dead_letter=QUEUE if dead else "",
        )
        for _ in range(count):
            self.waiting[self.accepted] = Entry(
                kept=life.born(self.wall),
                due_at=self.wall,
                plan=plan,
                born_at=self.wall,
                hops=hops,
            )
            self.accepted += 1

    @rule(seconds=st.floats(0, 400))
    def pass_time(self, seconds: float) -> None:
        self.wall += seconds
        self.true += seconds

    @rule(seconds=st.floats(-1e7, 1e7))
    def restart_with_a_clock_that_jumped(self, seconds: float) -> None:
        """The queue is read again, and nothing is later than it could be."""
        self.wall += seconds
        for entry in self.waiting.values():
            entry.due_at = min(entry.due_at, self.wall + LONGEST_WAIT)

    @precondition(lambda self: self.waiting)
    @rule(
        answers=st.lists(
            st.sampled_from(["well", "error", "throttled", "gone", "crash"]), min_size=1
        ),
        deliveries=st.lists(st.sampled_from(["well", "busy", "final"]), min_size=1),
        took=st.floats(0, 900),
        chance=st.floats(0, 1, exclude_max=True),
    )
    def work(
        self, answers: list[str], deliveries: list[str], took: float, chance: float
    ) -> None:
        ready = [n for n, e in self.waiting.items() if e.due_at <= self.wall]
        started = self.wall
        for turn, number in enumerate(ready):
            self.wall = started
            self.step(
                number,
                answers[turn % len(answers)],
                deliveries[turn % len(deliveries)],
                took,
                chance,
            )
        self.wall = started + took

    def step(
        self, number: int, answer: str, delivery: str, took: float, chance: float
    ) -> None:
        entry = self.waiting[number]
        way = Course(plan=entry.plan, hops=entry.hops, chance=chance)
        step = life.begin(entry.kept, way, self.wall)
        if isinstance(step, Run):
            assert entry.hops <= HOPS
            assert step.life.age < entry.plan.max_age
            entry.attempts.append(self.wall)
            self.wall += took
            if answer == "crash":
                return  # the lease ends: the queue still has what it had
            step = self.answered(step, way, answer)
        if isinstance(step, Deliver):
            step = self.sent(entry, step, way, delivery)
        self.settle(number, entry, step)

    def answered(self, step: Run, way: Course, answer: str) -> Step:
        before = step.life
        if answer == "gone":
            return life.gone(before, self.wall, "gone")
        if answer == "throttled":
            after = life.refused(before, way, self.wall, 429, "no room")
            assert isinstance(after, Again)
            assert after.life.runs == before.runs
            return after
        return life.ran(before, way, self.wall, WELL if answer == "well" else ERROR)

    def sent(self, entry: Entry, step: Step, way: Course, delivery: str) -> Step:
        while isinstance(step, Deliver):
            if delivery == "well":
                entry.delivered.append(step.way)
                step = life.delivered(step.life, way, self.wall)
            else:
                step = life.undelivered(
                    step.life, way, self.wall, delivery, final=delivery == "final"
                )
        return step

    def settle(self, number: int, entry: Entry, step: Step) -> None:
        if isinstance(step, Again):
            wait = step.at - self.wall
            assert 0 <= wait <= LONGEST_WAIT
            left = entry.plan.max_age - step.life.age
            if step.life.condition is None:
                assert step.at <= self.wall + max(0.0, left) + 1e-6
                self.check_wait(entry, step, wait, left)
            entry.kept, entry.due_at = step.life, step.at
            return
        del self.waiting[number]
        if isinstance(step, Aside):
            assert step.reason
            entry.kept = step.life
            self.aside[number] = entry
        else:
            assert isinstance(step, Done)
            assert not step.life.lost
            self.ended[number] = entry
        assert step.life.failures <= entry.plan.retries + 1

    @staticmethod
    def check_wait(entry: Entry, step: Again, wait: float, left: float) -> None:
        """Hold the wait to the rule that it came from."""
        if step.life.refusals:
            bound = min(BACK_OFF[1], BACK_OFF[0] * 2.0 ** (step.life.refusals - 1))
            low = max(BACK_OFF[0], bound / 2)
            assert min(low, max(left, 0.0)) - 1e-6 <= wait <= bound + 1e-6
        else:
            assert step.life.failures <= entry.plan.retries
            wanted = RETRY[step.life.failures - 1]
            assert abs(wait - min(wanted, max(left, 0.0))) < 1e-6

    @precondition(lambda self: self.aside)
    @rule()
    def redrive_all(self) -> None:
        for number, entry in self.aside.items():
            entry.kept = life.redriven(entry.kept, self.wall)
            entry.due_at = entry.born_at = self.wall
            self.waiting[number] = entry
        self.aside.clear()

    @invariant()
    def every_event_is_in_one_place(self) -> None:
        if not hasattr(self, "accepted"):
            return
        places = (self.waiting, self.aside, self.ended)
        assert sum(map(len, places)) == self.accepted
        assert len(set().union(*places)) == self.accepted

    @invariant()
    def nothing_ages_by_a_clock_set_back(self) -> None:
        for entry in getattr(self, "waiting", {}).values():
            assert entry.kept.age >= 0

    def teardown(self) -> None:
        """Whatever happened, every event ends in bounded time once all is well."""
        if not hasattr(self, "accepted"):
            return
        for _ in range(200):
            if not self.waiting:
                break
            self.wall = max(self.wall, min(e.due_at for e in self.waiting.values()))
            for number in list(self.waiting):
                if self.waiting[number].due_at <= self.wall:
                    self.step(number, "error", "well", 0.0, 0.0)
        assert not self.waiting


def test_every_life_keeps_the_laws() -> None:
    """Thousands of events, every timestamp, with crashes and clocks that jump."""
    run_state_machine_as_test(
        Lives,
        settings=settings(max_examples=80, stateful_step_count=40, deadline=None),
    )
