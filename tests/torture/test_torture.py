"""
O7: the short form of `make torture`.

Each part is a run of the program, in a mount and a network namespace of its own.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.platform, pytest.mark.timeout(300)]

RUN = Path(__file__).parent / "run"
SEED = "7"


def torture(part: str, count: int) -> str:
    """Run one part; give its verdict, once nothing broke."""
    done = subprocess.run(
        [
            *(str(RUN), str(Path(sys.executable).parent)),
            *("--only", part, f"--{part}", str(count), "--seed", SEED),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-4_000:]
    return done.stdout


def test_o7_killed_at_random_nothing_acknowledged_is_lost() -> None:
    """O7: ten kills of any process; lost 0, duplicates no more than was in flight."""
    assert "held: 10 kills" in torture("kills", 10)


def test_o7_a_power_cut_loses_nothing_that_was_acknowledged() -> None:
    """
    O7: the machine's power and the disk's, twice each; lost 0.

    The control writer, which does not sync, loses files by each kind of cut, and
    none that it synced: else the run fails.
    """
    assert "held: 4 power cuts" in torture("cuts", 4)


def test_recycled_cells_leave_nothing() -> None:
    """S18: no descriptor, mount, control group, namespace, file or memory of a cell."""
    assert "held: 60 cells" in torture("cells", 60)
