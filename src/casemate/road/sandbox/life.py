"""
The life of one cell, as a machine without sockets or clocks.

    booting ─> waiting ─> assigning ─> initialising ─> idle <─> busy
                  └─> working (a workshop)    (any) ─> closing ─> gone

Code is mounted once, while the cell has run nothing of a tenant, and never
again (S31).  What a cell says is taken only where it fits; anything late,
doubled or under another id is dropped and counted (R2, R3, R4).
"""

from __future__ import annotations

from enum import StrEnum

from casemate.road.sandbox.frames import Said, Word


class Stage(StrEnum):
    """Where a cell is in its life."""

    BOOTING = "booting"
    WAITING = "waiting"
    WORKING = "working"
    ASSIGNING = "assigning"
    INITIALISING = "initialising"
    IDLE = "idle"
    BUSY = "busy"
    CLOSING = "closing"
    GONE = "gone"


class WrongStageError(Exception):
    """The platform asked of a cell what its stage does not allow: a bug of ours."""


class Life:
    """One cell's stage, and the id of the invocation that it runs."""

    def __init__(self) -> None:
        self.stage = Stage.BOOTING
        self.running = ""
        self.dropped = 0

    def assign(self) -> None:
        """Bind the cell to a function; only a cell that has run nothing can be."""
        self._go(Stage.WAITING, Stage.ASSIGNING)

    def work(self) -> None:
        """Make the cell a workshop."""
        self._go(Stage.WAITING, Stage.WORKING)

    def initialise(self) -> None:
        """Start the function's module."""
        self._go(Stage.ASSIGNING, Stage.INITIALISING)

    def invoke(self, request_id: str) -> None:
        """Start an invocation."""
        self._go(Stage.IDLE, Stage.BUSY)
        self.running = request_id

    def hear(self, said: Said) -> bool:
        """Take what the cell says, or drop it; True if it counts."""
        match self.stage, said.word:
            case Stage.BOOTING, Word.WAITING:
                self.stage = Stage.WAITING
            case Stage.INITIALISING, Word.INITIALIZED:
                self.stage = Stage.IDLE
            case Stage.INITIALISING, Word.INIT_ERROR:
                self.stage = Stage.CLOSING
            case Stage.BUSY, Word.RESPONSE | Word.ERROR if said.id == self.running:
                self.stage = Stage.IDLE
                self.running = ""
            case Stage.WORKING, Word.UNPACKED | Word.UNPACK_REFUSED:
                self.stage = Stage.CLOSING
            case _:
                self.dropped += 1
                return False
        return True

    def close(self) -> bool:
        """Begin to destroy the cell; False if that has begun before."""
        if self.stage is Stage.GONE:
            return False
        self.stage = Stage.CLOSING
        self.running = ""
        return True

    def end(self) -> None:
        """Note that nothing of the cell is left."""
        self._go(Stage.CLOSING, Stage.GONE)

    def _go(self, origin: Stage, to: Stage) -> None:
        if self.stage is not origin:
            raise WrongStageError(f"{self.stage} to {to}; only from {origin}")
        self.stage = to
