"""Strangers cannot fill the audit log."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from casemate.road.record.strangers import (
    ALL_BURST,
    ALL_RATE,
    BURST,
    RATE,
    Strangers,
)


def test_a_source_writes_to_its_burst_and_then_by_its_rate() -> None:
    """What is left out is counted, and told with the next that is written."""
    strangers = Strangers()
    told = [strangers.told("192.0.2.1", 1000.0) for _ in range(BURST + 7)]

    assert [0] * BURST + [None] * 7 == told
    assert 7 == strangers.told("192.0.2.1", 1000.0 + 1 / RATE)
    assert 0 == strangers.told("192.0.2.2", 1000.0)


def test_all_sources_together_have_a_bound() -> None:
    """A thousand addresses write no more than the whole allows."""
    strangers = Strangers()
    written = sum(
        strangers.told(f"source-{n}", 0.0) is not None for n in range(5 * ALL_BURST)
    )

    assert ALL_BURST == written


@given(
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.floats(min_value=0, max_value=2)), max_size=300
    )
)
def test_every_refusal_is_written_or_counted(steps: list[tuple[int, float]]) -> None:
    """Written, told as untold, or still counted: none is forgotten."""
    strangers = Strangers()
    now, written, counted = 0.0, 0, 0
    for source, step in steps:
        now += step
        untold = strangers.told(str(source), now)
        if untold is not None:
            written += 1
            counted += untold
    left = sum(source.untold for source in strangers._sources.values())

    assert len(steps) == written + counted + left
    assert written <= ALL_BURST + ALL_RATE * now + 1
