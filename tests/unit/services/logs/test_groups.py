"""Laws of groups and streams."""

from __future__ import annotations

from pathlib import Path

import pytest

from casemate.core.errors import Invalid, NotFound, Refusal
from casemate.services.logs.settings import RETENTIONS, LogSettings
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION
from unit.services.logs_world import GROUP, NOW, World, run

ARN = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{GROUP}"


def names(page: object, member: str, name: str) -> list[str]:
    assert isinstance(page, dict)
    return [one[name] for one in page[member]]


def test_a_group_is_made_shown_and_deleted(tmp_path: Path) -> None:
    """With its tags and its retention; twice is refused."""

    async def law(w: World) -> None:
        await w.call("CreateLogGroup", logGroupName=GROUP, tags={"a": "b"})
        with pytest.raises(Refusal) as twice:
            await w.call("CreateLogGroup", logGroupName=GROUP)
        assert twice.value.code == "ResourceAlreadyExistsException"
        await w.call("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=7)
        shown = (await w.call("DescribeLogGroups"))["logGroups"]
        expected = {
            "logGroupName": GROUP,
            "creationTime": NOW,
            "metricFilterCount": 0,
            "arn": f"{ARN}:*",
            "logGroupArn": ARN,
            "storedBytes": 0,
            "logGroupClass": "STANDARD",
            "retentionInDays": 7,
        }
        assert shown == [expected]
        await w.call("DeleteRetentionPolicy", logGroupName=GROUP)
        await w.call("TagResource", resourceArn=f"{ARN}:*", tags={"c": "d"})
        await w.call("UntagResource", resourceArn=ARN, tagKeys=["a"])
        tags = await w.call("ListTagsForResource", resourceArn=ARN)
        assert tags == {"tags": {"c": "d"}}
        await w.call("DeleteLogGroup", logGroupName=GROUP)
        with pytest.raises(NotFound):
            await w.call("DeleteLogGroup", logGroupName=GROUP)

    run(tmp_path, law)


def test_a_deleted_group_shows_nothing_when_it_is_made_anew(tmp_path: Path) -> None:
    """Deleted events do not come back with the name."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s")
        await w.put("s", (NOW, "secret"))
        await w.call("DeleteLogGroup", logGroupName=GROUP)
        await w.made(GROUP, "s")
        assert [] == await w.filtered()
        page = await w.call("DescribeLogStreams", logGroupName=GROUP)
        assert "lastEventTimestamp" not in page["logStreams"][0]  # type: ignore[index]  # a list
        group = (await w.call("DescribeLogGroups"))["logGroups"][0]  # type: ignore[index]  # a list
        assert group["storedBytes"] == 0

    run(tmp_path, law)


@pytest.mark.parametrize("days", [0, 2, 4, 10_000, -1])
def test_retention_has_awss_values(tmp_path: Path, days: int) -> None:
    """Another count of days is refused."""

    async def law(w: World) -> None:
        await w.made()
        with pytest.raises(Invalid):
            await w.call("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=days)
        for good in RETENTIONS:
            await w.call("PutRetentionPolicy", logGroupName=GROUP, retentionInDays=good)

    run(tmp_path, law)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "a*", "x" * 513, "a\n", "ä"])
def test_what_is_no_groups_name_is_refused(tmp_path: Path, name: str) -> None:
    """Before it becomes a resource of policy."""

    async def law(w: World) -> None:
        with pytest.raises(Invalid):
            await w.call("CreateLogGroup", logGroupName=name)

    run(tmp_path, law)


@pytest.mark.parametrize("name", ["", "a:b", "a*", "x" * 513, "a\nb", "\x1b[1m", "\0"])
def test_what_is_no_streams_name_is_refused(tmp_path: Path, name: str) -> None:
    """Nothing that could be another group's stream, or that moves a terminal."""

    async def law(w: World) -> None:
        await w.made()
        with pytest.raises(Invalid):
            await w.call("CreateLogStream", logGroupName=GROUP, logStreamName=name)

    run(tmp_path, law)


def test_groups_are_listed_in_pages(tmp_path: Path) -> None:
    """By prefix, by pattern; tokens are good for their query and account."""

    async def law(w: World) -> None:
        for n in range(5):
            await w.made(f"/a/{n}")
        await w.made("/b/0")
        page = await w.call("DescribeLogGroups", limit=3, logGroupNamePrefix="/a")
        assert names(page, "logGroups", "logGroupName") == ["/a/0", "/a/1", "/a/2"]
        token = page["nextToken"]
        rest = await w.call(
            "DescribeLogGroups", limit=3, logGroupNamePrefix="/a", nextToken=token
        )
        assert names(rest, "logGroups", "logGroupName") == ["/a/3", "/a/4"]
        assert "nextToken" not in rest
        found = await w.call("DescribeLogGroups", logGroupNamePattern="0")
        assert names(found, "logGroups", "logGroupName") == ["/a/0", "/b/0"]
        with pytest.raises(Invalid):
            await w.call("DescribeLogGroups", logGroupNamePrefix="/b", nextToken=token)
        with pytest.raises(Invalid):
            await w.of(OTHER_ACCOUNT)(
                "DescribeLogGroups", logGroupNamePrefix="/a", nextToken=token
            )
        for limit in (0, 51):
            with pytest.raises(Invalid):
                await w.call("DescribeLogGroups", limit=limit)

    run(tmp_path, law)


@pytest.mark.parametrize("by", ["LogStreamName", "LastEventTime"])
@pytest.mark.parametrize("descending", [False, True])
def test_streams_are_listed_in_order(tmp_path: Path, by: str, descending: bool) -> None:
    """By name or last event, both ways, in pages that miss none."""

    async def law(w: World) -> None:
        await w.made(GROUP, "a", "b", "c")
        for name, at in (("a", 3), ("b", 1), ("c", 2)):
            await w.put(name, (NOW + at, "x"))
        found: list[str] = []
        more: dict[str, object] = {}
        while True:
            page = await w.call(
                "DescribeLogStreams",
                logGroupName=GROUP,
                orderBy=by,
                descending=descending,
                limit=1,
                **more,
            )
            found += names(page, "logStreams", "logStreamName")
            if "nextToken" not in page:
                break
            more = {"nextToken": page["nextToken"]}
        expected = ["a", "b", "c"] if by == "LogStreamName" else ["b", "c", "a"]
        assert found == (expected[::-1] if descending else expected)
        with pytest.raises(Invalid, match="Cannot order"):
            await w.call(
                "DescribeLogStreams",
                logGroupName=GROUP,
                orderBy="LastEventTime",
                logStreamNamePrefix="a",
            )

    run(tmp_path, law)


def test_groups_and_streams_are_bounded(tmp_path: Path) -> None:
    """Neither one account nor one group takes all there is."""

    async def law(w: World) -> None:
        await w.made("a", "s0", "s1")
        with pytest.raises(Refusal) as full:
            await w.call("CreateLogStream", logGroupName="a", logStreamName="s2")
        assert full.value.code == "LimitExceededException"
        await w.made("b")
        with pytest.raises(Refusal) as full:
            await w.made("c")
        assert full.value.code == "LimitExceededException"

    run(tmp_path, law, LogSettings(groups=2, streams=2))


def test_another_account_sees_nothing(tmp_path: Path) -> None:
    """Z14: the same name in two accounts is two groups."""

    async def law(w: World) -> None:
        await w.made(GROUP, "s")
        await w.put("s", (NOW, "secret"))
        other = w.of(OTHER_ACCOUNT)
        assert {"logGroups": []} == await other("DescribeLogGroups")
        for identifier in (GROUP, ARN):
            with pytest.raises(NotFound):
                await other("FilterLogEvents", logGroupIdentifier=identifier)
        await other("CreateLogGroup", logGroupName=GROUP)
        page = await other("FilterLogEvents", logGroupName=GROUP)
        assert page["events"] == []
        with pytest.raises(NotFound):
            await other("ListTagsForResource", resourceArn=ARN)

    run(tmp_path, law)
