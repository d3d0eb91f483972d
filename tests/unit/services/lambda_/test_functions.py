"""Laws of making, changing, showing and removing functions."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from casemate.core.errors import Conflict, Denied, Invalid, NotFound, Refusal
from casemate.services.lambda_.changes import settling
from casemate.services.lambda_.model import Function
from casemate.services.lambda_.names import FunctionRef
from casemate.services.lambda_.settings import FunctionSettings
from casemate.services.lambda_.store import Store
from casemate.substrate.ports import SHARED
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION
from unit.services.lambda_world import ROLE, ZIP, World, composed, given, world

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
SHA = hashlib.sha256(ZIP).hexdigest()


def run(
    folder: Path,
    law: Callable[[World], Awaitable[None]],
    settings: FunctionSettings | None = None,
) -> None:
    async def inside() -> None:
        async with world(folder, settings) as here:
            await law(here)

    asyncio.run(inside())


def test_a_function_is_pending_then_active(tmp_path: Path) -> None:
    """The answer says Pending; once settled, Active and Successful."""

    async def law(w: World) -> None:
        made = await w.call("CreateFunction", **given())
        assert made["State"] == "Pending"
        assert made["StateReasonCode"] == "Creating"
        assert "LastUpdateStatus" not in made
        assert made["FunctionArn"] == ARN
        assert made["CodeSize"] == len(ZIP)
        assert (
            made["CodeSha256"]
            == base64.b64encode(hashlib.sha256(ZIP).digest()).decode()
        )
        assert made["Version"] == "$LATEST"
        assert made["LastModified"] == "2023-11-14T22:13:20.000+0000"
        await w.settled()
        shown = await w.call("GetFunction", FunctionName="f")
        configuration = shown["Configuration"]
        assert isinstance(configuration, dict)
        assert configuration["State"] == "Active"
        assert configuration["LastUpdateStatus"] == "Successful"
        assert "StateReason" not in configuration
        assert shown["Code"] == {"RepositoryType": "S3"}

    run(tmp_path, law)


def test_nothing_is_left_of_a_settled_creation(tmp_path: Path) -> None:
    """The note of work is gone, the package is held."""

    async def law(w: World) -> None:
        await w.made()
        assert [] == list(w.store.records.scan(SHARED, "lambda.work"))
        assert await w.store.blobs.get(ACCOUNT, SHA) == ZIP

    run(tmp_path, law)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"Runtime": "python2.7"}, "python3.11, provided.al2023"),
        ({"Runtime": None}, "mandatory"),
        ({"Handler": None}, "mandatory"),
        ({"Handler": "a b"}, "white space"),
        ({"Handler": "a\x00b"}, "white space"),
        ({"Handler": "x" * 129}, "128"),
        ({"Role": f"arn:aws:iam::{ACCOUNT}:role/other"}, "cannot be assumed by Lambda"),
        ({"Role": "worker"}, "ARN"),
        ({"Timeout": 0}, "from 1 to 900"),
        ({"Timeout": 901}, "from 1 to 900"),
        ({"MemorySize": 127}, "from 128 to 10240"),
        ({"MemorySize": 10_241}, "from 128 to 10240"),
        ({"EphemeralStorage": {"Size": 511}}, "from 512 to 10240"),
        ({"EphemeralStorage": {"Size": 10_241}}, "from 512 to 10240"),
        ({"Description": "x" * 257}, "256"),
        ({"Architectures": ["arm64"]}, "x86_64"),
        ({"Code": {}}, "source for function code"),
        ({"Code": {"ZipFile": b""}}, "non-empty"),
        ({"Code": {"ZipFile": b"no"}}, "it is no zip"),
        ({"Code": {"ZipFile": bytes(52_428_801)}}, "52428800"),
        ({"Tags": {"aws:x": "1"}}, "reserved"),
        ({"Tags": {f"k{n}": "" for n in range(51)}}, "50"),
        ({"LoggingConfig": {"LogGroup": "a:b"}}, "LogGroup"),
        ({"Environment": {"Variables": {"AWS_REGION": "x"}}}, "AWS_REGION"),
    ],
)
def test_a_bad_creation_is_refused_and_nothing_is_written(
    tmp_path: Path, more: dict[str, Any], words: str
) -> None:
    """Each limit refuses with its reason, and leaves no record and no package."""

    async def law(w: World) -> None:
        with pytest.raises(Invalid, match=words) as refused:
            await w.call("CreateFunction", **given(**more))
        assert refused.value.code == "InvalidParameterValueException"
        await w.settled()
        for account in (ACCOUNT, SHARED):
            for table in ("lambda.functions", "lambda.packages", "lambda.work"):
                assert [] == list(w.store.records.scan(account, table))

    run(tmp_path, law)


@pytest.mark.parametrize(
    "more",
    [
        {"Timeout": 1},
        {"Timeout": 900},
        {"MemorySize": 128},
        {"MemorySize": 10_240},
        {"EphemeralStorage": {"Size": 512}},
        {"EphemeralStorage": {"Size": 10_240}},
        {"Description": "x" * 256},
        {"Handler": "x" * 128},
        {"FunctionName": "n" * 64},
        {"Tags": {f"k{n}": "" for n in range(50)}},
        {"Architectures": ["x86_64"]},
    ],
)
def test_the_last_good_value_is_taken(tmp_path: Path, more: dict[str, object]) -> None:
    """Each limit is reached from below."""

    async def law(w: World) -> None:
        await w.call("CreateFunction", **{**given(), **more})

    run(tmp_path, law)


def test_a_role_of_another_account_is_refused(tmp_path: Path) -> None:
    """A role can be passed within its account only."""

    async def law(w: World) -> None:
        role = f"arn:aws:iam::{OTHER_ACCOUNT}:role/worker"
        with pytest.raises(Denied, match="Cross-account"):
            await w.call("CreateFunction", **given(Role=role))

    run(tmp_path, law)


def test_a_second_function_of_a_name_is_refused(tmp_path: Path) -> None:
    """One name, one function; of many at once, one is made."""

    async def law(w: World) -> None:
        answers = await asyncio.gather(
            *(w.call("CreateFunction", **given()) for _ in range(5)),
            return_exceptions=True,
        )
        lost = [a for a in answers if isinstance(a, Conflict)]
        assert len(lost) == 4
        assert lost[0].code == "ResourceConflictException"
        await w.settled()
        shown = await w.call("GetFunctionConfiguration", FunctionName="f")
        assert shown["State"] == "Active"
        assert await w.store.blobs.get(ACCOUNT, SHA) == ZIP

    run(tmp_path, law)


def test_an_update_needs_an_idle_function(tmp_path: Path) -> None:
    """409 while a creation or an update is under way."""

    async def law(w: World) -> None:
        await w.call("CreateFunction", **given())
        with pytest.raises(Conflict, match="Pending"):
            await w.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        await w.settled()
        changed = await w.call(
            "UpdateFunctionConfiguration", FunctionName="f", Timeout=9
        )
        assert changed["LastUpdateStatus"] == "InProgress"
        assert changed["State"] == "Active"
        with pytest.raises(Conflict, match="An update is in progress"):
            await w.call("UpdateFunctionCode", FunctionName="f", ZipFile=ZIP + b"2")
        await w.settled()
        after = await w.call("GetFunctionConfiguration", FunctionName="f")
        assert (after["Timeout"], after["LastUpdateStatus"]) == (9, "Successful")
        assert (after["MemorySize"], after["Handler"]) == (128, "app.handler")

    run(tmp_path, law)


def test_new_code_replaces_the_old(tmp_path: Path) -> None:
    """The revision changes, the old package goes, the old cells are retired."""

    async def law(w: World) -> None:
        first = await w.made()
        second = await w.call(
            "UpdateFunctionCode",
            FunctionName="f",
            ZipFile=ZIP + b"2",
            RevisionId=first["RevisionId"],
        )
        assert second["RevisionId"] != first["RevisionId"]
        await w.settled()
        with pytest.raises(KeyError):
            await w.store.blobs.get(ACCOUNT, SHA)
        assert w.cells.retired[-1] == (ARN, "$LATEST", second["RevisionId"])
        with pytest.raises(Refusal) as stale:
            await w.call(
                "UpdateFunctionCode",
                FunctionName="f",
                ZipFile=ZIP,
                RevisionId=first["RevisionId"],
            )
        assert (stale.value.code, stale.value.http_status) == (
            "PreconditionFailedException",
            412,
        )

    run(tmp_path, law)


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    """It checks the package and says what would be."""

    async def law(w: World) -> None:
        await w.made()
        before = await w.call("GetFunctionConfiguration", FunctionName="f")
        shown = await w.call(
            "UpdateFunctionCode", FunctionName="f", ZipFile=ZIP + b"2", DryRun=True
        )
        assert shown["CodeSha256"] != before["CodeSha256"]
        assert before == await w.call("GetFunctionConfiguration", FunctionName="f")

    run(tmp_path, law)


def test_a_damaged_package_fails_the_update_and_the_old_one_serves(
    tmp_path: Path,
) -> None:
    """What was served before is served on; the status says Failed and why."""

    async def law(w: World) -> None:
        await w.made()
        digest = hashlib.sha256(ZIP + b"2").hexdigest()
        await w.call("UpdateFunctionCode", FunctionName="f", ZipFile=ZIP + b"2")
        await w.service.close()
        await w.store.blobs.delete(ACCOUNT, digest)
        assert w.service.resume() == 1
        await w.settled()
        shown = await w.call("GetFunctionConfiguration", FunctionName="f")
        assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Failed")
        assert shown["LastUpdateStatusReasonCode"] == "InvalidZipFileException"
        await w.call("Invoke", FunctionName="f")
        assert w.cells.ran[-1].function.code_sha256 == SHA

    run(tmp_path, law)


def test_what_a_crash_left_is_taken_up(tmp_path: Path) -> None:
    """A start resumes pending functions, and lets go of what nobody came to hold."""

    async def before() -> None:
        async with world(tmp_path) as w:
            await w.call("CreateFunction", **given())
            await w.service.close()
            stray = FunctionRef(account=ACCOUNT, region=REGION, name="never")
            store = Store(w.store.records, w.store.blobs)
            digest = hashlib.sha256(b"stray").hexdigest()
            await store.begin(settling(stray, digest))
            await store.keep(ACCOUNT, b"stray")

    async def after() -> None:
        async with world(tmp_path) as w:
            assert w.service.resume() == 2
            await w.settled()
            shown = await w.call("GetFunctionConfiguration", FunctionName="f")
            assert shown["State"] == "Active"
            with pytest.raises(KeyError):
                await w.store.blobs.get(ACCOUNT, hashlib.sha256(b"stray").hexdigest())
            assert [] == list(w.store.records.scan(SHARED, "lambda.work"))

    asyncio.run(before())
    asyncio.run(after())


def test_a_shared_package_goes_with_its_last_function(tmp_path: Path) -> None:
    """Two functions hold one package; it goes with the second."""

    async def law(w: World) -> None:
        await w.made("f")
        await w.made("g")
        await w.call("DeleteFunction", FunctionName="f")
        await w.settled()
        assert await w.store.blobs.get(ACCOUNT, SHA) == ZIP
        assert (ARN, None, None) in w.cells.retired
        await w.call("DeleteFunction", FunctionName="g")
        await w.settled()
        with pytest.raises(KeyError):
            await w.store.blobs.get(ACCOUNT, SHA)
        with pytest.raises(NotFound):
            await w.call("GetFunction", FunctionName="f")

    run(tmp_path, law)


def test_a_function_made_anew_inherits_nothing(tmp_path: Path) -> None:
    """Policy and tags go with the function."""

    async def law(w: World) -> None:
        await w.made(Tags={"a": "b"})
        await w.call(
            "AddPermission",
            FunctionName="f",
            StatementId="s",
            Action="lambda:InvokeFunction",
            Principal=OTHER_ACCOUNT,
        )
        await w.call("DeleteFunction", FunctionName="f")
        await w.made()
        with pytest.raises(NotFound):
            await w.call("GetPolicy", FunctionName="f")
        assert "Tags" not in await w.call("GetFunction", FunctionName="f")

    run(tmp_path, law)


def test_a_list_is_paged_under_bound_tokens(tmp_path: Path) -> None:
    """Every function once, in order; a token is good for its account only."""

    async def law(w: World) -> None:
        for n in range(5):
            await w.made(f"f{n}")
        names: list[object] = []
        more: dict[str, object] = {}
        while True:
            page = await w.call("ListFunctions", MaxItems=2, **more)
            functions = page["Functions"]
            assert isinstance(functions, list)
            names += [f["FunctionName"] for f in functions]
            if "NextMarker" not in page:
                break
            more = {"Marker": page["NextMarker"]}
        assert names == [f"f{n}" for n in range(5)]
        assert {"Functions": []} == await w.of(OTHER_ACCOUNT)("ListFunctions")
        with pytest.raises(Invalid, match="Marker"):
            await w.of(OTHER_ACCOUNT)("ListFunctions", **more)
        with pytest.raises(Invalid, match="Marker"):
            await w.call("ListFunctions", FunctionVersion="ALL", **more)
        with pytest.raises(Invalid, match="Marker"):
            await w.call("ListFunctions", Marker="f3")

    run(tmp_path, law)


def test_other_qualifiers_and_regions_are_not_there(tmp_path: Path) -> None:
    """`$LATEST` is the only version, and this region the only one."""

    async def law(w: World) -> None:
        await w.made()
        for name in ("f:1", "f:live", f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"):
            with pytest.raises(NotFound):
                await w.call("GetFunction", FunctionName=name)
        shown = await w.call("GetFunctionConfiguration", FunctionName="f:$LATEST")
        assert shown["FunctionArn"] == f"{ARN}:$LATEST"
        with pytest.raises(Invalid, match="cannot be deleted without"):
            await w.call("DeleteFunction", FunctionName="f", Qualifier="$LATEST")
        versions = (await w.call("ListVersionsByFunction", FunctionName="f"))[
            "Versions"
        ]
        assert isinstance(versions, list)
        assert [v["Version"] for v in versions] == ["$LATEST"]
        assert {} == await w.call("GetFunctionConcurrency", FunctionName="f")

    run(tmp_path, law)


def test_room_is_bounded(tmp_path: Path) -> None:
    """Bytes of code and functions of an account have their limits."""

    async def law(w: World) -> None:
        await w.made("f0")
        await w.made("f1")
        with pytest.raises(Refusal) as refused:
            await w.made("f2")
        assert refused.value.code == "CodeStorageExceededException"
        used = (await w.call("GetAccountSettings"))["AccountUsage"]
        assert used == {"TotalCodeSize": 2 * len(ZIP), "FunctionCount": 2}

    run(tmp_path, law, FunctionSettings(functions=2))
    run(tmp_path / "bytes", law, FunctionSettings(total_code_bytes=2 * len(ZIP) + 1))


def test_functions_made_at_once_do_not_pass_the_limit(tmp_path: Path) -> None:
    """Each alone would fit; a refusal gives back what it held."""

    async def law(w: World) -> None:
        made = await asyncio.gather(
            *(w.call("CreateFunction", **given(f"f{n}")) for n in range(8)),
            return_exceptions=True,
        )
        assert 6 == sum(isinstance(one, Refusal) for one in made)
        await w.settled()
        await w.call("DeleteFunction", FunctionName="f0")
        await w.made("again")

    run(tmp_path, law, FunctionSettings(functions=2))
    run(tmp_path / "bytes", law, FunctionSettings(total_code_bytes=2 * len(ZIP) + 1))


def test_a_caller_who_leaves_does_not_tear_a_change(tmp_path: Path) -> None:
    """A creation that was cancelled is either whole or not there at all."""

    async def law(w: World) -> None:
        for n in range(10):
            task = asyncio.create_task(w.call("CreateFunction", **given(f"f{n}")))
            for _ in range(n):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)
        await w.service.close()
        w.service.resume()
        await w.settled()
        page = (await w.call("ListFunctions"))["Functions"]
        assert isinstance(page, list)
        assert {"Active"} >= {f["State"] for f in page}
        assert [] == list(w.store.records.scan(SHARED, "lambda.work"))

    run(tmp_path, law)


def test_the_role_is_kept_by_its_unique_id(tmp_path: Path) -> None:
    """A cell is told which role it was, not only what it was called."""

    async def law(w: World) -> None:
        await w.made()
        await w.call("Invoke", FunctionName="f")
        version = w.cells.ran[-1].function
        assert (version.role_arn, version.role_id) == (ROLE, "AROAWORKERWORKERWORKE")

    run(tmp_path, law)


def test_composition_twice_reads_what_is_kept(tmp_path: Path) -> None:
    """What one composition writes, another over the same store reads."""

    async def law(w: World) -> None:
        await w.made(Environment={"Variables": {"KEY": "value"}})
        again = composed(w.store, w.clock, w.cells, w.workshop, FunctionSettings())
        ref = FunctionRef(account=ACCOUNT, region=REGION, name="f")
        found = again.directory.find(ref)
        assert found is not None
        assert isinstance(found.function, Function)
        assert found.version is not None
        assert found.version.environment == {"KEY": "value"}

    run(tmp_path, law)
