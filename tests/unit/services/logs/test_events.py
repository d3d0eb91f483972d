"""Laws of writing, reading and searching events."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from casemate.core.errors import Invalid, NotFound, Refusal
from casemate.services.logs.settings import DAY, LogSettings
from unit.services.calls import OTHER_ACCOUNT
from unit.services.logs_world import (
    GROUP,
    NOW,
    Line,
    World,
    function,
    messages,
    run,
)

HOUR = 3_600_000


def test_a_batch_keeps_awss_bounds(tmp_path: Path) -> None:
    """Bytes, count, order and span, from both sides."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s")
        full = "x" * (1_048_576 - 26)
        await w.put("s", (NOW, full))
        for bad in (
            [(NOW, full + "x")],
            [(NOW, "")],
            [(NOW, "x")] * 10_001,
            [(NOW, "b"), (NOW - 1, "a")],
            [(NOW - 25 * HOUR, "a"), (NOW, "b")],
            [],
        ):
            with pytest.raises(Invalid):
                await w.put("s", *bad)
        await w.put("s", *[(NOW, "x")] * 10_000)
        await w.put("s", (NOW - 24 * HOUR, "a"), (NOW, "b"))
        with pytest.raises(NotFound, match="stream"):
            await w.put("t", (NOW, "x"))
        with pytest.raises(NotFound, match="group"):
            await w.put("s", (NOW, "x"), group="none")

    run(tmp_path, law)


def test_what_is_out_of_time_is_left_out_and_told(tmp_path: Path) -> None:
    """14 days back, 2 hours ahead, and the group's retention."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s")
        answer = await w.put(
            "s", (NOW, "ok"), (NOW + 2 * HOUR, "edge"), (NOW + 2 * HOUR + 1, "new")
        )
        assert answer["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 2}
        answer = await w.put("s", (NOW - 14 * DAY - 1, "old"), (NOW - 14 * DAY, "edge"))
        assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
        await w.call("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=1)
        answer = await w.put("s", (NOW - DAY - 1, "gone"), (NOW - DAY, "edge"))
        assert answer["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
        answer = await w.put("s", (NOW, "ok"))
        assert "rejectedLogEventsInfo" not in answer

    run(tmp_path, law)


def test_a_stream_is_read_both_ways_to_its_ends(tmp_path: Path) -> None:
    """Every event once; at an end the token that came in goes out again."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s")
        for n in range(10):
            await w.put("s", (NOW + n, f"m{n}"))
        page = await w.get("s", limit=3, startFromHead=True)
        found = messages(page)
        while True:
            token = page["nextForwardToken"]
            page = await w.get("s", limit=3, nextToken=token)
            if page["nextForwardToken"] == token:
                break
            found += messages(page)
        assert found == [f"m{n}" for n in range(10)]
        assert messages(page) == []
        await w.put("s", (NOW + 10, "m10"))
        assert messages(await w.get("s", nextToken=token)) == ["m10"]

        page = await w.get("s", limit=4)
        assert messages(page) == ["m7", "m8", "m9", "m10"]
        back = messages(page)
        while True:
            token = page["nextBackwardToken"]
            page = await w.get("s", limit=4, nextToken=token)
            if page["nextBackwardToken"] == token:
                break
            back = messages(page) + back
        assert back == [f"m{n}" for n in range(11)]
        forward = await w.get("s", nextToken=page["nextForwardToken"])
        assert messages(forward) == [f"m{n}" for n in range(11)]

    run(tmp_path, law)


def test_a_token_is_of_its_stream_direction_and_account(tmp_path: Path) -> None:
    """Anything else is refused."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s", "t")
        await w.put("s", (NOW, "x"))
        token = str((await w.get("s"))["nextForwardToken"])
        assert token.startswith("f/")
        for bad in ("b" + token[1:], token[:-4], "f/", "x", "f/0"):
            with pytest.raises(Invalid):
                await w.get("s", nextToken=bad)
        with pytest.raises(Invalid):
            await w.get("t", nextToken=token)
        with pytest.raises(Invalid):
            await w.get("s", nextToken=token, startTime=1)
        other = w.of(OTHER_ACCOUNT)
        await other("CreateLogGroup", logGroupName=GROUP)
        await other("CreateLogStream", logGroupName=GROUP, logStreamName="s")
        with pytest.raises(Invalid):
            await other(
                "GetLogEvents", logGroupName=GROUP, logStreamName="s", nextToken=token
            )

    run(tmp_path, law)


def test_times_bound_what_is_read(tmp_path: Path) -> None:
    """GetLogEvents ends before its end, FilterLogEvents with it; late ones count."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s")
        for n in range(6):
            await w.put("s", (NOW + n * HOUR, f"m{n}"))
            w.clock.forward(3600)
        await w.put("s", (NOW + HOUR, "late"))
        window: dict[str, Any] = {"startTime": NOW + HOUR, "endTime": NOW + 3 * HOUR}
        for head in (True, False):
            page = await w.get("s", startFromHead=head, **window)
            assert messages(page) == ["m1", "late", "m2"]
        assert sorted(await w.filtered(**window)) == ["late", "m1", "m2", "m3"]
        assert await w.filtered(startTime=NOW + 5 * HOUR) == ["m5"]

    run(tmp_path, law)


def test_a_search_merges_streams_and_misses_nothing(tmp_path: Path) -> None:
    """Whatever the pages' size, each event comes once, with an id of its own."""

    async def law(w: World) -> None:
        await w.made(GROUP, "a", "b", "c")
        expected = []
        for n in range(60):
            stream = "abc"[n % 3]
            await w.put(stream, (NOW + n, f"m{n:02}"))
            expected.append(f"m{n:02}")
            w.clock.forward(0.001)
        for limit in (1, 7, 59, 60, 100):
            assert await w.filtered(limit=limit) == expected
        assert await w.filtered(logStreamNames=["b"], limit=5) == expected[1::3]
        assert await w.filtered(logStreamNamePrefix="c") == expected[2::3]
        assert await w.filtered(filterPattern="m07") == ["m07"]
        assert len(set(await w.filtered(member="eventId", interleaved=True))) == 60
        with pytest.raises(NotFound):
            await w.filtered(logStreamNames=["none"])

    run(tmp_path, law)
    run(tmp_path / "small", law, LogSettings(scanned=4))


def test_a_functions_lines_make_their_group_and_stream(tmp_path: Path) -> None:
    """Without waiting; a retention that is there is not touched."""

    async def law(w: World) -> None:
        lines = [Line(NOW, "START", platform=True), Line(NOW + 1, "hello")]
        w.service.intake.write(function(), "2023/11/14/[$LATEST]ab", lines)
        await w.written()
        assert await w.filtered() == ["START\n", "hello\n"]
        await w.call("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=7)
        w.service.intake.write(function(), "other", [Line(NOW, "x")])
        await w.written()
        group = (await w.call("DescribeLogGroups"))["logGroups"][0]  # type: ignore[index]  # a list
        assert group["retentionInDays"] == 7
        assert group["storedBytes"] == len("START\nhello\nx\n")
        entries = w.store.log.read("111122223333", "us-east-1:/aws/lambda/f:other")
        assert [e.kind for e in entries] == ["function"]

    run(tmp_path, law)


def test_a_flood_is_dropped_counted_and_told(tmp_path: Path) -> None:
    """Past the rate lines go; one line of the platform's says how many."""

    async def law(w: World) -> None:
        w.service.intake.write(function(), "s", [Line(NOW, "x" * 99)] * 30)
        assert w.service.intake.dropped_lines == 20
        w.clock.forward(2)
        w.service.intake.write(function(), "s", [Line(NOW, "after")])
        await w.written()
        found = await w.filtered()
        told = [m for m in found if m.startswith("CASEMATE dropped 20 log lines (2000")]
        assert (len(found), len(told)) == (12, 1)

    run(tmp_path, law, LogSettings(group_rate=500, burst_seconds=2))


def test_an_accounts_logs_are_bounded(tmp_path: Path) -> None:
    """Past its bytes an account's clients are refused and its functions' lines go."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s")
        await w.put("s", (NOW, "x" * 900))
        with pytest.raises(Refusal) as full:
            await w.put("s", (NOW, "x" * 900))
        assert full.value.code == "LimitExceededException"
        w.service.intake.write(function(), "t", [Line(NOW, "x" * 900)])
        assert w.service.intake.dropped_lines == 1
        await w.call("DeleteLogStream", logGroupName=GROUP, logStreamName="s")
        await w.call("CreateLogStream", logGroupName=GROUP, logStreamName="s")
        await w.put("s", (NOW, "again"))
        await w.written()

    run(tmp_path, law, LogSettings(stored_bytes=1_000))


def test_retention_is_enforced(tmp_path: Path) -> None:
    """What is past it goes, what is not stays; bytes are given back."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s", "t")
        await w.put("s", (NOW, "old"))
        w.clock.forward(86_400)
        await w.put("s", (NOW + DAY, "newer"))
        assert await w.service.expire(w.clock.now()) == 0
        await w.call("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=1)
        w.clock.forward(1)
        assert await w.service.expire(w.clock.now()) == 1
        assert await w.filtered() == ["newer"]
        group = (await w.call("DescribeLogGroups"))["logGroups"][0]  # type: ignore[index]  # a list
        assert group["storedBytes"] == len("newer")

    run(tmp_path, law)


def test_a_crowded_group_loses_its_oldest_streams(tmp_path: Path) -> None:
    """Functions' streams do not pile up for ever."""

    async def law(w: World) -> None:
        for n in range(4):
            w.service.intake.write(function(), f"s{n}", [Line(NOW + n, "x")])
            w.clock.forward(0.01)
        await w.written()
        await w.service.expire(w.clock.now())
        page = await w.call("DescribeLogStreams", logGroupName=GROUP)
        streams = page["logStreams"]
        assert isinstance(streams, list)
        assert [s["logStreamName"] for s in streams] == ["s2", "s3"]

    run(tmp_path, law, LogSettings(streams=2))


def test_the_count_of_bytes_outlives_a_restart(tmp_path: Path) -> None:
    """It is written each minute."""

    async def first(w: World) -> None:
        await w.made(GROUP, "s")
        await w.put("s", (NOW, "12345"))
        await w.service.expire(w.clock.now())

    async def second(w: World) -> None:
        group = (await w.call("DescribeLogGroups"))["logGroups"][0]  # type: ignore[index]  # a list
        assert group["storedBytes"] == 5

    run(tmp_path, first)
    run(tmp_path, second)


def test_two_writers_keep_their_events_apart(tmp_path: Path) -> None:
    """Parallel batches of one stream are all there."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s")
        await asyncio.gather(*(w.put("s", (NOW, f"m{n:02}")) for n in range(20)))
        assert sorted(await w.filtered()) == [f"m{n:02}" for n in range(20)]

    run(tmp_path, law)
