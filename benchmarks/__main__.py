"""
Measure Casemate beside what a user would use instead; write docs/performance.md.

`benchmarks/run BIN_DIR` starts this.  `--quick` measures for about a minute and
only prints, for developers.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from benchmarks import (
    casemate_server,
    cells,
    cold,
    competitors,
    events,
    processes,
    rooms,
    warm,
)
from benchmarks.conditions import conditions, load
from benchmarks.report import Findings, written

PAGE: Final = Path(__file__).parents[1] / "docs/performance.md"
BOTH: Final = processes.SERVERS | processes.CLIENT


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much of everything.  Times are seconds."""

    warm: warm.Plan
    cold_rounds: int
    rooms: float
    new_cells: float
    burst: float
    events: events.Plan


FULL: Final = Plan(
    warm=warm.Plan(rounds=7, alone=1.0, crowd=1.5, run_up=5.0),
    cold_rounds=21,
    rooms=5.0,
    new_cells=10.0,
    burst=12.0,
    events=events.Plan(rounds=5, seconds=2.0),
)
QUICK: Final = Plan(
    warm=warm.Plan(rounds=2, alone=0.4, crowd=0.6, run_up=3.0),
    cold_rounds=4,
    rooms=1.0,
    new_cells=3.0,
    burst=6.0,
    events=events.Plan(rounds=2, seconds=0.7),
)


def main() -> None:
    """Measure, say, write."""
    options = _options()
    begin = time.monotonic()
    findings = _measure(options.competitors, QUICK if options.quick else FULL)
    text = written(findings, seconds=time.monotonic() - begin)
    print(text)
    out = options.out or (None if options.quick else PAGE)
    if out:
        out.write_text(text, "utf-8")
        say(f"written to {out}")


def say(text: str) -> None:
    """Show progress."""
    print(f"benchmarks: {text}", file=sys.stderr, flush=True)


def _measure(folder: Path, plan: Plan) -> Findings:
    told = conditions(folder)
    with tempfile.TemporaryDirectory(prefix="casemate-bench-", dir="/var/tmp") as work:
        say("starting the servers")
        with (
            competitors.running(folder, Path(work)) as servers,
            casemate_server.running(pool=2, cores=processes.SERVERS) as platform,
        ):
            platform.deploy("hello", casemate_server.hello())
            hello = platform.server("hello")
            found = warm.measure([hello, *servers], plan.warm, say)
            by_room = rooms.measure(platform, "hello", plan.rooms)
    say("starting two platforms, with and without a pool")
    with (
        casemate_server.running(pool=4, cores=BOTH) as full,
        casemate_server.running(pool=0, cores=BOTH) as empty,
    ):
        starts = cold.measure(full, empty, plan.cold_rounds, say)
    with casemate_server.running(pool=4, cores=BOTH) as platform:
        generic = cells.generic_memory(platform)
        say("cells: sustained")
        rate = cells.new_cells(platform, plan.new_cells)
        say("cells: a burst")
        burst = cells.burst(platform, plan.burst)
        serving = cells.function_memory(platform)
    return Findings(
        events=events.measure(plan.events, say),
        conditions=[*told, load("after")],
        warm=found,
        rooms=by_room,
        starts=starts,
        new_cells=rate,
        burst=burst,
        generic=generic,
        serving=serving,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run", description=__doc__)
    add = parser.add_argument
    add("--competitors", type=Path, required=True, help="what benchmarks/prepare made")
    add("--quick", action="store_true", help="about a minute; only prints")
    add("--out", type=Path, help="where to write (default: docs/performance.md)")
    options = parser.parse_args()
    if not (options.competitors / ".lock").exists():
        parser.error(
            f"the competitors are not in `{options.competitors}`: "
            "run `make bench`, or benchmarks/prepare"
        )
    return options


if __name__ == "__main__":
    main()
