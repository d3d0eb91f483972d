"""Request ids: unique, ordered by time, and readable back."""

from __future__ import annotations

import os
import uuid

from hypothesis import given
from hypothesis import strategies as st

from casemate.core.identifier import moment, request_id


@given(now=st.floats(min_value=0, max_value=2**47 / 1000))
def test_an_id_carries_its_time(now: float) -> None:
    """The time of a request is in its id, to the millisecond."""
    made = request_id(now, os.urandom)

    assert abs(now - (moment(made) or 0)) < 0.0011
    assert 7 == uuid.UUID(made).version
    assert uuid.RFC_4122 == uuid.UUID(made).variant


@given(text=st.one_of(st.text(), st.uuids(version=4).map(str)))
def test_a_foreign_id_has_no_time(text: str) -> None:
    """What is no id of ours is no moment, and no error."""
    assert moment(text) is None


def test_ids_of_one_moment_differ() -> None:
    """Two requests of the same millisecond have two ids."""
    assert 1000 == len({request_id(1.0, os.urandom) for _ in range(1000)})
