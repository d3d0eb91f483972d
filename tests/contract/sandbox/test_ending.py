"""Cells end once, and whoever waits for the end waits for all of it."""

from __future__ import annotations

import asyncio
from typing import Any

import warden_harness
from casemate.core.clock import SystemClock
from casemate.road.sandbox.pool import Pool
from casemate.road.sandbox.settings import Settings
from casemate.road.sandbox.warden import Warden


def test_a_cell_that_ended_by_itself_is_waited_for(images: list[Any]) -> None:
    """A workshop may be gone before its maker comes to end it; it is closed once."""
    with warden_harness.running(images) as running:
        counts = asyncio.run(_end_twice(Warden(running.node)))
    assert counts == {"closed": 1, "close_failures": 0, "closing": 0}


async def _end_twice(warden: Warden) -> dict[str, object]:
    warden.start()
    settings = Settings(region="us-east-1", runtimes=("python3.11",), pool=0)
    pool = Pool(warden, settings, SystemClock())
    cell = await pool.open_workshop("python3.11")
    pool.destroy(cell)
    await pool.finish(cell)
    facts = pool.facts()
    await pool.close()
    warden.stop()
    return {name: facts[name] for name in ("closed", "close_failures", "closing")}
