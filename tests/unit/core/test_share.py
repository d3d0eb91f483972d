"""A room that is shared: nobody takes it all, and the last of it is for newcomers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from casemate.core.share import Share

SHARE = Share(most=100, one=50, kept=20, floor=2)


def test_one_takes_its_part_and_no_more() -> None:
    """Its own bound holds in an empty room."""
    assert SHARE.fits(own=50, together=50)
    assert not SHARE.fits(own=51, together=51)


def test_the_rest_is_for_those_who_have_next_to_nothing() -> None:
    """Whoever holds more stops before the rest; others go on to the end."""
    assert SHARE.fits(own=3, together=80)
    assert not SHARE.fits(own=3, together=81)
    assert SHARE.fits(own=2, together=100)
    assert not SHARE.fits(own=1, together=101)


@given(st.lists(st.integers(0, 9), max_size=300))
def test_whoever_holds_nothing_finds_room(takers: list[int]) -> None:
    """Ten who take whatever they get leave room for an eleventh."""
    held = [0] * 10
    for taker in takers:
        if SHARE.fits(own=held[taker] + 1, together=sum(held) + 1):
            held[taker] += 1

    assert SHARE.fits(own=1, together=sum(held) + 1)
