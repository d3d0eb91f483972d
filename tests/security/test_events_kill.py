"""O7: killed at any moment under load, no event that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import events_victim
from casemate.road.dispatch.events.lanes import Workers

KILLS = 20


@dataclass(slots=True)
class Heard:
    """What the victims said, by event."""

    taken: dict[str, str] = field(default_factory=dict)
    ran: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    aside: Counter[str] = field(default_factory=Counter)
    still: bool = False

    def hear(self, line: str) -> None:
        match line.split():
            case ["taken", identifier, target]:
                self.taken[identifier] = target
            case ["ran", identifier]:
                self.ran[identifier] += 1
            case ["told", identifier]:
                self.told[identifier] += 1
            case ["aside", identifier]:
                self.aside[identifier] += 1
            case ["still"]:
                self.still = True
            case other:
                raise AssertionError(other)


async def victim(
    folder: Path, heard: Heard, hours: int, at_once: int, lines: int | None
) -> None:
    """Run a victim; after so many lines, kill it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        events_victim.__file__,
        *(str(folder), str(hours), str(at_once)),
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.stdout is not None
    rest = b""
    while data := await process.stdout.read(4096):
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            heard.hear(line.decode())
        if lines is not None and (lines := lines - len(whole)) <= 0:
            process.kill()
            lines = None
    await process.wait()


def test_o7_killed_at_any_moment_no_acknowledged_event_is_lost(tmp_path: Path) -> None:
    """
    O7: over 20 kills, every acknowledged event ran, and ended where it had to.

    Runs beyond one for each event are at most what was worked on at the kills.
    """
    chance, heard = random.Random(7), Heard()  # noqa: S311 — when to kill, the same each time

    async def law() -> None:
        for kill in range(KILLS):
            at_once = events_victim.LANES if kill % 4 else 0
            lines = chance.randrange(1, 1_500)
            await victim(tmp_path, heard, kill, at_once, lines)
        heard.still = False
        await victim(tmp_path, heard, KILLS, 0, None)

    asyncio.run(law())

    assert heard.still
    assert len(heard.taken) > 1_000
    lost = heard.taken.keys() - heard.ran.keys()
    assert set() == lost
    for kind, ended in (("glad", heard.told), ("sad", heard.aside)):
        meant = {i for i, target in heard.taken.items() if f":{kind}:" in target}
        assert set() == meant - ended.keys()
    again = sum(count - 1 for count in heard.ran.values())
    assert again <= KILLS * Workers().most
