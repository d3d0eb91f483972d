"""The power is cut under load: what was acknowledged is on the disk."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import final

from torture.clients import Clients
from torture.disk import CUTS, Disk, control, disk, missing
from torture.kills import BACKLOG, Killed, Say, finish, so_far, troubles
from torture.victim import Victim, victim


@final
@dataclass(slots=True, kw_only=True)
class Cut:
    """What a run of cuts came to.  Files: those of the control writers."""

    run: Killed
    wheres: Counter[str] = field(default_factory=Counter)
    synced_lost: int = 0
    careless_lost: Counter[str] = field(default_factory=Counter)
    files: int = 0
    """Of each kind, in all."""

    def faults(self) -> list[str]:
        """Say what broke a promise, or that the cuts cut nothing."""
        found = self.run.faults()
        if self.synced_lost:
            found.append(f"{self.synced_lost} files lost although they were synced")
        found += [
            f"no file that was not synced was lost by cuts of the {where}"
            for where in self.wheres
            if not self.careless_lost[where]
        ]
        return found


def run(cuts: int, *, seed: int, until: float, say: Say) -> Cut:
    """Cut the power so many times, or until a time of the monotonic clock."""
    chance = random.Random(seed)  # noqa: S311 — moments to cut at, not secrets
    found = Cut(run=Killed(seed=seed))
    begin = time.monotonic()
    with disk() as at, victim(at.data / "casemate") as platform:
        clients = Clients(platform, found.run.ledger)
        clients.prepare()
        with troubles(found.run, platform):
            while found.run.kills < cuts and time.monotonic() < until:
                where = CUTS[found.run.kills % len(CUTS)]
                _one(at, where, platform, clients, chance, found)
                say(f"cut {found.run.kills} of {cuts}: {so_far(found.run.ledger)}")
        found.run.seconds = time.monotonic() - begin
        with troubles(found.run, platform):
            finish(platform, clients, found.run, say)
        found.run.drained = time.monotonic() - begin - found.run.seconds
        platform.stop()
    return found


def _one(
    at: Disk,
    where: str,
    platform: Victim,
    clients: Clients,
    chance: random.Random,
    found: Cut,
) -> None:
    # Before the load: its fsync must not save what the platform did not sync.
    synced, careless = control(at, found.run.kills)
    clients.begin(events=clients.waiting() < BACKLOG)
    time.sleep(0.1 + chance.random() * 0.6)
    cut_at = time.monotonic()
    at.cut(where)
    # What is asked now must be refused; then the machine is off.
    time.sleep(chance.random() * 0.05)
    found.run.left += platform.fell("warden") > 0
    platform.extinguish()
    clients.end()
    found.run.ledger.retract(cut_at)
    at.back()
    found.run.kills += 1
    found.wheres[where] += 1
    found.files += len(synced)
    found.synced_lost += missing(synced)
    found.careless_lost[where] += missing(careless)
    platform.rise()
