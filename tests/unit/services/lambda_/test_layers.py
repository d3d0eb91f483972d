"""Laws of layers: what is published, who may use it, and what is kept for whom."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from casemate.core.arn import Arn
from casemate.core.errors import Conflict, Invalid, NotFound, Refusal
from casemate.core.operation import Scope
from casemate.services.lambda_.declared import configures, create_context
from casemate.services.lambda_.layer_model import refer, refer_version
from casemate.services.lambda_.settings import UNPACKED, FunctionSettings
from casemate.substrate.ports import SHARED
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION
from unit.services.lambda_.test_functions import run
from unit.services.lambda_.test_versions import holds, update
from unit.services.lambda_world import ZIP, Unpacked, World, given

LAYER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l"
SCOPE = Scope(account=ACCOUNT, region=REGION)
A, B = ZIP + b"a", ZIP + b"b"


async def publish(w: World, package: bytes = A, **more: object) -> dict[str, object]:
    name: dict[str, object] = {"LayerName": "l", **more}
    made = await w.call("PublishLayerVersion", Content={"ZipFile": package}, **name)
    await w.settled()
    return dict(made)


async def use(w: World, *arns: str) -> None:
    await w.call("UpdateFunctionConfiguration", FunctionName="f", Layers=list(arns))
    await w.settled()


async def runs(w: World, name: str = "f") -> tuple[str, ...]:
    await w.call("Invoke", FunctionName=name)
    return w.cells.ran[-1].function.layers


def sha(package: bytes) -> str:
    return hashlib.sha256(package).hexdigest()


def test_a_layer_is_published_shown_listed_and_deleted(tmp_path: Path) -> None:
    """Versions count from 1 and are not given again; the newest is listed first."""

    async def law(w: World) -> None:
        first = await publish(
            w,
            Description="ours",
            LicenseInfo="MIT",
            CompatibleRuntimes=["python3.11"],
            CompatibleArchitectures=["x86_64"],
        )
        assert first == {
            "LayerArn": LAYER,
            "LayerVersionArn": f"{LAYER}:1",
            "Version": 1,
            "Description": "ours",
            "LicenseInfo": "MIT",
            "CompatibleRuntimes": ["python3.11"],
            "CompatibleArchitectures": ["x86_64"],
            "CreatedDate": "2023-11-14T22:13:20.000+0000",
            "Content": first["Content"],
        }
        second = await publish(w, B)
        for shown in (
            await w.call("GetLayerVersion", LayerName="l", VersionNumber=1),
            await w.call("GetLayerVersion", LayerName=LAYER, VersionNumber=1),
            await w.call("GetLayerVersionByArn", Arn=f"{LAYER}:1"),
        ):
            assert shown == first
        listed = (await w.call("ListLayerVersions", LayerName="l"))["LayerVersions"]
        assert isinstance(listed, list)
        assert [v["Version"] for v in listed] == [2, 1]
        layers = (await w.call("ListLayers"))["Layers"]
        assert isinstance(layers, list)
        newest = layers[0]["LatestMatchingVersion"]
        assert newest["LayerVersionArn"] == second["LayerVersionArn"]
        fitting = (await w.call("ListLayers", CompatibleRuntime="python3.11"))["Layers"]
        assert isinstance(fitting, list)
        assert fitting[0]["LatestMatchingVersion"]["Version"] == 1
        none = await w.call("ListLayers", CompatibleRuntime="java21")
        assert none == {"Layers": []}
        for _ in range(2):
            gone = await w.call("DeleteLayerVersion", LayerName="l", VersionNumber=2)
            assert gone == {}
        await w.settled()
        with pytest.raises(NotFound):
            await w.call("GetLayerVersion", LayerName="l", VersionNumber=2)
        assert not await holds(w, B)
        assert (await publish(w, B))["Version"] == 3

    run(tmp_path, law)


@pytest.mark.parametrize(
    "more",
    [
        {"Content": {}},
        {"Content": {"ZipFile": b""}},
        {"Content": {"ZipFile": b"no zip"}},
        {"Content": {"ZipFile": bytes(52_428_801)}},
        {"LayerName": "a b"},
        {"LayerName": "x" * 141},
        {"LayerName": f"arn:aws:lambda:{REGION}:{OTHER_ACCOUNT}:layer:l"},
        {"LayerName": f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:l"},
        {"LayerName": f"{LAYER}:1"},
        {"Description": "x" * 257},
        {"LicenseInfo": "x" * 513},
    ],
)
def test_a_bad_layer_is_refused_and_nothing_is_written(
    tmp_path: Path, more: dict[str, object]
) -> None:
    """No record, no package, no work."""

    async def law(w: World) -> None:
        with pytest.raises(Invalid):
            await w.call(
                "PublishLayerVersion",
                **{"LayerName": "l", "Content": {"ZipFile": A}, **more},
            )
        await w.settled()
        for account in (ACCOUNT, SHARED):
            for table in ("layers", "layerversions", "packages", "work"):
                assert [] == list(w.store.records.scan(account, f"lambda.{table}"))

    run(tmp_path, law)


def test_layers_lie_in_their_order_and_stay_until_they_are_taken_off(
    tmp_path: Path,
) -> None:
    """What is not given stays; an empty list takes all off."""

    async def law(w: World) -> None:
        await publish(w)
        await publish(w, B, LayerName="m")
        other = LAYER[:-1] + "m:1"
        made = await w.made(Layers=[other, f"{LAYER}:1"])
        assert made["Layers"] == [
            {"Arn": other, "CodeSize": len(B)},
            {"Arn": f"{LAYER}:1", "CodeSize": len(A)},
        ]
        assert await runs(w) == (sha(B), sha(A))
        await update(w, ZIP + b"2")
        assert await runs(w) == (sha(B), sha(A))
        await use(w, f"{LAYER}:1", other)
        assert await runs(w) == (sha(A), sha(B))
        await w.call("PublishVersion", FunctionName="f")
        await use(w)
        assert await runs(w) == ()
        assert await runs(w, "f:1") == (sha(A), sha(B))
        shown = await w.call("GetFunctionConfiguration", FunctionName="f")
        assert "Layers" not in shown

    run(tmp_path, law)


def test_layers_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    """Six, the same twice, one that is not there; five of different names are taken."""

    async def law(w: World) -> None:
        for n in range(6):
            await publish(w, LayerName=f"l{n}")
        await publish(w, LayerName="l0")
        await w.made()
        arns = [f"{LAYER}{n}:1" for n in range(6)]
        wrong = [
            (arns, "at most 5"),
            ([arns[0], arns[0]], "same layer"),
            ([arns[0], f"{LAYER}0:2"], "same layer"),
            ([f"{LAYER}0:9"], "does not exist"),
            ([f"{LAYER}0:01"], "does not exist"),
            ([f"{LAYER}0"], "does not exist"),
            (["nothing"], "does not exist"),
        ]
        for layers, words in wrong:
            with pytest.raises(Invalid, match=words):
                await use(w, *layers)
            with pytest.raises(Invalid, match=words):
                await w.call("CreateFunction", **given("g", Layers=layers))
        assert await runs(w) == ()
        await use(w, *arns[:5])
        assert await runs(w) == (sha(A),) * 5

    run(tmp_path, law)


def test_code_and_layers_fit_together(tmp_path: Path) -> None:
    """250 MB unpacked, whichever of them comes last."""

    async def law(w: World) -> None:
        w.workshop.unpacked = Unpacked(bytes=UNPACKED // 2)
        await publish(w)
        await publish(w, LayerName="m")
        other = LAYER[:-1] + "m:1"
        await w.made(Layers=[f"{LAYER}:1"])
        with pytest.raises(Invalid, match="combined with layers"):
            await use(w, f"{LAYER}:1", other)
        with pytest.raises(Invalid, match="combined with layers"):
            await w.call("CreateFunction", **given("g", Layers=[f"{LAYER}:1", other]))
        w.workshop.unpacked = Unpacked(bytes=UNPACKED // 2 + 1)
        with pytest.raises(Invalid, match="combined with layers"):
            await w.call("UpdateFunctionCode", FunctionName="f", ZipFile=ZIP + b"2")
        await w.settled()
        assert await runs(w) == (sha(A),)

    run(tmp_path, law)


def test_what_uses_a_layer_keeps_its_package(tmp_path: Path) -> None:
    """A deleted version is run on by those who have it, and used by nobody new."""

    async def law(w: World) -> None:
        await publish(w)
        await w.made(Layers=[f"{LAYER}:1"], Publish=True)
        await w.call("DeleteLayerVersion", LayerName="l", VersionNumber=1)
        await w.settled()
        assert await holds(w, A)
        with pytest.raises(Invalid, match="does not exist"):
            await w.call("CreateFunction", **given("g", Layers=[f"{LAYER}:1"]))
        await use(w)
        assert await holds(w, A)
        assert await runs(w, "f:1") == (sha(A),)
        used = (await w.call("GetAccountSettings"))["AccountUsage"]
        kept = 2 * len(ZIP) + len(A)
        assert used == {"TotalCodeSize": kept, "FunctionCount": 1}
        await w.call("DeleteFunction", FunctionName="f", Qualifier="1")
        await w.settled()
        used = (await w.call("GetAccountSettings"))["AccountUsage"]
        assert used == {"TotalCodeSize": len(ZIP), "FunctionCount": 1}
        assert not await holds(w, A)
        assert [] == list(w.store.records.scan(SHARED, "lambda.work"))

    run(tmp_path, law)


def test_a_layer_and_a_function_may_be_one_package(tmp_path: Path) -> None:
    """Each hold is its own: what goes last takes the package."""

    async def law(w: World) -> None:
        await publish(w, ZIP)
        await w.made(Layers=[f"{LAYER}:1"])
        await w.call("DeleteLayerVersion", LayerName="l", VersionNumber=1)
        await update(w, ZIP + b"2")
        assert await holds(w, ZIP)
        await w.call("DeleteFunction", FunctionName="f")
        await w.settled()
        assert not await holds(w, ZIP)

    run(tmp_path, law)


def test_a_layer_of_another_account_is_copied(tmp_path: Path) -> None:
    """What runs lies under the key of the account that runs it."""

    async def law(w: World) -> None:
        await publish(w)
        other = w.of(OTHER_ACCOUNT)
        theirs = given(
            "f",
            Role=f"arn:aws:iam::{OTHER_ACCOUNT}:role/worker",
            Layers=[f"{LAYER}:1"],
        )
        await other("CreateFunction", **theirs)
        await w.settled()
        assert await w.store.blobs.get(OTHER_ACCOUNT, sha(A)) == A
        await w.call("DeleteLayerVersion", LayerName="l", VersionNumber=1)
        await w.settled()
        assert not await holds(w, A)
        assert await w.store.blobs.get(OTHER_ACCOUNT, sha(A)) == A
        await other("DeleteFunction", FunctionName="f")
        await w.settled()
        with pytest.raises(KeyError):
            await w.store.blobs.get(OTHER_ACCOUNT, sha(A))

    run(tmp_path, law)


async def used_bytes(w: World, account: str = ACCOUNT) -> int:
    usage = (await w.of(account)("GetAccountSettings"))["AccountUsage"]
    assert isinstance(usage, dict)
    return int(usage["TotalCodeSize"])


async def on_disk(w: World, packages: list[bytes]) -> int:
    return sum([len(package) for package in packages if await holds(w, package)])


def test_a_package_counts_whoever_holds_it(tmp_path: Path) -> None:
    """Published, used, kept by a version, deleted, and again: it stays counted."""
    most = 5 * len(ZIP) + 300
    packages = [ZIP + bytes([n]) * 100 for n in range(4)]

    async def law(w: World) -> None:
        await w.made()
        for number in (1, 2):
            await publish(w, packages[number])
            await use(w, f"{LAYER}:{number}")
            await w.call("PublishVersion", FunctionName="f")
            await w.call("DeleteLayerVersion", LayerName="l", VersionNumber=number)
            await w.settled()
            held = await on_disk(w, packages)
            assert held == sum(len(p) for p in packages[1 : number + 1])
            assert await used_bytes(w) == (number + 1) * len(ZIP) + held
        with pytest.raises(Refusal) as refused:
            await publish(w, packages[3])
        assert refused.value.code == "CodeStorageExceededException"
        assert not await holds(w, packages[3])

    run(tmp_path, law, FunctionSettings(total_code_bytes=most))


def test_what_is_used_is_counted_the_same_after_a_start(tmp_path: Path) -> None:
    """A layer that only functions hold counts once, whoever asks first."""

    async def before(w: World) -> None:
        await publish(w)
        await w.made(Layers=[f"{LAYER}:1"], Publish=True)
        assert await used_bytes(w) == 2 * len(ZIP) + len(A)
        await w.call("DeleteLayerVersion", LayerName="l", VersionNumber=1)
        await w.settled()
        assert await used_bytes(w) == 2 * len(ZIP) + len(A)

    async def after(w: World) -> None:
        assert await used_bytes(w) == 2 * len(ZIP) + len(A)

    run(tmp_path, before)
    run(tmp_path, after)


def test_a_function_may_be_called_layer(tmp_path: Path) -> None:
    """It counts like any other, and so do its versions."""

    async def law(w: World) -> None:
        await w.made("layer", Publish=True)
        used = (await w.call("GetAccountSettings"))["AccountUsage"]
        assert used == {"TotalCodeSize": 2 * len(ZIP), "FunctionCount": 1}
        with pytest.raises(Refusal) as refused:
            await w.call("CreateFunction", **given("g"))
        assert refused.value.code == "CodeStorageExceededException"

    run(tmp_path, law, FunctionSettings(functions=1))


def test_the_copy_of_a_layer_needs_room(tmp_path: Path) -> None:
    """Another account's layer is on this account's disk, and counts for it."""

    async def law(w: World) -> None:
        await publish(w)
        await publish(w, B)
        other = w.of(OTHER_ACCOUNT)
        role = {"Role": f"arn:aws:iam::{OTHER_ACCOUNT}:role/worker"}
        await other("CreateFunction", **given("f", **role, Layers=[f"{LAYER}:1"]))
        await w.settled()
        assert await used_bytes(w, OTHER_ACCOUNT) == len(ZIP) + len(A)
        for name, more in (
            ("CreateFunction", given("g", **role, Layers=[f"{LAYER}:2"])),
            (
                "UpdateFunctionConfiguration",
                {"FunctionName": "f", "Layers": [f"{LAYER}:2"]},
            ),
        ):
            with pytest.raises(Refusal) as refused:
                await other(name, **more)
            assert refused.value.code == "CodeStorageExceededException"
            await w.settled()
            with pytest.raises(KeyError):
                await w.store.blobs.get(OTHER_ACCOUNT, sha(B))
        await other("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
        await w.settled()
        await other("DeleteFunction", FunctionName="f")
        await w.settled()
        assert await used_bytes(w, OTHER_ACCOUNT) == 0

    most = len(A) + len(B) + len(ZIP) - 1
    run(tmp_path, law, FunctionSettings(total_code_bytes=most))


def test_a_layer_s_policy_is_written_shown_and_taken_out(tmp_path: Path) -> None:
    """It names accounts, holds for one version, and goes with it."""

    async def law(w: World) -> None:
        await publish(w)
        await publish(w, B)
        version = {"LayerName": "l", "VersionNumber": 1}
        grant: dict[str, object] = {
            **version,
            "StatementId": "s",
            "Action": "lambda:GetLayerVersion",
            "Principal": OTHER_ACCOUNT,
        }
        wrong = [
            {"Action": "lambda:InvokeFunction"},
            {"Principal": "*"},
            {"Principal": "somebody"},
            {"StatementId": "a b"},
        ]
        for more in wrong:
            with pytest.raises(Invalid):
                await w.call("AddLayerVersionPermission", **{**grant, **more})
        with pytest.raises(NotFound):
            await w.call("GetLayerVersionPolicy", **version)
        added = await w.call("AddLayerVersionPermission", **grant)
        shown = await w.call("GetLayerVersionPolicy", **version)
        statement = json.loads(str(added["Statement"]))
        assert statement["Resource"] == f"{LAYER}:1"
        assert json.loads(str(shown["Policy"]))["Statement"] == [statement]
        facts = {
            n: w.service.resource_facts(Arn.parse(f"{LAYER}:{n}")) for n in (1, 2, 3)
        }
        assert [len(f.policies) if f else None for f in facts.values()] == [1, 0, None]
        with pytest.raises(Conflict):
            await w.call("AddLayerVersionPermission", **grant)
        with pytest.raises(NotFound):
            await w.call("AddLayerVersionPermission", **{**grant, "VersionNumber": 9})
        remove = {**version, "StatementId": "s"}
        with pytest.raises(Refusal) as stale:
            await w.call("RemoveLayerVersionPermission", **remove, RevisionId="no")
        assert stale.value.code == "PreconditionFailedException"
        await w.call(
            "RemoveLayerVersionPermission", **remove, RevisionId=shown["RevisionId"]
        )
        with pytest.raises(NotFound):
            await w.call("RemoveLayerVersionPermission", **remove)

    run(tmp_path, law)


def test_using_a_layer_is_asked_for() -> None:
    """Each layer that is given needs the right to read it, and fills its key."""
    layers = [f"{LAYER}:1", f"arn:aws:lambda:{REGION}:{OTHER_ACCOUNT}:layer:x:2"]
    asked = configures({"FunctionName": "f", "Layers": layers}, SCOPE)
    assert [(n.action, n.resource) for n in asked] == [
        ("lambda:GetLayerVersion", layer) for layer in layers
    ]
    context = create_context({"FunctionName": "f", "Layers": layers}, SCOPE)
    assert context["lambda:Layer"] == tuple(layers)
    assert configures({"FunctionName": "f"}, SCOPE) == ()


@pytest.mark.parametrize(
    "name", ["", "*", "l:1:2", "a/b", "l\n", LAYER + "*", "arn:aws:lambda:::layer:l"]
)
def test_what_is_no_layer_is_refused(name: str) -> None:
    """No wildcard and no other service's ARN becomes a resource."""
    with pytest.raises(Invalid):
        refer({"LayerName": name}, SCOPE)
    assert refer_version(name) is None


def test_layers_are_bounded_and_paged(tmp_path: Path) -> None:
    """Versions of layers count with those of functions; lists have bound markers."""

    async def law(w: World) -> None:
        for name in ("l", "m", "n"):
            await publish(w, LayerName=name)
        with pytest.raises(Refusal) as refused:
            await publish(w)
        assert refused.value.code == "CodeStorageExceededException"
        names: list[str] = []
        more: dict[str, object] = {}
        while True:
            page = await w.call("ListLayers", MaxItems=1, **more)
            layers = page["Layers"]
            assert isinstance(layers, list)
            names += [layer["LayerName"] for layer in layers]
            if "NextMarker" not in page:
                break
            more = {"Marker": page["NextMarker"]}
        assert names == ["l", "m", "n"]
        with pytest.raises(Invalid, match="Marker"):
            await w.of(OTHER_ACCOUNT)("ListLayers", **more)
        with pytest.raises(Invalid, match="Marker"):
            await w.call("ListLayers", CompatibleRuntime="python3.11", **more)
        assert {"Layers": []} == await w.of(OTHER_ACCOUNT)("ListLayers")

    run(tmp_path, law, FunctionSettings(versions=3))


def test_versions_of_a_layer_are_bounded_and_paged(tmp_path: Path) -> None:
    """By layer; the newest first, each once, whatever filter there is."""

    async def law(w: World) -> None:
        for n in range(12):
            await publish(w, CompatibleRuntimes=["python3.11"] if n % 2 else [])
        with pytest.raises(Refusal) as refused:
            await publish(w, B)
        assert refused.value.code == "CodeStorageExceededException"
        await w.settled()
        assert not await holds(w, B)

        async def numbers(**more: object) -> list[int]:
            found: list[int] = []
            while True:
                page = await w.call(
                    "ListLayerVersions", LayerName="l", MaxItems=4, **more
                )
                versions = page["LayerVersions"]
                assert isinstance(versions, list)
                assert len(versions) <= 4
                found += [v["Version"] for v in versions]
                if "NextMarker" not in page:
                    return found
                more = {**more, "Marker": page["NextMarker"]}

        assert await numbers() == list(range(12, 0, -1))
        assert await numbers(CompatibleRuntime="python3.11") == list(range(12, 0, -2))
        await w.call("DeleteLayerVersion", LayerName="l", VersionNumber=5)
        assert (await publish(w, B))["Version"] == 13

    run(tmp_path, law, FunctionSettings(layer_versions=12))


def test_a_filtered_list_looks_at_so_many_and_goes_on(tmp_path: Path) -> None:
    """A page may be short, or empty, and still lead to all that fit."""

    async def law(w: World) -> None:
        for name in ("a", "b", "c"):
            for n in range(3):
                fits = ["python3.11"] if name == "c" and n == 0 else []
                await publish(w, LayerName=name, CompatibleRuntimes=fits)
        found, sizes = [], []
        more: dict[str, object] = {"CompatibleRuntime": "python3.11"}
        while True:
            page = await w.call("ListLayers", **more)
            layers = page["Layers"]
            assert isinstance(layers, list)
            found += [layer["LatestMatchingVersion"]["Version"] for layer in layers]
            sizes.append(len(layers))
            if "NextMarker" not in page:
                break
            more = {**more, "Marker": page["NextMarker"]}
        assert found == [1]
        assert sizes == [0, 1]

    run(tmp_path, law, FunctionSettings(layer_versions=5))
