"""docs/torture.md, written from what a run found: nothing is left out."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from torture.cuts import Cut
from torture.disk import DATA, PLATTER
from torture.kills import Killed
from torture.ledger import AT_ONCE, BATCH
from torture.recycling import ROOM, Recycled

KILLS: Final = 500
CUTS: Final = 50
CELLS: Final = 1_000
"""What a long run is meant to reach."""
PARTS: Final = ("kills", "cuts", "cells")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a run found, None for a part not run.  seconds: how long it took."""

    seed: int
    kills: Killed | None
    cuts: Cut | None
    recycled: Recycled | None
    seconds: float
    load: tuple[float, float]

    def faults(self) -> list[str]:
        """Say what broke a promise."""
        parts = (("kills", self.kills), ("cuts", self.cuts), ("cells", self.recycled))
        return [
            f"{name}: {fault}"
            for name, part in parts
            if part
            for fault in part.faults()
        ]

    def verdict(self) -> str:
        """Say it in one line."""
        runs = [part for part in (self.kills, self.cuts and self.cuts.run) if part]
        ledgers = [run.ledger for run in runs]
        said = [
            *([f"{self.kills.kills} kills"] if self.kills else []),
            *([f"{self.cuts.run.kills} power cuts"] if self.cuts else []),
            *([f"{self.recycled.cells} cells"] if self.recycled else []),
        ]
        acknowledged = sum(len(one.events) + len(one.sent) for one in ledgers)
        broken = any(run.trouble for run in runs)
        lost = sum(len(numbers) for one in ledgers for numbers in one.lost().values())
        twice = sum(sum(one.duplicates().values()) for one in ledgers)
        faults = self.faults()
        return (
            f"{'FAILED' if faults else 'held'}: {', '.join(said)}; "
            f"{acknowledged:,} acknowledged, {'?' if broken else lost} lost, "
            f"{twice} duplicates, "
            f"{len(faults)} faults"
        )


def written(found: Found) -> str:
    """Write the page, of a run of all parts."""
    if not (found.kills and found.cuts and found.recycled):
        raise ValueError("a page tells all parts")
    faults = [f"- {fault}" for fault in found.faults()] or ["None."]
    parts = [
        _head(found.verdict(), found.kills, found.cuts, found.recycled),
        f"## Faults\n\n{chr(10).join(faults)}",
        _kills(found.kills),
        _cuts(found.cuts),
        _cells(found.recycled),
        _conditions(found),
    ]
    return "\n\n".join(parts) + "\n"


def _head(verdict: str, kills: Killed, cuts: Cut, recycled: Recycled) -> str:
    meant = (
        ("kills", kills.kills, KILLS),
        ("power cuts", cuts.run.kills, CUTS),
        ("cells recycled", recycled.cells, CELLS),
    )
    rows = [
        (what, f"{count:,}", f"{goal:,}", "yes" if count >= goal else "**no**")
        for what, count, goal in meant
    ]
    return f"""# Torture

Written by `make torture`, which runs the real platform, kills it, cuts its power and \
counts; do not edit.
A short form of each part runs in `make test`.

**{verdict}**

{_table(("what", "done", "meant", "reached"), rows)}"""


def _kills(found: Killed) -> str:
    parts = ", ".join(f"{name} {count}" for name, count in sorted(found.parts.items()))
    rows = [
        ("kills", f"{found.kills}: {parts}"),
        ("of them while the platform started", str(found.early)),
        *_counted(found, found.kills),
    ]
    return f"""## Kills

`kill -9` of a process chosen at random, at a random moment, while clients send \
asynchronous events and messages, and one receives and deletes: the warden, the node, \
the keyholder, egress, the warden's guard with the warden, or all at once.
Then the platform is started again on the same folder.

An event counts as acknowledged once its 202 is heard.
Its effect is a message in a queue that holds what the function computed: one event \
in eight is for a function that sends it itself, the others' answers are told to the \
queue as their success.
It is lost if it has no effect when everything has been worked off, and is not in \
quarantine.
A message is lost if its sender heard 200 and no receiver ever got it.
What is beyond the first effect or receipt is a duplicate; at least once allows as \
many as were worked on at a kill: {AT_ONCE} events and {BATCH} messages.

{_table(("what", "counted"), rows)}

With an idempotency key the effects are to be exactly one: pending, the torture \
uses no key yet."""


def _cuts(found: Cut) -> str:
    run, lost = found.run, found.careless_lost
    rows = [
        (
            "power cuts",
            f"{run.kills}: machine {found.wheres[DATA]}, disk {found.wheres[PLATTER]}",
        ),
        *_counted(run, run.kills),
        (
            "acknowledged in the moment of a cut, and left out of the count",
            str(len(run.ledger.late)),
        ),
        ("control: files written and synced", f"{found.files}"),
        ("control: of them lost", str(found.synced_lost)),
        ("control: files written and not synced", f"{found.files}"),
        (
            "control: of them lost",
            f"{lost.total()}: by machine cuts {lost[DATA]}, disk cuts {lost[PLATTER]}",
        ),
    ]
    return f"""## Power cuts

`kill -9` loses nothing that the kernel has; a power cut does.
The data folder is on an ext4 file system in a file on another ext4 file system.
A cut shuts one of them down with the ioctl `EXT4_IOC_SHUTDOWN` and \
`EXT4_GOING_FLAGS_NOLOGFLUSH`: of the inner, and what the machine had not written is \
gone; of the outer, and so is what the inner wrote to its disk without a flush.
Then the platform is killed, both are unmounted, mounted, recovered from their \
journals, and the platform starts.

Less than a second before each cut a control writer makes files of both kinds, with \
fsync and without: that those without are lost shows that the cut cuts.
What clients hear after the cut began is left out: an fsync that is under way at that \
moment may return success for a journal that was aborted, which a machine without \
power does not.
Not shown: torn sectors, and disks that lie about a flush.

{_table(("what", "counted"), rows)}"""


def _counted(found: Killed, kills: int) -> list[tuple[str, str]]:
    ledger = found.ledger
    lost, twice = ledger.lost(), ledger.duplicates()
    refused = ", ".join(f"{code} {n}" for code, n in sorted(ledger.refused.items()))
    return [
        ("events acknowledged", f"{len(ledger.events):,}"),
        ("events lost", _number(lost.get("events"))),
        ("events in quarantine", str(len(ledger.aside))),
        (
            "effects beyond the first",
            f"{twice['effects']} of at most {kills * AT_ONCE:,}",
        ),
        ("messages acknowledged", f"{len(ledger.sent):,}"),
        ("messages lost", _number(lost.get("messages"))),
        (
            "receipts beyond the first",
            f"{twice['receipts']} of at most {kills * BATCH:,}",
        ),
        ("messages back after their deletion was acknowledged", str(len(ledger.back))),
        ("calls refused, and not counted as acknowledged", refused or "0"),
        ("kills after which cells were left to the next start", str(found.left)),
        ("the record verifies", "yes" if found.sound else "**no**"),
        (
            "seconds, and of working off at the end",
            f"{found.seconds:,.0f}, {found.drained:,.0f}",
        ),
    ]


def _number(numbers: set[int] | None) -> str:
    return f"**{len(numbers)}**" if numbers else "0"


def _cells(found: Recycled) -> str:
    rows = [
        (what, f"{before:,}", f"{found.after[what]:,}", f"{ROOM.get(what, 0):,}")
        for what, before in found.before.items()
    ]
    return f"""## Recycled cells

{found.cells:,} calls, each of which writes 1 MiB into `/tmp` and ends its cell, after \
a run-up of a fifth as many; {found.cells / found.seconds:.1f} cells a second.
What the platform holds of the host is counted before and after, each time at rest.

{_table(("what", "before", "after", "allowed more"), rows)}"""


def _conditions(found: Found) -> str:
    kernel = f"{platform.system()} {platform.release()}"
    runc = subprocess.run(
        ["runc", "--version"], capture_output=True, text=True, check=True
    ).stdout.partition("\n")[0]
    rows = [
        ("date", time.strftime("%Y-%m-%d", time.gmtime())),
        ("seed", str(found.seed)),
        ("seconds in all", f"{found.seconds:,.0f}"),
        ("cores", str(os.cpu_count())),
        ("kernel", kernel),
        ("OCI runtime", runc),
        (
            "processes that wanted to run, before and after",
            f"{found.load[0]:.1f}, {found.load[1]:.1f}",
        ),
    ]
    return f"""## Conditions

The run has a mount and a network namespace of its own.
The seed decides what is killed and when; threads and the kernel decide the rest, so a \
seed does not repeat a run.

{_table(("what", "which"), rows)}"""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
