"""Laws of the states of a function."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.services.lambda_ import state
from casemate.services.lambda_.state import Life, State, TransitionError, Update

WAYS = st.lists(st.sampled_from(["updating", "settled", "broken"]), max_size=12)


def step(life: Life, way: str) -> Life:
    if way == "updating":
        return state.updating(life)
    if way == "settled":
        return state.settled(life)
    return state.broken(life, code="InternalError", reason="why")


@given(WAYS)
def test_every_walk_keeps_the_laws(ways: list[str]) -> None:
    """
    A busy function only ends, an idle one only begins; boto3's waiters see a
    state that they know; Active is never lost by a failure.
    """
    life = state.created()
    for way in ways:
        legal = life.busy is (way != "updating")
        if not legal:
            with pytest.raises(TransitionError):
                step(life, way)
            continue
        before, life = life, step(life, way)
        assert life.busy is (way == "updating")
        if way == "settled":
            assert life == Life(state=State.ACTIVE, update=Update.SUCCESSFUL)
        if way == "broken":
            assert life.update is Update.FAILED
            assert life.update_reason == "why"
            assert (life.state is State.ACTIVE) is (before.state is State.ACTIVE)
        if way == "updating":
            assert life.state is before.state


def test_a_failed_creation_says_why() -> None:
    """State and last update both are Failed, with the same reason."""
    life = state.broken(state.created(), code="InternalError", reason="why")
    assert (life.state, life.state_reason) == (State.FAILED, "why")
    assert state.settled(state.updating(life)).state is State.ACTIVE
