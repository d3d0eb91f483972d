"""What verifying the audit chain has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import final


class Fault(StrEnum):
    """What can be wrong with a chain."""

    ALTERED = "altered"
    REMOVED = "removed"
    REORDERED = "reordered"
    CUT = "cut"
    FORKED = "forked"
    ROLLED_BACK = "rolled back"
    FORGED_CHECKPOINT = "forged checkpoint"
    UNANCHORED = "unanchored"
    CLOCK_BACKWARD = "clock backward"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault, over the positions `first` to `last`, told in one line."""

    fault: Fault
    first: int
    last: int
    says: str

    @property
    def breaks(self) -> bool:
        """Tell whether the record is not what was written; a clock may go back."""
        return self.fault is not Fault.CLOCK_BACKWARD


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """
    The whole judgement.

    count: the last position; head: its stored hash.  checkpointed, witnessed:
    how far proven checkpoints reach, here and at the witness (0: none).
    findings: at most `verify.MOST` of them; `more` counts the rest.
    """

    count: int
    head: bytes
    checkpointed: int
    witnessed: int
    findings: tuple[Finding, ...]
    more: int = 0

    @property
    def sound(self) -> bool:
        """
        Tell whether nothing that was witnessed has changed.

        It says nothing of `unwitnessed`: a tail that was cut before anybody
        saw it leaves no trace.
        """
        return not self.more and not any(finding.breaks for finding in self.findings)

    @property
    def unwitnessed(self) -> tuple[int, int] | None:
        """Name the tail, first and last position, that no witness has seen."""
        if self.count <= self.witnessed:
            return None
        return self.witnessed + 1, self.count

    @property
    def unsigned(self) -> tuple[int, int] | None:
        """Name the tail that no checkpoint covers."""
        seen = max(self.checkpointed, self.witnessed)
        return (seen + 1, self.count) if self.count > seen else None
