"""A signature is taken once, where the operator wants it so."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from casemate.core.errors import Throttled, Unauthenticated, Unavailable
from casemate.core.share import Share
from casemate.road.authn.replay import AHEAD, Replays
from casemate.road.authn.sigv4 import SKEW, Claims, Dialect
from unit.services.calls import ACCOUNT

START = 1_700_000_000.0
NOW = START + 100
OTHER = "222222222222"


def claims(signature: int, *, at: float = NOW, expires: int | None = None) -> Claims:
    return Claims(
        access_key_id="AKIAAAAAAAAAAAAAAAAA",
        date="20231114",
        region="us-east-1",
        service="lambda",
        signed_headers=("host",),
        signature=f"{signature:032x}{0:032x}",
        stamp=datetime.fromtimestamp(at, tz=UTC).strftime("%Y%m%dT%H%M%SZ"),
        at=int(at),
        token=None,
        expires=expires,
    )


def take(
    replays: Replays, what: Claims, now: float = NOW, account: str = ACCOUNT
) -> None:
    replays.take(what, account, now, Dialect.JSON)


def test_a4_a_signature_is_taken_once() -> None:
    """Its second coming is refused, for its account to see and a client to retry."""
    replays = Replays(since=START)
    take(replays, claims(1))
    take(replays, claims(2))
    with pytest.raises(Throttled) as caught:
        take(replays, claims(1))

    assert (429, 1) == (caught.value.http_status, caught.value.retry_after)
    assert "accepted already" in caught.value.reason
    assert {"fault": "replayed", "provenAccount": ACCOUNT} == caught.value.evidence


def test_a_signature_is_remembered_as_long_as_it_would_work() -> None:
    """To the last second of its time; then it is forgotten, all of it."""
    replays = Replays(since=START)
    take(replays, claims(1))
    with pytest.raises(Throttled):
        take(replays, claims(1), NOW + SKEW)
    assert 1 == len(replays)
    take(replays, claims(2, at=NOW + SKEW + 1), NOW + SKEW + 1)

    assert 1 == len(replays)


def test_a_presigned_call_is_remembered_for_its_own_time() -> None:
    """Its end is in the signature, and it may not be long."""
    replays = Replays(since=START)
    take(replays, claims(1, expires=60))
    with pytest.raises(Throttled, match="accepted already"):
        take(replays, claims(1, expires=60), NOW + 60)
    take(replays, claims(2, expires=SKEW))
    with pytest.raises(Unauthenticated, match="may be good for"):
        take(replays, claims(3, expires=SKEW + 1))


def test_a_call_may_be_dated_a_little_ahead() -> None:
    """Or a restart would have to forbid five minutes instead of five seconds."""
    replays = Replays(since=START)
    take(replays, claims(1, at=NOW + AHEAD))
    with pytest.raises(Unauthenticated, match="not yet current"):
        take(replays, claims(2, at=NOW + AHEAD + 1))


def test_a_restart_opens_no_window() -> None:
    """Whatever the node before may have taken is not taken by the next one."""
    before, stopped = Replays(since=START), START + 100
    captured = [claims(n + 99, at=stopped + n) for n in range(-50, AHEAD + 1)]
    for one in captured:
        take(before, one, stopped)
    after = Replays(since=stopped)
    for one in captured:
        with pytest.raises(Unavailable, match="sign it again") as caught:
            take(after, one, stopped + 50)
        assert ACCOUNT == caught.value.evidence["provenAccount"]

    opens = stopped + after.opens_in(stopped)
    take(after, claims(1, at=int(opens)), opens)
    assert 0 == after.opens_in(opens)


def test_a_clock_set_back_opens_no_window() -> None:
    """What was forgotten is not taken again when its time seems to come back."""
    replays = Replays(since=START)
    take(replays, claims(1))
    take(replays, claims(2, at=NOW + 400), NOW + 400)
    with pytest.raises(Unauthenticated):
        take(replays, claims(1), NOW)


def test_a_full_room_refuses_and_forgets_nothing() -> None:
    """An account at its bound is told so; another goes on; time makes room."""
    replays = Replays(since=START, room=Share(most=8, one=4, kept=2, floor=1))
    for n in range(4):
        take(replays, claims(n))
    with pytest.raises(Throttled) as caught:
        take(replays, claims(4))
    assert "TooManyRequestsException" == caught.value.code
    assert "replays full" == caught.value.evidence["fault"]
    with pytest.raises(Throttled, match="accepted already"):
        take(replays, claims(0))

    take(replays, claims(5), account=OTHER)
    later = NOW + SKEW + 1
    take(replays, claims(4, at=later), later)
    assert 1 == len(replays)


def test_accounts_together_leave_room_for_another() -> None:
    """However many take all they can, one that has nothing yet gets in."""
    replays = Replays(since=START, room=Share(most=8, one=4, kept=2, floor=1))
    for n in range(8):
        try:
            take(replays, claims(n), account=("a", "b")[n % 2])
        except Throttled:
            continue

    take(replays, claims(9), account="c")


def test_the_same_time_in_two_forms_is_two_signatures() -> None:
    """Nothing but the signature counts; what differs in it differs."""
    replays = Replays(since=START)
    take(replays, claims(1, expires=SKEW))
    take(replays, dataclasses.replace(claims(2), expires=SKEW))

    assert 2 == len(replays)
