"""
What becomes of a call with a key: pure, the clock handed in.

    (nothing) ──begun──> in progress ──ended──> done
        ^                  │    │                 │
        └─────failed───────┘    └──lease over─────┴──expired──> (nothing)

An entry stands for one key.  In progress it holds a lease: the longest that its
call can run.  While the process that took it lives, it is in progress whatever
the clock says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import final


class Verdict(StrEnum):
    """What a call with a key is to do."""

    RUN = "run"
    WAIT = "wait"
    ANSWER = "answer"
    SPENT = "spent"
    MISMATCH = "mismatch"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """
    What is known of a key.

    owner: the id of the call that runs or ran.  payload: a digest of what was
    compared.  until: epoch seconds of the lease's end, or of the answer's.
    version: what ran; empty while it runs.  size: bytes of the answer.  is_kept:
    whether the answer is; one that is too large is not.
    """

    owner: str
    payload: str
    until: float
    version: str = ""
    size: int = 0
    is_kept: bool = False

    @property
    def is_done(self) -> bool:
        """Tell whether the call has ended well."""
        return bool(self.version)


def judge(
    entry: Entry | None, *, payload: str, now: float, is_running: bool
) -> Verdict:
    """
    Say what a call is to do.

    is_running: the entry's call is under way in this process.
    """
    if entry is None or (entry.until <= now and not is_running):
        return Verdict.RUN
    if entry.payload != payload:
        return Verdict.MISMATCH
    if not entry.is_done:
        return Verdict.WAIT
    return Verdict.ANSWER if entry.is_kept else Verdict.SPENT


def begun(*, owner: str, payload: str, now: float, lease: float) -> Entry:
    """Begin.  lease: seconds."""
    return Entry(owner=owner, payload=payload, until=now + lease)


def ended(
    entry: Entry, *, version: str, size: int, most: int, now: float, keep: float
) -> Entry:
    """
    End well.

    most: bytes of an answer that is kept.  keep: seconds for which the key is
    taken.
    """
    return replace(
        entry,
        until=now + keep,
        version=version,
        size=size if size <= most else 0,
        is_kept=size <= most,
    )
