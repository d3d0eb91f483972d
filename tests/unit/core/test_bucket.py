"""Laws of the token bucket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from casemate.core.bucket import Bucket

STEPS = st.lists(st.tuples(st.floats(0, 10), st.floats(0, 5)), min_size=1, max_size=50)


def test_burst_then_rate() -> None:
    """All at once up to the burst, then as fast as it refills."""
    bucket = Bucket.full(2.0, 3.0, 100.0)

    assert [0.0, 0.0, 0.0, 0.5] == [bucket.take(100.0) for _ in range(4)]
    assert bucket.is_empty(100.0)
    assert 0.0 == bucket.take(100.5)
    assert bucket.is_full(200.0)


def test_a_clock_set_back_gives_nothing() -> None:
    """Time that goes back refills nothing, and takes nothing."""
    bucket = Bucket.full(1.0, 1.0, 100.0)
    bucket.take(100.0)

    assert 1.0 == bucket.take(50.0)


@given(STEPS)
def test_no_more_is_spent_than_there_was(steps: list[tuple[float, float]]) -> None:
    """Whatever is asked and when: the burst and the rate bound the sum."""
    bucket, now, spent = Bucket.full(1.0, 4.0, 0.0), 0.0, 0.0
    for wait, amount in steps:
        now += wait
        spent += amount if bucket.spend(amount, now) else 0.0

        assert 0 <= bucket.tokens <= 4.0
        assert spent <= 4.0 + now + 1e-6
