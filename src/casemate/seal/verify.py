"""
Verify the audit chain against its checkpoints and its witness.

(1) Each checkpoint, kept here or at the witness, is proven; one that is not
    is named and believed in nothing.
(2) The entries are walked once: positions without gaps and in order, every
    hash made again from the one before, times that do not go back.
(3) Broken links are told apart: an entry that holds at another place was
    moved; all others were altered.
(4) Every proven checkpoint is held against the walk: one that covers more than
    there is shows a cut, or a roll-back when only the witness still has it;
    one with another head shows a second history.

What is not shown: entries that were cut before any checkpoint covered them.
The verdict names the tail to which that applies.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from casemate.seal.chain import HASH_BYTES, Link, link, start
from casemate.seal.checkpoint import (
    Checkpoint,
    CheckpointError,
    Statement,
    read_checkpoint,
)
from casemate.seal.verdict import Fault, Finding, Verdict

MOST = 1000
"""Findings that are told one by one; a chain that is all noise fills no memory."""

_PUZZLE = 16
"""Broken links among which moved entries are looked for (cost: its cube)."""


def verify(
    entries: Iterable[Link],
    checkpoints: Sequence[Checkpoint],
    public_key: Ed25519PublicKey,
    witness: Sequence[Checkpoint] = (),
    *,
    instance: str,
    kept_from: int = 1,
) -> Verdict:
    """
    Judge a chain.

    entries: in the order in which they are stored.  witness: the checkpoints
    that a place out of this machine's reach has received.  kept_from: the
    first position that retention has left, as the operator knows it; a chain
    that begins later has lost entries.  Trim at checkpoints: what is kept must
    begin right after one.
    """
    told = _Told()
    # (1): what is signed is believed, nothing else
    here = _proven(checkpoints, public_key, "here", told)
    there = _proven(witness, public_key, "at the witness", told)
    # (2): order, links and times, in one pass
    walk = _Walk(told, {s.count for s in (*here, *there)}, kept_from)
    walk.begin(instance, (*here, *there))
    for entry in entries:
        walk.step(entry)
    walk.end()
    # (3): moved or altered
    _told_apart(walk.broken, told)
    # (4): cut, forked or rolled back
    _held_against(walk, here, there, told)
    return Verdict(
        count=walk.expected - 1,
        head=walk.previous or b"",
        checkpointed=max((s.count for s in here), default=0),
        witnessed=max((s.count for s in there), default=0),
        findings=tuple(told.findings),
        more=told.more,
    )


class _Told:
    """The findings so far, within bounds."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.more = 0

    def add(self, fault: Fault, first: int, last: int, says: str) -> None:
        if len(self.findings) < MOST:
            self.findings.append(
                Finding(fault=fault, first=first, last=last, says=says)
            )
        elif fault is not Fault.CLOCK_BACKWARD:
            self.more += 1


def _proven(
    checkpoints: Sequence[Checkpoint],
    key: Ed25519PublicKey,
    place: str,
    told: _Told,
) -> list[Statement]:
    """Give the statements that the key has signed, by count."""
    statements = []
    for number, checkpoint in enumerate(checkpoints, 1):
        try:
            statements.append(read_checkpoint(checkpoint, key))
        except CheckpointError as error:
            says = f"checkpoint {number} {place} does not count: {error}"
            told.add(Fault.FORGED_CHECKPOINT, 0, 0, says)
    return sorted(statements, key=lambda statement: (statement.count, statement.at))


@final
@dataclass(frozen=True, slots=True)
class _Broken:
    """An entry whose hash is not that of its content after `previous`."""

    entry: Link
    previous: bytes


@dataclass(slots=True)
class _Walk:
    """One pass over the entries."""

    told: _Told
    wanted: set[int]
    expected: int
    previous: bytes | None = None
    at: int | None = None
    heads: dict[int, bytes] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    broken: list[_Broken] = field(default_factory=list)

    def begin(self, instance: str, statements: Sequence[Statement]) -> None:
        """Find the hash before the first entry that should be there."""
        before = self.expected - 1
        if before == 0:
            self.previous = start(instance)
        for statement in statements:
            if before and statement.count == before:
                self.previous = statement.head
        if self.previous is None:
            says = f"no checkpoint ends at {before}, so the first entry kept hangs free"
            self.told.add(Fault.UNANCHORED, self.expected, self.expected, says)
        self._remember(before)

    def step(self, entry: Link) -> None:
        """Take the next entry."""
        if entry.position < self.expected:
            self.late.append(entry.position)
            return
        if entry.position > self.expected:
            self.gaps.append((self.expected, entry.position - 1))
            # The entry before is missing, so its hash is not known.
            self.previous = None
        self._check(entry)
        self.previous = entry.hash
        self.expected = entry.position + 1
        self._remember(entry.position)
        if self.at is not None and entry.at < self.at:
            says = f"the clock went back {self.at - entry.at} ms at {entry.position}"
            position = entry.position
            self.told.add(Fault.CLOCK_BACKWARD, position, position, says)
        self.at = entry.at

    def end(self) -> None:
        """Tell entries that are missing from those that stand in another place."""
        late = sorted(set(self.late))
        for first, last in self.gaps:
            found = bisect_right(late, last) - bisect_left(late, first)
            gone = last - first + 1 - found
            if gone:
                says = f"{gone} of the entries {first} to {last} are missing"
                self.told.add(Fault.REMOVED, first, last, says)
        for position in self.late:
            says = f"entry {position} stands behind later ones, or twice"
            self.told.add(Fault.REORDERED, position, position, says)

    def _check(self, entry: Link) -> None:
        if self.previous is not None and not _holds(entry, self.previous):
            self.broken.append(_Broken(entry, self.previous))

    def _remember(self, count: int) -> None:
        if count in self.wanted and self.previous is not None:
            self.heads[count] = self.previous


def _holds(entry: Link, previous: bytes, position: int | None = None) -> bool:
    place = entry.position if position is None else position
    if not -(2**63) <= entry.at < 2**63 or not 0 < place < 2**63:
        return False
    if len(previous) != HASH_BYTES:
        return False
    made = link(previous, position=place, at=entry.at, data=entry.data)
    return made == entry.hash


def _told_apart(broken: Sequence[_Broken], told: _Told) -> None:
    puzzle = broken[:_PUZZLE]
    places = {b.entry.position for b in puzzle}
    hashes = {h for b in puzzle for h in (b.previous, b.entry.hash)}
    for b in broken:
        position = b.entry.position
        moved = position in places and any(
            _holds(b.entry, previous, place)
            for place in places - {position}
            for previous in hashes
        )
        if moved:
            says = f"entry {position} was written at another position"
            told.add(Fault.REORDERED, position, position, says)
        else:
            says = f"entry {position} or the one before is not what was written"
            told.add(Fault.ALTERED, position, position, says)


def _held_against(
    walk: _Walk, here: Sequence[Statement], there: Sequence[Statement], told: _Told
) -> None:
    count = walk.expected - 1
    known_here = max((s.count for s in here), default=0)
    agreed = 0
    earlier: Statement | None = None
    for said in sorted((*here, *there), key=lambda s: (s.count, s.at)):
        if earlier is not None:
            _compared(earlier, said, told)
        earlier = said
        if said.count > count:
            _missing(said, count, known_here, told)
        elif said.count in walk.heads and walk.heads[said.count] != said.head:
            says = (
                f"the entries {agreed + 1} to {said.count} are not those that were"
                f" signed: another history was written"
            )
            told.add(Fault.FORKED, agreed + 1, said.count, says)
        else:
            agreed = said.count


def _missing(said: Statement, count: int, known_here: int, told: _Told) -> None:
    if said.count > known_here:
        fault = Fault.ROLLED_BACK
        says = f"the witness saw {said.count} entries; here are {count}, and no"
        says += " checkpoint of them: an earlier state was put back"
    else:
        fault = Fault.CUT
        says = f"{said.count} entries were signed, {count} are there: the tail was cut"
    told.add(fault, count + 1, said.count, says)


def _compared(earlier: Statement, later: Statement, told: _Told) -> None:
    if earlier.count == later.count and earlier.head != later.head:
        says = f"two different histories of {later.count} entries were signed"
        told.add(Fault.FORKED, later.count, later.count, says)
    if later.count > earlier.count and later.at < earlier.at:
        says = f"the clock went back between the checkpoints {earlier.count}"
        says += f" and {later.count}"
        told.add(Fault.CLOCK_BACKWARD, earlier.count, later.count, says)
