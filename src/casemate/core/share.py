"""
A room that many share, of which some is kept for those who have next to nothing.

Without such a rest, a few who each take what one may take shut everybody else out.
With it, whoever holds no more than `floor` finds room as long as there is any,
and all others stop before the rest is touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """
    How a room is shared; every number is in the room's own unit.

    most: what all together may hold.  one: what one holder may.  kept: of
    `most`, what is left to holders of no more than `floor`.
    """

    most: int
    one: int
    kept: int
    floor: int

    def fits(self, *, own: int, together: int) -> bool:
        """Say whether it may be so: what one would hold then, and all together."""
        room = self.most if own <= self.floor else self.most - self.kept
        return own <= self.one and together <= room
