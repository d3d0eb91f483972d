"""
The trees that the warden keeps, by use, by account and by what they take.

What a tree takes is what the warden measured, never what was said in the cell
that made it: fifty thousand files of one byte each take 200 MB of memory.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, final

from casemate.core.share import Share

LARGEST_MB: Final = 300
"""What one tree may take, and what the warden sets aside while it is made."""
MOST: Final = 4_000
"""Trees that are kept, however small: fewer than the warden lets anybody make."""
_WORKSHOPS: Final = 4
_SHARE: Final = 0.75
"""Of the room, what one account may take, and what those that have some may take
together: the rest is for an account that has nothing yet."""
_MIB: Final = 1 << 20


@final
@dataclass(slots=True, kw_only=True)
class Tree:
    """
    A kept tree.

    files, said: what its workshop told, for those who ask.  bytes: what it takes.
    uses: cells that are being started from it now.
    """

    account: str
    files: int
    said: int
    bytes: int
    uses: int = 0


@final
class Kept:
    """The kept trees, the least recently used first."""

    def __init__(self, room_mb: int, *, most: int = MOST) -> None:
        """
        Keep trees in a room.

        room_mb: what all trees together may take, those being made included.
        most: how many there may be.
        """
        room, one = room_mb * _MIB, LARGEST_MB * _MIB
        self._limit = max(room - _WORKSHOPS * one, room // 2)
        self._bytes = _shared(self._limit, floor=0)
        self._count = _shared(most, floor=1)
        self.workshops = max(1, (room - self._limit) // one)
        """Trees that may be made at once: what they may take is never promised."""
        self._trees: OrderedDict[str, Tree] = OrderedDict()

    def __len__(self) -> int:
        """Count the trees."""
        return len(self._trees)

    @property
    def bytes(self) -> int:
        """What all of them take."""
        return sum(tree.bytes for tree in self._trees.values())

    def find(self, name: str) -> Tree | None:
        """Give a tree, which counts as a use of it."""
        tree = self._trees.get(name)
        if tree is not None:
            self._trees.move_to_end(name)
        return tree

    def add(self, name: str, tree: Tree) -> None:
        """Note a tree that is kept from now on, or still."""
        self._trees[name] = tree

    def take(self, name: str) -> Tree:
        """Forget a tree that is to be dropped."""
        return self._trees.pop(name)

    def is_over(self, account: str) -> bool:
        """Tell whether an account takes more than leaves room for others."""
        own = [tree.bytes for tree in self._trees.values() if tree.account == account]
        return sum(own) > self._bytes.one or len(own) >= self._count.one

    def leaves_room(self, account: str) -> bool:
        """
        Tell whether one more tree of an account leaves some room for others.

        What it takes is known only when it is made, so it is judged by what is
        there; an account that has nothing is judged by the whole room.
        """
        own = [tree.bytes for tree in self._trees.values() if tree.account == account]
        return self._bytes.fits(own=sum(own), together=self.bytes) and self._count.fits(
            own=len(own) + 1, together=len(self) + 1
        )

    def is_full(self) -> bool:
        """Tell whether all together take more than they may, or are too many."""
        return self.bytes > self._bytes.most or len(self) >= self._count.most

    def idle(self, account: str = "") -> Iterator[str]:
        """Give what may be dropped, of one account or of all, the oldest first."""
        for name, tree in tuple(self._trees.items()):
            if name in self._trees and not tree.uses and account in ("", tree.account):
                yield name


def _shared(most: int, *, floor: int) -> Share:
    part = int(most * _SHARE)
    return Share(most=most, one=part, kept=most - part, floor=floor)
