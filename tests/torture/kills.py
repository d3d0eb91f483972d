"""Every process of the platform is killed at random, under load, again and again."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, final

from torture.clients import Clients
from torture.ledger import Ledger
from torture.victim import PARTS, Victim, victim

Say = Callable[[str], None]

BACKLOG: Final = 3_000
"""Events that may wait before the clients send no more until some have run."""
BREATH: Final = 3.0
"""Seconds more that it has for working off, then."""
EARLY: Final = 5
"""One kill in so many comes while the platform starts."""
PATIENCE: Final = 400.0
"""Seconds in which all has to be worked off: two retries and a lease are 210."""


@final
@dataclass(slots=True, kw_only=True)
class Killed:
    """What a run of kills came to."""

    seed: int
    kills: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    early: int = 0
    left: int = 0
    """Kills after which the guard had left cells to the next start."""
    seconds: float = 0.0
    drained: float = 0.0
    sound: bool = False
    ledger: Ledger = field(default_factory=Ledger)
    trouble: list[str] = field(default_factory=list)

    def faults(self) -> list[str]:
        """Say what broke a promise."""
        if self.trouble:
            return self.trouble  # what was not worked off would count as lost
        found = self.ledger.faults(self.kills)
        return found if self.sound else [*found, "the record is not sound"]


def run(kills: int, *, seed: int, until: float, say: Say) -> Killed:
    """Kill so many times, or until a time of the monotonic clock; then count."""
    chance = random.Random(seed)  # noqa: S311 — whom to kill and when, not secrets
    found = Killed(seed=seed)
    begin = time.monotonic()
    with victim() as platform:
        clients = Clients(platform, found.ledger)
        clients.prepare()
        with troubles(found, platform):
            while found.kills < kills and time.monotonic() < until:
                _one(platform, clients, chance, found, kills)
                say(f"kill {found.kills} of {kills}: {so_far(found.ledger)}")
        found.seconds = time.monotonic() - begin
        with troubles(found, platform):
            finish(platform, clients, found, say)
        found.drained = time.monotonic() - begin - found.seconds
    return found


@contextmanager
def troubles(found: Killed, platform: Victim) -> Iterator[None]:
    """Put what broke the run among the faults, so that what was counted is told."""
    try:
        yield
    except (AssertionError, OSError) as error:
        said = "".join(platform.lines[-3:])
        found.trouble.append(f"the run broke off: {error!r}; last said: {said!r}")


def finish(platform: Victim, clients: Clients, found: Killed, say: Say) -> None:
    """Let everything be worked off, count it, verify the record."""
    if not clients.settle(PATIENCE, say):
        found.trouble.append(f"{clients.waiting()} events still wait")
    say("verifying the record")
    found.sound = bool(platform.client("casemate").verify_audit()["Sound"])


def _one(
    platform: Victim,
    clients: Clients,
    chance: random.Random,
    found: Killed,
    most: int,
) -> None:
    """One kill, and one more in a while during the start that follows."""
    behind = clients.waiting() >= BACKLOG
    clients.begin(events=not behind)
    time.sleep(BREATH * behind + 0.1 + chance.random() * 0.6)
    _kill(platform, chance.choice(PARTS), found)
    clients.end()
    while found.kills < most and chance.randrange(EARLY) == 0:
        platform.begin()
        time.sleep(chance.random() * 1.2)
        _kill(platform, "warden", found)
        found.early += 1
    platform.rise()


def _kill(platform: Victim, part: str, found: Killed) -> None:
    found.left += platform.fell(part) > 0
    found.kills += 1
    found.parts[part] += 1


def so_far(ledger: Ledger) -> str:
    """Say how much was acknowledged."""
    return f"{len(ledger.events)} events, {len(ledger.sent)} messages acknowledged"
