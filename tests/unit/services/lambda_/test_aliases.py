"""Laws of aliases, and of the weights that choose between two versions."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from casemate.app.compose import chance
from casemate.core.errors import Conflict, Invalid, NotFound, Refusal
from casemate.services.lambda_.settings import FunctionSettings
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION
from unit.services.lambda_.test_functions import run
from unit.services.lambda_world import ROLE, World

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


async def released(w: World) -> None:
    """Make a function with versions 1, 2 and 3."""
    await w.made()
    for n in range(3):
        await w.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=n + 5)
        await w.settled()
        await w.call("PublishVersion", FunctionName="f")


async def alias(w: World, **more: object) -> dict[str, object]:
    name: dict[str, object] = {"Name": "live", "FunctionVersion": "1"}
    return dict(await w.call("CreateAlias", FunctionName="f", **{**name, **more}))


def routing(**weights: object) -> dict[str, object]:
    named = {number.removeprefix("v"): weight for number, weight in weights.items()}
    return {"RoutingConfig": {"AdditionalVersionWeights": named}}


async def shown(w: World) -> dict[str, object]:
    return dict(await w.call("GetAlias", FunctionName="f", Name="live"))


def test_an_alias_leads_to_a_version(tmp_path: Path) -> None:
    """Made, shown, led elsewhere, removed; what is not given stays."""

    async def law(w: World) -> None:
        await released(w)
        made = await alias(w, Description="ours")
        assert made == await shown(w)
        assert made == {
            "AliasArn": f"{ARN}:live",
            "Name": "live",
            "FunctionVersion": "1",
            "Description": "ours",
            "RevisionId": made["RevisionId"],
        }
        moved = await w.call(
            "UpdateAlias",
            FunctionName="f",
            Name="live",
            FunctionVersion="2",
            RevisionId=made["RevisionId"],
        )
        assert moved["RevisionId"] != made["RevisionId"]
        assert (moved["FunctionVersion"], moved["Description"]) == ("2", "ours")
        for _ in range(2):
            assert {} == await w.call("DeleteAlias", FunctionName="f", Name="live")
        with pytest.raises(NotFound, match="Cannot find alias arn"):
            await shown(w)

    run(tmp_path, law)


def test_an_alias_runs_what_it_leads_to(tmp_path: Path) -> None:
    """The very next call goes to the new version, in the alias's name."""

    async def law(w: World) -> None:
        await released(w)
        await alias(w)
        told = await w.call("GetFunctionConfiguration", FunctionName="f:live")
        assert (told["FunctionArn"], told["Version"]) == (f"{ARN}:live", "1")
        executed = []
        for version in ("1", "2", "$LATEST", "1"):
            await w.call(
                "UpdateAlias", FunctionName="f", Name="live", FunctionVersion=version
            )
            answer = await w.call("Invoke", FunctionName="f", Qualifier="live")
            executed.append(answer["ExecutedVersion"])
            assert w.cells.ran[-1].invoked_arn == f"{ARN}:live"
        assert executed == ["1", "2", "$LATEST", "1"]
        timeouts = [ran.function.timeout for ran in w.cells.ran]
        assert timeouts == [5, 6, 7, 5]
        assert w.cells.ran[0].function == w.cells.ran[3].function

    run(tmp_path, law)


def test_weights_choose_between_two_versions(tmp_path: Path) -> None:
    """The second gets draws below its weight, the first all others."""

    async def law(w: World) -> None:
        await released(w)
        made = await alias(w, **routing(v2=0.25))
        assert made["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.25}}
        draws = [0.0, 0.2499, 0.25, 0.9999]
        w.cells.chances = draws[::-1]
        executed = []
        for _ in draws:
            answer = await w.call("Invoke", FunctionName="f:live")
            executed.append(answer["ExecutedVersion"])
            assert w.cells.ran[-1].function.version == answer["ExecutedVersion"]
        assert executed == ["2", "2", "1", "1"]
        await w.call("UpdateAlias", FunctionName="f", Name="live", **routing())
        assert "RoutingConfig" not in await shown(w)
        assert (await w.call("Invoke", FunctionName="f:live"))["ExecutedVersion"] == "1"

    run(tmp_path, law)


@pytest.mark.parametrize(("weight", "expected"), [(0.0, "1"), (1.0, "2"), (1, "2")])
def test_the_ends_of_the_scale_are_weights(
    tmp_path: Path, weight: float, expected: str
) -> None:
    """0 is never, 1 is always."""

    async def law(w: World) -> None:
        await released(w)
        await alias(w, **routing(v2=weight))
        for draw in (0.0, 0.5, 1 - 2.0**-53):
            w.cells.chances = [draw]
            answer = await w.call("Invoke", FunctionName="f:live")
            assert answer["ExecutedVersion"] == expected

    run(tmp_path, law)


WRONG: list[tuple[dict[str, object], str]] = [
    (routing(v2=1.01), "from 0.0 to 1.0"),
    (routing(v2=-0.1), "from 0.0 to 1.0"),
    (routing(v2=float("nan")), "from 0.0 to 1.0"),
    (routing(v2=True), "not a number"),
    (routing(v2="0.5"), "not a number"),
    (routing(v2=0.1, v3=0.1), "cannot be greater than 1"),
    (routing(v1=0.5), "already included"),
    ({"FunctionVersion": "$LATEST", **routing(v2=0.5)}, r"\$LATEST is not supported"),
    ({"Name": "7"}, "not digits alone"),
    ({"Name": "a:b"}, "name of an alias"),
    ({"Name": "a/b"}, "name of an alias"),
    ({"Name": "x" * 129}, "name of an alias"),
    ({"Name": "$LATEST"}, "name of an alias"),
    ({"Description": "x" * 257}, "256"),
]


@pytest.mark.parametrize(("more", "words"), WRONG)
def test_an_alias_that_makes_no_sense_is_refused(
    tmp_path: Path, more: dict[str, object], words: str
) -> None:
    """With its reason, and nothing is written: neither made nor changed."""

    async def law(w: World) -> None:
        await released(w)
        with pytest.raises(Invalid, match=words):
            await alias(w, **more)
        assert (await w.call("ListAliases", FunctionName="f"))["Aliases"] == []
        made = await alias(w)
        with pytest.raises(Invalid, match=words):
            await w.call("UpdateAlias", FunctionName="f", **{"Name": "live", **more})
        assert await shown(w) == made

    run(tmp_path, law)


@pytest.mark.parametrize(
    "more",
    [
        {"FunctionVersion": "9"},
        {"FunctionVersion": "01"},
        routing(v9=0.5),
        {"RoutingConfig": {"AdditionalVersionWeights": {"$LATEST": 0.5}}},
        {"FunctionName": "g"},
    ],
)
def test_an_alias_of_what_is_not_there_is_refused(
    tmp_path: Path, more: dict[str, object]
) -> None:
    """404, when it is made as when it is changed."""

    async def law(w: World) -> None:
        await released(w)
        with pytest.raises(NotFound):
            await w.call(
                "CreateAlias",
                **{"FunctionName": "f", "Name": "b", "FunctionVersion": "1", **more},
            )
        made = await alias(w)
        with pytest.raises(NotFound):
            await w.call("UpdateAlias", **{"FunctionName": "f", "Name": "live", **more})
        assert await shown(w) == made
        aliases = (await w.call("ListAliases", FunctionName="f"))["Aliases"]
        assert aliases == [made]

    run(tmp_path, law)


def test_the_last_good_alias_is_taken(tmp_path: Path) -> None:
    """Each limit is reached from below."""

    async def law(w: World) -> None:
        await released(w)
        made = await alias(w, Name="x" * 128, Description="x" * 256)
        assert made["Name"] == "x" * 128
        await alias(w, Name="1a")
        await alias(w, FunctionVersion="$LATEST", Name="latest")

    run(tmp_path, law)


def test_a_move_onto_the_second_version_must_say_what_becomes_of_it(
    tmp_path: Path,
) -> None:
    """What is kept is held to the same rules as what is given."""

    async def law(w: World) -> None:
        await released(w)
        await alias(w, **routing(v2=0.5))
        move = {"FunctionName": "f", "Name": "live"}
        for version in ("2", "$LATEST"):
            with pytest.raises(Invalid):
                await w.call("UpdateAlias", FunctionVersion=version, **move)
        done = await w.call("UpdateAlias", FunctionVersion="2", **move, **routing())
        assert done["FunctionVersion"] == "2"

    run(tmp_path, law)


def test_two_versions_have_one_role(tmp_path: Path) -> None:
    """What may run in another's place has the same rights."""

    async def law(w: World) -> None:
        await released(w)
        await w.call("UpdateFunctionConfiguration", FunctionName="f", Role=f"{ROLE}2")
        await w.settled()
        await w.call("PublishVersion", FunctionName="f")
        with pytest.raises(Invalid, match="different execution roles"):
            await alias(w, FunctionVersion="3", **routing(v4=0.5))
        await alias(w, FunctionVersion="4")

    run(tmp_path, law)


def test_a_stale_revision_changes_nothing(tmp_path: Path) -> None:
    """412; of two who change at once from the same state, one wins."""

    async def law(w: World) -> None:
        await released(w)
        made = await alias(w)
        both = await asyncio.gather(
            *(
                w.call(
                    "UpdateAlias",
                    FunctionName="f",
                    Name="live",
                    FunctionVersion=version,
                    RevisionId=made["RevisionId"],
                )
                for version in ("2", "3")
            ),
            return_exceptions=True,
        )
        lost = [answer for answer in both if isinstance(answer, Refusal)]
        assert [refusal.code for refusal in lost] == ["PreconditionFailedException"]

    run(tmp_path, law)


def test_there_is_one_alias_of_a_name(tmp_path: Path) -> None:
    """409 for the second."""

    async def law(w: World) -> None:
        await released(w)
        made = await alias(w)
        with pytest.raises(Conflict, match="already exists"):
            await alias(w, FunctionVersion="2")
        assert await shown(w) == made

    run(tmp_path, law)


def test_aliases_are_bounded(tmp_path: Path) -> None:
    """One past the limit is refused in AWS's words; a deletion makes room."""

    async def law(w: World) -> None:
        await released(w)
        await alias(w, Name="a")
        await alias(w, Name="b")
        with pytest.raises(Refusal) as refused:
            await alias(w, Name="c")
        assert refused.value.code == "AliasLimitExceededException"
        await w.call("DeleteAlias", FunctionName="f", Name="a")
        await alias(w, Name="c")

    run(tmp_path, law, FunctionSettings(aliases=2))


def test_a_version_that_an_alias_leads_to_stays(tmp_path: Path) -> None:
    """First or second: 409 with the aliases' names, until they lead elsewhere."""

    async def law(w: World) -> None:
        await released(w)
        await alias(w, **routing(v2=0.0))
        for version in ("1", "2"):
            with pytest.raises(Conflict, match=r"reference it: \[live\]"):
                await w.call("DeleteFunction", FunctionName="f", Qualifier=version)
        await w.call("DeleteFunction", FunctionName="f", Qualifier="3")
        await w.call(
            "UpdateAlias",
            FunctionName="f",
            Name="live",
            FunctionVersion="2",
            **routing(),
        )
        await w.call("DeleteFunction", FunctionName="f", Qualifier="1")
        assert (await w.call("Invoke", FunctionName="f:live"))["ExecutedVersion"] == "2"

    run(tmp_path, law)


def test_aliases_are_listed_in_pages(tmp_path: Path) -> None:
    """By name; of a version, those that lead to it first or second."""

    async def law(w: World) -> None:
        await released(w)
        for n in range(5):
            await alias(w, FunctionVersion=str(n % 2 + 1), Name=f"a{n}")
        await alias(w, FunctionVersion="3", Name="canary", **routing(v1=0.1))

        async def names(size: int, **more: object) -> list[object]:
            found: list[object] = []
            while True:
                page = await w.call(
                    "ListAliases", FunctionName="f", MaxItems=size, **more
                )
                aliases = page["Aliases"]
                assert isinstance(aliases, list)
                assert len(aliases) <= size
                found += [a["Name"] for a in aliases]
                if "NextMarker" not in page:
                    return found
                more = {**more, "Marker": page["NextMarker"]}

        everyone = [*(f"a{n}" for n in range(5)), "canary"]
        assert await names(2) == everyone
        assert await names(50) == everyone
        assert await names(2, FunctionVersion="1") == ["a0", "a2", "a4", "canary"]
        assert await names(1, FunctionVersion="2") == ["a1", "a3"]
        assert await names(1, FunctionVersion="9") == []
        page = await w.call("ListAliases", FunctionName="f", MaxItems=2)
        with pytest.raises(Invalid, match="Marker"):
            await names(2, FunctionVersion="1", Marker=page["NextMarker"])
        with pytest.raises(Invalid, match="Marker"):
            await w.of(OTHER_ACCOUNT)(
                "ListAliases", FunctionName=ARN, Marker=page["NextMarker"]
            )

    run(tmp_path, law)


def test_an_alias_of_what_is_being_made_waits_with_it(tmp_path: Path) -> None:
    """A call through an alias waits for a Pending version, first or second."""

    async def law(w: World) -> None:
        await w.made(Publish=True)
        await w.call(
            "UpdateFunctionCode",
            FunctionName="f",
            ZipFile=b"PK\x05\x06" + bytes(20),
            Publish=True,
        )
        await alias(w, FunctionVersion="1", **routing(v2=1.0))
        w.cells.chances = [0.5, 0.5]
        assert (await w.call("Invoke", FunctionName="f:live"))["ExecutedVersion"] == "2"

    run(tmp_path, law)


def test_the_platforms_own_draws_are_even() -> None:
    """53 bits of the system's randomness: from 0 up to, and never, 1."""
    draws = [chance() for _ in range(20_000)]
    assert all(0 <= draw < 1 for draw in draws)
    low = sum(draw < 0.1 for draw in draws)
    assert 1_600 < low < 2_400  # ten standard deviations
