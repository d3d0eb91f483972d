"""
A cell's life as a pure state machine: each step once, in one direction.

    opening -> waiting -> assigned -> closing -> closed
                       -> workshop -> closing
                       -> closing

Code is mounted on the one edge that leaves `waiting`. Once a tenant's first byte is
readable in a cell, no edge leads to another mount, so code is never placed beside
code that already runs.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Stage(Enum):
    """Where a cell stands."""

    OPENING = "opening"
    WAITING = "waiting"
    ASSIGNED = "assigned"
    WORKSHOP = "workshop"
    CLOSING = "closing"
    CLOSED = "closed"


_NEXT: Final = {
    Stage.OPENING: frozenset({Stage.WAITING, Stage.CLOSING}),
    Stage.WAITING: frozenset({Stage.ASSIGNED, Stage.WORKSHOP, Stage.CLOSING}),
    Stage.ASSIGNED: frozenset({Stage.CLOSING}),
    Stage.WORKSHOP: frozenset({Stage.CLOSING}),
    Stage.CLOSING: frozenset({Stage.CLOSED}),
    Stage.CLOSED: frozenset[Stage](),
}


class WrongStage(Exception):
    """The step is not one that a cell can take from where it stands."""


class Life:
    """One cell's stage; it can only move along the drawn edges."""

    def __init__(self) -> None:
        """Begins as `opening`."""
        self._stage = Stage.OPENING

    @property
    def stage(self) -> Stage:
        """The stage that was last entered."""
        return self._stage

    def enter(self, stage: Stage) -> None:
        """Takes one edge, or raises `WrongStage` and stays."""
        if stage not in _NEXT[self._stage]:
            raise WrongStage(
                f"a cell that is {self._stage.value} cannot become {stage.value}"
            )
        self._stage = stage
