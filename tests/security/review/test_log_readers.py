"""What one reader of logs can make the node do before others have their turn."""

from __future__ import annotations

import asyncio
from pathlib import Path

from casemate.services.logs.settings import LogSettings
from unit.services.logs_world import GROUP, NOW, World, run

HEAVY = "x" * 200_000
SMALL = LogSettings(scanned_bytes=1_000_000)


def test_a_reader_of_heavy_events_looks_at_bounded_bytes(tmp_path: Path) -> None:
    """Events that are passed over cost as much as those shown: both count (Q7)."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s")
        for _ in range(8):
            await w.put("s", *[(NOW, HEAVY)] * 5)
        asked = {
            "logGroupName": GROUP,
            "logStreamName": "s",
            "endTime": 1,
            "startFromHead": True,
        }
        pages, token = 0, ""
        while True:
            given = {"nextToken": token} if token else {}
            answer = await w.call("GetLogEvents", **asked, **given)
            assert not answer["events"]
            if answer["nextForwardToken"] == token:
                break
            pages, token = pages + 1, str(answer["nextForwardToken"])
        assert pages > 1

    run(tmp_path, law, SMALL)


def test_a_search_of_heavy_streams_misses_nothing(tmp_path: Path) -> None:
    """What is not held while its stream waits is read again, once and in order."""

    async def law(w: World) -> None:
        await w.made(GROUP, "a", "b", "c")
        for n in range(18):
            text = f"{n:02}" + (HEAVY if n % 2 else "")
            await w.put("abc"[n % 3], (NOW + n, text))
            w.clock.forward(0.001)
        found = await w.filtered()
        assert [f"{n:02}" for n in range(18)] == [text[:2] for text in found]

    run(tmp_path, law, SMALL)


def test_others_have_their_turn_while_somebody_searches(tmp_path: Path) -> None:
    """A search of many heavy events never keeps the loop for long."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s")
        for _ in range(12):
            await w.put("s", *[(NOW, HEAVY)] * 5)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        counting = asyncio.create_task(count())
        assert not await w.filtered(filterPattern="absent")
        counting.cancel()
        assert turns > 3

    run(tmp_path, law)
