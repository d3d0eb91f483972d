"""
Kill the platform, cut its power, recycle its cells; count what is lost.

`tests/torture/run BIN_DIR` starts this.  It exits with 1 if a promise broke.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Final

from torture import cuts, kills, page, recycling

PAGE: Final = Path(__file__).parents[2] / "docs/torture.md"


def main() -> int:
    """Run, say, write."""
    options = _options()
    say(f"seed {options.seed}")
    found = _found(options)
    if options.out:
        options.out.write_text(page.written(found), "utf-8")
        say(f"written to {options.out}")
    for fault in found.faults():
        told(fault)
    told(found.verdict())
    return 1 if found.faults() else 0


def _found(options: argparse.Namespace) -> page.Found:
    begin, load = time.monotonic(), os.getloadavg()[1]
    wanted = options.only or page.PARTS
    seconds = 60 * options.minutes
    # A power cut takes about three times as long as a kill.
    share = 0.5 if options.only else options.kills / (options.kills + 3 * options.cuts)
    killed = cut = recycled = None
    if "kills" in wanted:
        until = time.monotonic() + seconds * share
        killed = kills.run(options.kills, seed=options.seed, until=until, say=say)
    if "cuts" in wanted:
        until = time.monotonic() + seconds * (1 - share)
        cut = cuts.run(options.cuts, seed=options.seed, until=until, say=say)
    if "cells" in wanted:
        recycled = recycling.run(options.cells, say=say)
    return page.Found(
        seed=options.seed,
        kills=killed,
        cuts=cut,
        recycled=recycled,
        seconds=time.monotonic() - begin,
        load=(load, os.getloadavg()[1]),
    )


def say(text: str) -> None:
    """Show progress."""
    sys.stderr.write(f"torture: {text}\n")


def told(text: str) -> None:
    """Tell what came of it."""
    sys.stdout.write(f"torture: {text}\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/torture/run", description=__doc__)
    add = parser.add_argument
    add("--kills", type=int, default=page.KILLS)
    add("--cuts", type=int, default=page.CUTS)
    add("--cells", type=int, default=page.CELLS)
    add("--minutes", type=float, default=60.0, help="kills and cuts end by then")
    add("--only", choices=page.PARTS, help="one part, and no page")
    add("--seed", type=int, default=secrets.randbelow(1 << 32))
    add("--out", type=Path, help="where to write the page")
    add("--page", dest="out", action="store_const", const=PAGE, help=f"as {PAGE.name}")
    options = parser.parse_args()
    if min(options.kills, options.cuts, options.cells) < 1:
        parser.error("at least one kill, one cut and one cell")
    if options.only and options.out:
        parser.error("a page tells all parts: leave --only away")
    return options


if __name__ == "__main__":
    sys.exit(main())
