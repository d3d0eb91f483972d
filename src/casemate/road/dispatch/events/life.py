"""
The life of one event: a pure state machine.

    waiting ──begin──> Run ──ran──> well ──────────────> Deliver on-success, or Done
       ^                │           failed, tries left ─> Again in 1 or 2 minutes
       │                │           failed, none left ──> Deliver, or Aside
       │                └──refused─> throttled, broken ─> Again in 1 s to 5 minutes
       │                ├──shut────> a share of 0 ─────> Deliver, or Aside
       │                └──gone────> Aside
       ├──begin──> too old, or too many hops ──────────> Deliver, or Aside
       └──Again (put back; `begin` goes on from there)

    Deliver ──delivered──> the next way, Done, or Aside if one has failed
            └─undelivered─> Again in 1 s to 2 minutes; after eight times that way
                            has failed, and the next is tried

Every function takes the time and gives a `Step` that says what comes next;
nothing here waits, sends or keeps.  Age is what passed between two looks,
summed up: a clock that is set back takes nothing away and adds nothing, one
that is set forward ages an event as a long stop of the platform would.

Numbers: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final, final

from casemate.core.event import HOPS, Plan

RETRY: Final = (60.0, 120.0)
"""Seconds before a function that failed runs for the second and the third time."""

BACK_OFF: Final = (1.0, 300.0)
"""Seconds between attempts that found no room: the first wait, and the longest."""

LONGEST_WAIT: Final = 300.0
"""Seconds: nothing here ever waits longer, so what does was put off by a clock."""

DELIVERIES: Final = 8
"""Times that one delivery is tried: about two minutes in all."""

KEPT_RESPONSE: Final = 65_536
"""Bytes of a failed run's answer that are kept for an event that then grows too old."""

_REASON: Final = 1_024


class Way(StrEnum):
    """Where an event goes at its end."""

    ON_SUCCESS = "OnSuccess"
    ON_FAILURE = "OnFailure"
    DEAD_LETTER = "DeadLetter"


class Condition(StrEnum):
    """Why it has ended, in AWS's words; the last is of this house."""

    SUCCESS = "Success"
    EXHAUSTED = "RetriesExhausted"
    TOO_OLD = "EventAgeExceeded"
    RECURSIVE = "RecursionStopped"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """
    What the last run said.

    status: 200 of a function that ran, or that of the refusal.  error: AWS's
    word for how it failed, or empty.  payload: None if there is none, or none
    was kept.
    """

    status: int = 200
    version: str = ""
    error: str = ""
    payload: bytes | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """
    Where an event is.

    seen_at: epoch seconds of the last look; age: seconds it had then.
    runs: times that the function ran; failures: those that failed.
    refusals: attempts in a row that found no room.  reason: of the last
    failure or refusal.  condition: set once the function's part is over; ways:
    those that are left then; tries: of the first of them; lost: the ways that
    have failed, with the reason.
    """

    seen_at: float
    age: float = 0.0
    runs: int = 0
    failures: int = 0
    refusals: int = 0
    reason: str = ""
    last: Response | None = None
    condition: Condition | None = None
    ways: tuple[Way, ...] = ()
    tries: int = 0
    lost: tuple[tuple[Way, str], ...] = ()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run the function now."""

    life: Life


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Look again at an epoch second."""

    life: Life
    at: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver:
    """Deliver now, on the first of the ways that are left."""

    life: Life
    way: Way
    target: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """Forget it: it ended well, or whoever is to know was told."""

    life: Life


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """Put it into quarantine, for somebody to decide."""

    life: Life
    reason: str


Step = Run | Again | Deliver | Done | Aside


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a step is decided by, beside the life: plan, hops, and chance in [0, 1)."""

    plan: Plan | None
    hops: int = 0
    chance: float = field(default=0.0)


def born(now: float) -> Life:
    """Begin a life."""
    return Life(seen_at=now)


def begin(life: Life, course: Course, now: float) -> Step:
    """Go on with an event that is due."""
    life = _aged(life, now)
    if course.plan is None:
        return Aside(life=life, reason="the function does not exist any more")
    if life.condition is not None:
        return _onward(life, course.plan)
    if course.hops > HOPS and not course.plan.recursive:
        stopped = f"stopped after {HOPS} hops from the first call"
        return _over(life, course.plan, Condition.RECURSIVE, stopped)
    if life.age >= course.plan.max_age:
        waited = f"the event was older than {course.plan.max_age} seconds"
        return _over(life, course.plan, Condition.TOO_OLD, life.reason or waited)
    return Run(life=life)


def ran(life: Life, course: Course, now: float, response: Response) -> Step:
    """Go on after the function ran."""
    life = replace(
        _aged(life, now), runs=life.runs + 1, refusals=0, last=response, reason=""
    )
    plan = course.plan
    if not response.error:
        if plan is None or not plan.on_success:
            return Done(life=life)
        return _onward(
            replace(life, condition=Condition.SUCCESS, ways=(Way.ON_SUCCESS,)), plan
        )
    life = replace(life, failures=life.failures + 1, reason=_told(response))
    if plan is None:
        return Aside(life=life, reason="the function does not exist any more")
    if life.failures > plan.retries:
        return _over(life, plan, Condition.EXHAUSTED, life.reason)
    wait = RETRY[min(life.failures, len(RETRY)) - 1]
    return _later(replace(life, last=_kept(response)), plan, wait)


def refused(life: Life, course: Course, now: float, status: int, reason: str) -> Step:
    """Go on after there was no room, or the platform could not."""
    first, longest = BACK_OFF
    wait = min(longest, first * 2.0 ** min(life.refusals, 16))
    life = replace(
        _aged(life, now),
        refusals=life.refusals + 1,
        reason=reason[:_REASON],
        last=life.last or Response(status=status),
    )
    if course.plan is None:
        return Aside(life=life, reason="the function does not exist any more")
    return _later(life, course.plan, max(first, wait * (0.5 + course.chance / 2)))


def shut(life: Life, course: Course, now: float, status: int, reason: str) -> Step:
    """
    Go on after a refusal that no waiting ends: nothing is reserved for the function.

    As on AWS such an event goes where failures go, without a retry:
    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    life = replace(_aged(life, now), last=life.last or Response(status=status))
    if course.plan is None:
        return Aside(life=life, reason="the function does not exist any more")
    return _over(life, course.plan, Condition.EXHAUSTED, reason[:_REASON])


def gone(life: Life, now: float, reason: str) -> Aside:
    """Go on after the function was not there."""
    return Aside(life=_aged(life, now), reason=reason[:_REASON])


def delivered(life: Life, course: Course, now: float) -> Step:
    """Go on after the first of the ways was gone."""
    life = replace(_aged(life, now), ways=life.ways[1:], tries=0)
    return _onward(life, course.plan)


def undelivered(
    life: Life, course: Course, now: float, reason: str, *, final: bool
) -> Step:
    """Go on after the first of the ways failed.  final: trying again is no use."""
    life = replace(_aged(life, now), tries=life.tries + 1)
    if not final and life.tries < DELIVERIES:
        return Again(life=life, at=now + 2.0 ** (life.tries - 1))
    return _onward(_missed(life, reason), course.plan)


def redriven(life: Life, now: float) -> Life:
    """
    Begin again what was set aside, by somebody's decision.

    Of an event whose function has had its say, the ways that failed and those
    that were left are tried; any other runs as if it were new.
    """
    ways = (*(way for way, _ in life.lost), *life.ways)
    if ways:
        return replace(life, seen_at=now, ways=ways, tries=0, lost=())
    return born(now)


def unanswered(life: Life) -> Life:
    """Forget what the last run answered, and keep how it ended."""
    return replace(life, last=replace(life.last, payload=None) if life.last else None)


def _aged(life: Life, now: float) -> Life:
    return replace(life, seen_at=now, age=life.age + max(0.0, now - life.seen_at))


def _later(life: Life, plan: Plan, wait: float) -> Again:
    """Wait, but no longer than the event may live: then it ends on time."""
    left = max(0.0, plan.max_age - life.age)
    return Again(life=life, at=life.seen_at + min(wait, left))


def _over(life: Life, plan: Plan, condition: Condition, reason: str) -> Step:
    """End the function's part badly, and find where the event may go."""
    ways = tuple(
        way for way in (Way.DEAD_LETTER, Way.ON_FAILURE) if _open(way, plan, condition)
    )
    life = replace(life, condition=condition, ways=ways, reason=reason)
    if not ways:
        return Aside(life=life, reason=f"{condition}, and nowhere to go: {reason}")
    return _onward(life, plan)


def _open(way: Way, plan: Plan, condition: Condition) -> bool:
    """Tell whether a way leads anywhere: a stopped lineage goes to no function."""
    target = target_of(way, plan)
    return bool(target) and not (
        condition is Condition.RECURSIVE and ":function:" in target
    )


def target_of(way: Way, plan: Plan) -> str:
    """Give the ARN that a way leads to now; empty if it leads nowhere."""
    return {
        Way.ON_SUCCESS: plan.on_success,
        Way.ON_FAILURE: plan.on_failure,
        Way.DEAD_LETTER: plan.dead_letter,
    }[way]


def _onward(life: Life, plan: Plan | None) -> Step:
    """Take the next way; without one it is done, or aside if any has failed."""
    while plan is not None and life.ways:
        if target := target_of(life.ways[0], plan):
            return Deliver(life=life, way=life.ways[0], target=target)
        life = _missed(life, "it is not configured any more")
    if life.lost or life.ways:
        told = "; ".join(f"{way}: {reason}" for way, reason in life.lost)
        return Aside(life=life, reason=f"not delivered: {told or 'no function'}")
    return Done(life=life)


def _missed(life: Life, reason: str) -> Life:
    lost = (*life.lost, (life.ways[0], reason[:_REASON]))
    return replace(life, ways=life.ways[1:], tries=0, lost=lost)


def _kept(response: Response) -> Response:
    if response.payload is not None and len(response.payload) > KEPT_RESPONSE:
        return replace(response, payload=None)
    return response


def _told(response: Response) -> str:
    text = (response.payload or b"")[: 4 * _REASON].decode("utf-8", "replace")
    return text[:_REASON] or response.error
