"""Laws of published versions."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given as values
from hypothesis import settings
from hypothesis import strategies as st

from casemate.core.errors import Conflict, Invalid, NotFound, Refusal
from casemate.services.lambda_.settings import FunctionSettings
from casemate.substrate.ports import SHARED, Put
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION
from unit.services.lambda_.test_functions import run
from unit.services.lambda_world import ROLE, ZIP, World, given, world

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
SHA = hashlib.sha256(ZIP).hexdigest()


def digest(package: bytes) -> str:
    return base64.b64encode(hashlib.sha256(package).digest()).decode()


async def update(w: World, package: bytes, **more: object) -> None:
    await w.call("UpdateFunctionCode", FunctionName="f", ZipFile=package, **more)
    await w.settled()


async def numbers(w: World, **more: object) -> list[str]:
    told = await w.call("ListVersionsByFunction", FunctionName="f", **more)
    versions = told["Versions"]
    assert isinstance(versions, list)
    return [v["Version"] for v in versions]


async def holds(w: World, package: bytes) -> bool:
    try:
        await w.store.blobs.get(ACCOUNT, hashlib.sha256(package).hexdigest())
    except KeyError:
        return False
    return True


def test_a_version_is_what_latest_was(tmp_path: Path) -> None:
    """Code and configuration stay as they were published, whatever `$LATEST` gets."""

    async def law(w: World) -> None:
        await w.made(Description="ours", Timeout=5)
        made = await w.call("PublishVersion", FunctionName="f", Description="first")
        assert (made["Version"], made["FunctionArn"]) == ("1", f"{ARN}:1")
        assert (made["Description"], made["State"]) == ("first", "Active")
        latest = await w.call("GetFunctionConfiguration", FunctionName="f")
        assert made["RevisionId"] != latest["RevisionId"]
        assert latest["Description"] == "ours"
        await w.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        await w.settled()
        await update(w, ZIP + b"2")
        shown = await w.call(
            "GetFunctionConfiguration", FunctionName="f", Qualifier="1"
        )
        assert shown == made
        assert (shown["Timeout"], shown["CodeSha256"]) == (5, digest(ZIP))

    run(tmp_path, law)


def test_publishing_what_was_published_gives_the_same_version(tmp_path: Path) -> None:
    """A description alone makes no version; a change of what runs makes one."""

    async def law(w: World) -> None:
        await w.made()
        first = await w.call("PublishVersion", FunctionName="f", Description="one")
        again = await w.call("PublishVersion", FunctionName="f", Description="two")
        assert again == first
        await w.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=3)
        await w.settled()
        same = await w.call("PublishVersion", FunctionName="f")
        assert same["Version"] == "1"
        await w.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=4)
        await w.settled()
        assert (await w.call("PublishVersion", FunctionName="f"))["Version"] == "2"
        await update(w, ZIP + b"2")
        assert (await w.call("PublishVersion", FunctionName="f"))["Version"] == "3"
        assert await numbers(w) == ["$LATEST", "1", "2", "3"]

    run(tmp_path, law)


def test_publishing_is_conditional(tmp_path: Path) -> None:
    """Another digest, a stale revision, a qualifier, a long text: nothing is made."""

    async def law(w: World) -> None:
        made = await w.made()
        with pytest.raises(Invalid, match="CodeSHA256"):
            await w.call("PublishVersion", FunctionName="f", CodeSha256=digest(b"x"))
        with pytest.raises(Refusal) as stale:
            await w.call("PublishVersion", FunctionName="f", RevisionId="no")
        assert stale.value.code == "PreconditionFailedException"
        with pytest.raises(Invalid, match="qualif"):
            await w.call("PublishVersion", FunctionName="f:$LATEST")
        with pytest.raises(Invalid, match="256"):
            await w.call("PublishVersion", FunctionName="f", Description="x" * 257)
        with pytest.raises(NotFound):
            await w.call("PublishVersion", FunctionName="g")
        assert await numbers(w) == ["$LATEST"]
        version = await w.call(
            "PublishVersion",
            FunctionName="f",
            CodeSha256=digest(ZIP),
            RevisionId=made["RevisionId"],
            Description="x" * 256,
        )
        assert version["Version"] == "1"

    run(tmp_path, law)


def test_what_is_not_served_is_not_published(tmp_path: Path) -> None:
    """409 while a change is under way, and after one that failed."""

    async def law(w: World) -> None:
        await w.call("CreateFunction", **given())
        with pytest.raises(Conflict, match="Pending"):
            await w.call("PublishVersion", FunctionName="f")
        await w.settled()
        await w.call("UpdateFunctionCode", FunctionName="f", ZipFile=ZIP + b"2")
        with pytest.raises(Conflict, match="in progress"):
            await w.call("PublishVersion", FunctionName="f")
        await w.service.close()
        await w.store.blobs.delete(ACCOUNT, hashlib.sha256(ZIP + b"2").hexdigest())
        w.service.resume()
        await w.settled()
        with pytest.raises(Conflict, match="last update"):
            await w.call("PublishVersion", FunctionName="f")
        assert await numbers(w) == ["$LATEST"]

    run(tmp_path, law)


def test_a_creation_and_an_update_publish(tmp_path: Path) -> None:
    """`Publish` makes a version with the change; it is Active when the change is."""

    async def law(w: World) -> None:
        made = await w.call("CreateFunction", **given(Publish=True))
        assert (made["Version"], made["State"]) == ("1", "Pending")
        shown = await w.call("GetFunctionConfiguration", FunctionName="f:1")
        assert shown["State"] == "Pending"
        assert (await w.call("Invoke", FunctionName="f:1"))["ExecutedVersion"] == "1"
        await w.settled()
        shown = await w.call("GetFunctionConfiguration", FunctionName="f:1")
        assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")
        told = await w.call(
            "UpdateFunctionCode", FunctionName="f", ZipFile=ZIP + b"2", Publish=True
        )
        assert (told["Version"], told["FunctionArn"]) == ("2", f"{ARN}:2")
        assert told["State"] == "Pending"
        await w.settled()
        shown = await w.call("GetFunctionConfiguration", FunctionName="f:2")
        assert (shown["State"], shown["CodeSha256"]) == ("Active", digest(ZIP + b"2"))
        same = await w.call(
            "UpdateFunctionCode", FunctionName="f", ZipFile=ZIP + b"2", Publish=True
        )
        assert same["Version"] == "2"
        await w.settled()
        await update(w, ZIP + b"3", Publish=False)
        assert await numbers(w) == ["$LATEST", "1", "2"]

    run(tmp_path, law)


def test_a_dry_run_publishes_nothing(tmp_path: Path) -> None:
    """It says what would be of `$LATEST`."""

    async def law(w: World) -> None:
        await w.made()
        await w.call(
            "UpdateFunctionCode",
            FunctionName="f",
            ZipFile=ZIP + b"2",
            Publish=True,
            DryRun=True,
        )
        assert await numbers(w) == ["$LATEST"]

    run(tmp_path, law)


def test_a_version_of_a_damaged_package_fails(tmp_path: Path) -> None:
    """The version says why, cannot be run, and goes; `$LATEST` serves on."""

    async def law(w: World) -> None:
        await w.made()
        await w.call(
            "UpdateFunctionCode", FunctionName="f", ZipFile=ZIP + b"2", Publish=True
        )
        await w.service.close()
        await w.store.blobs.delete(ACCOUNT, hashlib.sha256(ZIP + b"2").hexdigest())
        w.service.resume()
        await w.settled()
        shown = await w.call("GetFunctionConfiguration", FunctionName="f:1")
        assert (shown["State"], shown["StateReasonCode"]) == (
            "Failed",
            "InvalidZipFileException",
        )
        with pytest.raises(Conflict, match="Failed"):
            await w.call("Invoke", FunctionName="f:1")
        await w.call("Invoke", FunctionName="f")
        await w.call("DeleteFunction", FunctionName="f", Qualifier="1")
        assert await numbers(w) == ["$LATEST"]

    run(tmp_path, law)


def test_each_version_runs_as_itself(tmp_path: Path) -> None:
    """Its own cells, its own code, its own words; an update reaches `$LATEST` only."""

    async def law(w: World) -> None:
        await w.made()
        await w.call("PublishVersion", FunctionName="f")
        await update(w, ZIP + b"2")
        for name in ("f", "f:1", f"{ARN}:1", "f:$LATEST"):
            answer = await w.call("Invoke", FunctionName=name)
            ran = w.cells.ran[-1]
            assert answer["ExecutedVersion"] == ran.function.version
            assert ran.function.arn == ARN
        versions = [ran.function.version for ran in w.cells.ran]
        assert versions == ["$LATEST", "1", "1", "$LATEST"]
        assert w.cells.ran[1].invoked_arn == f"{ARN}:1"
        assert w.cells.ran[1].function.code_sha256 == SHA
        revisions = {ran.function.revision for ran in w.cells.ran}
        assert len(revisions) == 2
        assert {version for _, version, _ in w.cells.retired} == {"$LATEST"}

    run(tmp_path, law)


@pytest.mark.parametrize(
    "qualifier", ["2", "0", "01", "00000000001", "live", "10000000000", "1x"]
)
def test_a_qualifier_that_is_not_there_is_not_found(
    tmp_path: Path, qualifier: str
) -> None:
    """No spelling of a number is another version's."""

    async def law(w: World) -> None:
        await w.made()
        await w.call("PublishVersion", FunctionName="f")
        for name in ("GetFunction", "GetFunctionConfiguration", "Invoke", "GetPolicy"):
            with pytest.raises(NotFound):
                await w.call(name, FunctionName="f", Qualifier=qualifier)
        with pytest.raises(NotFound):
            await w.call(
                "AddPermission",
                FunctionName="f",
                Qualifier=qualifier,
                StatementId="s",
                Action="lambda:InvokeFunction",
                Principal=OTHER_ACCOUNT,
            )
        assert [] == w.cells.ran

    run(tmp_path, law)


def test_a_version_is_deleted_alone(tmp_path: Path) -> None:
    """Its number is not given again, its cells end; a missing one is no error."""

    async def law(w: World) -> None:
        await w.made()
        await w.call("PublishVersion", FunctionName="f")
        await update(w, ZIP + b"2")
        await w.call("PublishVersion", FunctionName="f")
        for _ in range(2):
            gone = await w.call("DeleteFunction", FunctionName="f", Qualifier="2")
            assert gone == {"StatusCode": 204}
        assert w.cells.retired[-1] == (ARN, "2", None)
        assert await numbers(w) == ["$LATEST", "1"]
        with pytest.raises(NotFound):
            await w.call("Invoke", FunctionName="f:2")
        assert (await w.call("PublishVersion", FunctionName="f"))["Version"] == "3"
        for qualifier, words in (
            ("$LATEST", "cannot be deleted"),
            ("x", "DeleteAlias"),
        ):
            with pytest.raises(Invalid, match=words):
                await w.call("DeleteFunction", FunctionName="f", Qualifier=qualifier)
        with pytest.raises(NotFound):
            await w.call("DeleteFunction", FunctionName="g", Qualifier="1")
        assert await numbers(w) == ["$LATEST", "1", "3"]

    run(tmp_path, law)


def test_a_package_goes_with_the_last_version_that_holds_it(tmp_path: Path) -> None:
    """Versions keep what they run; what nobody runs is dropped, and not before."""

    async def law(w: World) -> None:
        await w.made()
        await w.call("PublishVersion", FunctionName="f")
        await w.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        await w.settled()
        await w.call("PublishVersion", FunctionName="f")
        await update(w, ZIP + b"2")
        assert await holds(w, ZIP)
        used = (await w.call("GetAccountSettings"))["AccountUsage"]
        assert used == {"TotalCodeSize": 3 * len(ZIP) + 1, "FunctionCount": 1}
        await w.call("DeleteFunction", FunctionName="f", Qualifier="1")
        await w.settled()
        assert await holds(w, ZIP)
        await w.call("DeleteFunction", FunctionName="f", Qualifier="2")
        await w.settled()
        assert not await holds(w, ZIP)
        assert await holds(w, ZIP + b"2")
        assert [] == list(w.store.records.scan(SHARED, "lambda.work"))

    run(tmp_path, law)


def test_all_goes_with_the_function(tmp_path: Path) -> None:
    """Versions, aliases, packages and cells; a new one begins at version 1."""

    async def law(w: World) -> None:
        await w.made(Publish=True)
        await w.call("CreateAlias", FunctionName="f", Name="a", FunctionVersion="1")
        await update(w, ZIP + b"2")
        await w.call("DeleteFunction", FunctionName="f")
        await w.settled()
        assert w.cells.retired[-1] == (ARN, None, None)
        assert not await holds(w, ZIP)
        assert not await holds(w, ZIP + b"2")
        for table in ("functions", "versions", "aliases", "packages"):
            assert [] == list(w.store.records.scan(ACCOUNT, f"lambda.{table}"))
        used = (await w.call("GetAccountSettings"))["AccountUsage"]
        assert used == {"TotalCodeSize": 0, "FunctionCount": 0}
        await w.made()
        with pytest.raises(NotFound):
            await w.call("Invoke", FunctionName="f:a")
        assert (await w.call("PublishVersion", FunctionName="f"))["Version"] == "1"

    run(tmp_path, law)


def test_room_for_versions_is_bounded(tmp_path: Path) -> None:
    """By count and by bytes; what is refused is not there, a deletion makes room."""

    async def law(w: World) -> None:
        await w.made(Publish=True)
        await w.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        await w.settled()
        with pytest.raises(Refusal) as refused:
            await w.call("PublishVersion", FunctionName="f")
        assert refused.value.code == "CodeStorageExceededException"
        with pytest.raises(Refusal) as refused:
            await w.made("g", Publish=True)
        assert refused.value.code == "CodeStorageExceededException"
        assert await numbers(w) == ["$LATEST", "1"]
        await w.call("DeleteFunction", FunctionName="f", Qualifier="1")
        await w.settled()
        assert (await w.call("PublishVersion", FunctionName="f"))["Version"] == "2"

    run(tmp_path, law, FunctionSettings(versions=1))
    run(tmp_path / "bytes", law, FunctionSettings(total_code_bytes=3 * len(ZIP) - 1))


def test_versions_are_listed_in_pages(tmp_path: Path) -> None:
    """`$LATEST` first, then by number, not by text; markers are bound to the list."""

    async def law(w: World) -> None:
        await w.made()
        await w.made("g")
        for n in range(11):
            await w.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=n + 5)
            await w.settled()
            await w.call("PublishVersion", FunctionName="f")
        expected = ["$LATEST", *(str(n) for n in range(1, 12))]
        assert await numbers(w) == expected
        found: list[str] = []
        more: dict[str, object] = {}
        while True:
            page = await w.call(
                "ListVersionsByFunction", FunctionName="f", MaxItems=3, **more
            )
            versions = page["Versions"]
            assert isinstance(versions, list)
            assert len(versions) <= 3
            found += [v["Version"] for v in versions]
            if "NextMarker" not in page:
                break
            more = {"Marker": page["NextMarker"]}
        assert found == expected
        for stray in ({"FunctionName": "g"}, {"FunctionName": "f", "Marker": "3"}):
            with pytest.raises(Invalid, match="Marker"):
                await w.call("ListVersionsByFunction", **{**more, **stray})
        with pytest.raises(Invalid, match="MaxItems"):
            await numbers(w, MaxItems=0)

    run(tmp_path, law)


@pytest.mark.parametrize(
    "name",
    [
        "PublishVersion",
        "ListVersionsByFunction",
        "ListAliases",
        "ListFunctionEventInvokeConfigs",
        "GetAlias",
        "UpdateAlias",
        "DeleteAlias",
        "CreateAlias",
        "GetFunctionConcurrency",
        "PutFunctionConcurrency",
        "DeleteFunctionConcurrency",
        "GetFunctionRecursionConfig",
        "PutFunctionRecursionConfig",
        "UpdateFunctionCode",
        "UpdateFunctionConfiguration",
    ],
)
def test_what_is_of_the_whole_function_takes_no_qualifier(
    tmp_path: Path, name: str
) -> None:
    """Policy was asked about the qualified name: that is no right to all of it."""

    async def law(w: World) -> None:
        await w.made(Publish=True)
        await w.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
        more: dict[str, dict[str, object]] = {
            "CreateAlias": {"Name": "b", "FunctionVersion": "1"},
            "PutFunctionRecursionConfig": {"RecursiveLoop": "Allow"},
            "PutFunctionConcurrency": {"ReservedConcurrentExecutions": 1},
            "UpdateFunctionCode": {"ZipFile": ZIP},
        }
        given = {"Name": "live"} if name.endswith("Alias") else {}
        for qualifier in ("1", "live", "$LATEST"):
            with pytest.raises(Invalid, match="qualified"):
                await w.call(
                    name,
                    **{
                        "FunctionName": f"f:{qualifier}",
                        **given,
                        **more.get(name, {}),
                    },
                )
        assert await numbers(w) == ["$LATEST", "1"]

    run(tmp_path, law)


def test_all_versions_of_all_functions_are_listed_in_pages(tmp_path: Path) -> None:
    """`FunctionVersion=ALL`: each function's `$LATEST`, then its versions."""

    async def law(w: World) -> None:
        for name in ("f", "g", "h"):
            await w.made(name, Publish=name != "g")
        found: list[str] = []
        more: dict[str, object] = {}
        while True:
            page = await w.call(
                "ListFunctions", FunctionVersion="ALL", MaxItems=2, **more
            )
            functions = page["Functions"]
            assert isinstance(functions, list)
            found += [f["FunctionArn"].partition(":function:")[2] for f in functions]
            if "NextMarker" not in page:
                break
            more = {"Marker": page["NextMarker"]}
        assert found == ["f:$LATEST", "f:1", "g:$LATEST", "h:$LATEST", "h:1"]
        plain = (await w.call("ListFunctions"))["Functions"]
        assert isinstance(plain, list)
        assert [f["Version"] for f in plain] == ["$LATEST"] * 3

    run(tmp_path, law)


def test_many_who_publish_at_once_make_one_version(tmp_path: Path) -> None:
    """They all get the same one."""

    async def law(w: World) -> None:
        await w.made()
        made = await asyncio.gather(
            *(w.call("PublishVersion", FunctionName="f") for _ in range(5))
        )
        assert {m["Version"] for m in made} == {"1"}
        assert await numbers(w) == ["$LATEST", "1"]

    run(tmp_path, law)


def test_another_account_sees_no_version(tmp_path: Path) -> None:
    """A bare name is of the caller's account."""

    async def law(w: World) -> None:
        await w.made(Publish=True)
        await w.call("CreateAlias", FunctionName="f", Name="a", FunctionVersion="1")
        other = w.of(OTHER_ACCOUNT)
        calls: list[tuple[str, dict[str, object]]] = [
            ("PublishVersion", {}),
            ("ListVersionsByFunction", {}),
            ("ListAliases", {}),
            ("GetAlias", {"Name": "a"}),
            ("UpdateAlias", {"Name": "a", "FunctionVersion": "1"}),
            ("DeleteAlias", {"Name": "a"}),
            ("CreateAlias", {"Name": "b", "FunctionVersion": "1"}),
            ("GetFunction", {"Qualifier": "1"}),
            ("Invoke", {"Qualifier": "a"}),
            ("DeleteFunction", {"Qualifier": "1"}),
        ]
        for name, more in calls:
            with pytest.raises(NotFound):
                await other(name, FunctionName="f", **more)
        assert await numbers(w) == ["$LATEST", "1"]

    run(tmp_path, law)


OLD = {
    "account": ACCOUNT,
    "region": REGION,
    "name": "f",
    "wanted": {
        "revision": "11111111-1111-4111-8111-111111111111",
        "sha256": SHA,
        "size": len(ZIP),
        "configuration": {
            "runtime": "python3.11",
            "handler": "app.handler",
            "role_arn": ROLE,
            "role_id": "AROAWORKERWORKERWORKE",
            "description": "",
            "timeout": 3,
            "memory_mb": 128,
            "ephemeral_mb": 512,
            "environment": {},
            "log_group": "/aws/lambda/f",
            "log_format": "Text",
            "architecture": "x86_64",
        },
    },
    "life": {"state": "Active", "update": "Successful"},
    "modified_at": 1_700_000_000.0,
    "tags": {"team": "keep"},
    "grants": [],
    "policy_revision": "",
}
"""A function as it was kept before there were versions."""


def test_a_function_of_before_versions_opens(tmp_path: Path) -> None:
    """Nothing published, nothing lost; it is published like any other."""

    async def law(w: World) -> None:
        old = json.dumps({**OLD, "serving": OLD["wanted"]}).encode()
        await w.store.blobs.put(ACCOUNT, ZIP)
        await w.store.records.commit(
            Put(
                account=ACCOUNT, table="lambda.functions", key=f"{REGION}/f", value=old
            ),
            Put(
                account=ACCOUNT,
                table="lambda.packages",
                key=f"{SHA}/{REGION}/f",
                value=str(len(ZIP)).encode(),
            ),
        )
        assert (await w.call("Invoke", FunctionName="f"))["StatusCode"] == 200
        assert await numbers(w) == ["$LATEST"]
        assert (await w.call("PublishVersion", FunctionName="f"))["Version"] == "1"
        assert (await w.call("GetFunction", FunctionName="f"))["Tags"] == {
            "team": "keep"
        }

    run(tmp_path, law)


def test_what_is_published_survives_a_start(tmp_path: Path) -> None:
    """Another run of the platform over the same folder has the same versions."""

    async def before() -> None:
        async with world(tmp_path) as w:
            await w.call("CreateFunction", **given(Publish=True))

    async def after() -> None:
        async with world(tmp_path) as w:
            w.service.resume()
            await w.settled()
            shown = await w.call("GetFunctionConfiguration", FunctionName="f:1")
            assert shown["State"] == "Active"

    asyncio.run(before())
    asyncio.run(after())


STEPS = st.lists(
    st.sampled_from(["publish", "code", "code2", "timeout", "drop", "publish"]),
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@values(STEPS)
def test_versions_follow_a_simple_model(steps: list[str]) -> None:
    """Numbers grow by one, contents never change, holds are what is there."""

    async def law(w: World) -> None:
        await w.made()
        there: dict[str, str] = {}
        latest, last, code, timeout = 0, "", "", 3
        for step in steps:
            if step == "publish":
                told = await w.call("PublishVersion", FunctionName="f")
                if last not in there or there[last] != f"{code}/{timeout}":
                    latest += 1
                    last = str(latest)
                    there[last] = f"{code}/{timeout}"
                assert told["Version"] == last
            elif step == "drop":
                if there:
                    gone = min(there)
                    del there[gone]
                    await w.call("DeleteFunction", FunctionName="f", Qualifier=gone)
            elif step == "timeout":
                timeout = timeout % 900 + 1
                await w.call(
                    "UpdateFunctionConfiguration", FunctionName="f", Timeout=timeout
                )
            else:
                code = step
                await update(w, ZIP + code.encode())
            await w.settled()
        assert await numbers(w) == ["$LATEST", *sorted(there, key=int)]
        for number, content in there.items():
            shown = await w.call("GetFunctionConfiguration", FunctionName=f"f:{number}")
            stored, _, seconds = content.partition("/")
            assert shown["CodeSha256"] == digest(ZIP + stored.encode())
            assert shown["Timeout"] == int(seconds)
        kept = {content.partition("/")[0] for content in there.values()} | {code}
        for package in ("", "code", "code2"):
            assert await holds(w, ZIP + package.encode()) == (package in kept)

    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), law)
