"""Accounts that run much leave room for the code of one that runs nothing yet."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from casemate.core.errors import Throttled
from casemate.core.function import FunctionVersion
from contract.sandbox.stage import Stage, package

pytestmark = pytest.mark.root

HANDLER = "def handler(event, context): return 'ran'"
PAD = 12 << 20
"""Bytes of a package: three fill the part that is not kept, four and all is full."""
ROOM_MB = 80
"""Of which half is set aside for trees that are being made."""


def heavy(stage: Stage, account: str) -> FunctionVersion:
    """A function of some account, with code of its own."""
    files: dict[str, str | bytes] = {"app.py": HANDLER, "pad": os.urandom(PAD)}
    return stage.function(package(files), account=account * 12)


def test_accounts_that_run_much_leave_room_for_one_that_runs_nothing(
    stage_with: Callable[..., AbstractContextManager[Stage]],
) -> None:
    """Those that have some are refused by name before the rest; a newcomer is not."""
    with stage_with(pool=2, trees_mb=ROOM_MB) as stage:
        for account in ("1", "1", "2"):
            assert stage.invoke(heavy(stage, account)).payload == b'"ran"'
        for account in ("1", "2"):
            with pytest.raises(Throttled, match="leave no room for another"):
                stage.invoke(heavy(stage, account))
        assert stage.invoke(heavy(stage, "3")).payload == b'"ran"'
        with pytest.raises(Throttled, match="leave no room for another"):
            stage.invoke(heavy(stage, "4"))
