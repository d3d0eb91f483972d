"""A taken node makes trees without end: it is refused, and the warden lives on."""

from __future__ import annotations

import os
import sys
import traceback
from pathlib import Path

import pytest

from casemate_warden import kernel
from casemate_warden.trees import Trees
from casemate_warden.words import Refused

pytestmark = pytest.mark.root

MOST = 40


def _make_many(folder: Path) -> None:
    """In a namespace of its own: fill the room, be refused, make room again."""
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.propagate("/", kernel.MS_SLAVE | kernel.MS_REC)
    at = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    trees = Trees(at, folder, 100_000, places=at, most=MOST)
    for number in range(MOST):
        os.close(trees.make(f"{number:064x}", f"c{number:016x}", 1_000_000_000))
        trees.keep(f"{number:064x}", closed=True)
    assert len(trees) == MOST
    with pytest.raises(Refused, match="too many trees"):
        trees.make("f" * 64, "c" + "f" * 16, 1_000_000_000)
    trees.drop("0" * 64, closed=True)
    os.close(trees.make("f" * 64, "c" + "f" * 16, 1_000_000_000))


def test_trees_have_a_number(tmp_path: Path) -> None:
    """Empty ones take no byte of the cap; their number ends all the same."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            _make_many(tmp_path)
            status = 0
        except BaseException:  # noqa: BLE001 — a fork ends here
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
