"""
The laws of a cell's life.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate_warden.life import Life, Stage, WrongStage

CODE = {Stage.ASSIGNED, Stage.WORKSHOP}


@given(st.lists(st.sampled_from(Stage)))
def test_code_is_mounted_at_most_once(steps: list[Stage]) -> None:
    """S31: whatever is asked in whatever order, one edge at most mounts code."""
    life, mounted = Life(), 0
    for step in steps:
        before = life.stage
        try:
            life.enter(step)
        except WrongStage:
            assert life.stage is before
        else:
            mounted += step in CODE
            assert not (step in CODE and before is not Stage.WAITING)
    assert mounted <= 1


@given(st.lists(st.sampled_from(Stage)))
def test_no_stage_comes_back(steps: list[Stage]) -> None:
    """Life has one direction."""
    life = Life()
    seen = [life.stage]
    for step in steps:
        try:
            life.enter(step)
        except WrongStage:
            continue
        seen.append(life.stage)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize("stage", Stage)
def test_what_is_closed_stays_closed(stage: Stage) -> None:
    """No edge leaves `closed`."""
    life = Life()
    for step in (Stage.WAITING, Stage.CLOSING, Stage.CLOSED):
        life.enter(step)
    with pytest.raises(WrongStage, match="closed cannot become"):
        life.enter(stage)
