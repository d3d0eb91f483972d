"""Layers on a running platform: what a function sees at /opt, and who may use what."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from platform_harness import Platform, zipped

SOURCE = """
import os, sys

def handler(event, context):
    import shared
    files = sorted(
        os.path.join(folder, name).removeprefix("/opt/")
        for folder, _, names in os.walk("/opt") for name in names
        if "__pycache__" not in folder
    )
    refused = []
    for place in ("/opt/new", "/opt/python/shared.py"):
        try:
            open(place, "w")
        except OSError as error:
            refused.append(error.strerror)
    return {"value": shared.VALUE, "files": files, "refused": refused}
"""
PATIENCE = 15.0
READ_ONLY = "Read-only file system"


def _layer(lambda_: Any, name: str, files: dict[str, str | bytes]) -> str:
    made = lambda_.publish_layer_version(
        LayerName=name,
        Content={"ZipFile": zipped(files)},
        CompatibleRuntimes=["python3.11"],
    )
    return str(made["LayerVersionArn"])


def _shared(value: str, **more: str | bytes) -> dict[str, str | bytes]:
    return {"python/shared.py": f"VALUE = {value!r}\n", **more}


def test_layers_are_merged_at_opt_in_their_order(
    platform: Platform, lambda_: Any, role: str
) -> None:
    """The last one is on top; versions keep theirs; what is there is read-only."""
    low = _layer(lambda_, "low", _shared("low", **{"data/low.txt": "low"}))
    high = _layer(lambda_, "high", _shared("high", **{"data/high.txt": "high"}))
    name = {"FunctionName": "layered"}
    platform.function("layered", SOURCE, role=role, Layers=[low, high])

    told, _ = platform.invoke("layered")
    assert {
        "value": "high",
        "files": ["data/high.txt", "data/low.txt", "python/shared.py"],
        "refused": [READ_ONLY, READ_ONLY],
    } == told

    lambda_.publish_version(**name)
    for layers, value in (([high, low], "low"), ([low], "low"), ([high], "high")):
        lambda_.update_function_configuration(**name, Layers=layers)
        lambda_.get_waiter("function_updated_v2").wait(**name)
        assert value == platform.invoke("layered")[0]["value"]
    shown = lambda_.get_function_configuration(**name)["Layers"]
    assert [high] == [layer["Arn"] for layer in shown]
    assert "high" == platform.invoke("layered:1")[0]["value"]
    assert 3 == len(platform.invoke("layered:1")[0]["files"])

    lambda_.delete_layer_version(LayerName="low", VersionNumber=1)
    assert 3 == len(platform.invoke("layered:1")[0]["files"])
    lambda_.update_function_configuration(**name, Layers=[])
    lambda_.get_waiter("function_updated_v2").wait(**name)
    _, answer = platform.invoke("layered")
    assert "Unhandled" == answer["FunctionError"]


def test_five_layers_and_one_of_two_are_taken_and_six_are_not(
    platform: Platform, lambda_: Any, role: str, own: Any
) -> None:
    """One content twice is one; the sixth is AWS's error and on record."""
    layers = [_layer(lambda_, f"five{n}", _shared(str(n))) for n in range(4)]
    layers.append(_layer(lambda_, "five4", _shared("0")))
    platform.function("five", SOURCE, role=role, Layers=layers)
    assert "0" == platform.invoke("five")[0]["value"]

    layers.append(_layer(lambda_, "five5", _shared("5")))
    with pytest.raises(
        lambda_.exceptions.InvalidParameterValueException, match="at most 5"
    ) as refused:
        lambda_.update_function_configuration(FunctionName="five", Layers=layers)
    request = refused.value.response["ResponseMetadata"]["RequestId"]
    record = json.loads(own.explain_request(RequestId=request)["Record"])
    assert "InvalidParameterValueException" == record["errorCode"]


def test_a_bad_package_is_no_layer(lambda_: Any) -> None:
    """It is read in a workshop first; nothing is written."""
    with pytest.raises(lambda_.exceptions.InvalidParameterValueException):
        lambda_.publish_layer_version(
            LayerName="bad", Content={"ZipFile": zipped({"../escape": "x"})}
        )
    with pytest.raises(lambda_.exceptions.ClientError, match="S3Bucket"):
        lambda_.publish_layer_version(
            LayerName="bad", Content={"S3Bucket": "bucket", "S3Key": "key"}
        )
    assert [] == lambda_.list_layer_versions(LayerName="bad")["LayerVersions"]


def test_a_layer_is_used_by_another_account_by_leave_only(
    platform: Platform, lambda_: Any, own: Any, account: str
) -> None:
    """Refused without, used with, and used on when leave and layer have gone."""
    other = str(own.create_account(Name="borrows")["AccountId"])
    layer = _layer(lambda_, "lent", _shared("lent"))
    mine = platform.client("lambda", other)
    role = platform.role("layers", account=other)
    given = {
        "FunctionName": "borrower",
        "Runtime": "python3.11",
        "Handler": "handler.handler",
        "Role": role,
        "Code": {"ZipFile": zipped({"handler.py": SOURCE})},
        "Layers": [layer],
    }
    with pytest.raises(mine.exceptions.ClientError) as refused:
        mine.create_function(**given)
    assert "AccessDeniedException" == refused.value.response["Error"]["Code"]
    assert "lambda:GetLayerVersion" in refused.value.response["Error"]["Message"]

    version = {"LayerName": "lent", "VersionNumber": 1}
    lambda_.add_layer_version_permission(
        **version, StatementId="o", Action="lambda:GetLayerVersion", Principal=other
    )
    assert layer == mine.get_layer_version_by_arn(Arn=layer)["LayerVersionArn"]
    mine.create_function(**given)
    mine.get_waiter("function_active_v2").wait(FunctionName="borrower")
    lambda_.delete_layer_version(**version)
    told, _ = platform.invoke("borrower", account=other)
    assert "lent" == told["value"]
    assert account in layer


NODE = """
const shared = require("shared");

exports.handler = async () => ({ value: shared.VALUE });
"""


def test_node_finds_what_a_layer_brings(
    platform: Platform, lambda_: Any, own: Any, role: str
) -> None:
    """/opt/nodejs/node_modules is on its path."""
    runtimes = [r["Name"] for r in own.list_runtimes()["Runtimes"]]
    runtime = next(name for name in runtimes if name.startswith("nodejs"))
    files: dict[str, str | bytes] = {
        "nodejs/node_modules/shared/index.js": "exports.VALUE = 'from a layer';\n"
    }
    made = lambda_.publish_layer_version(
        LayerName="node", Content={"ZipFile": zipped(files)}
    )
    platform.function(
        "node-layered",
        {"index.js": NODE},
        role=role,
        Runtime=runtime,
        Handler="index.handler",
        Layers=[made["LayerVersionArn"]],
    )
    assert {"value": "from a layer"} == platform.invoke("node-layered")[0]


def test_a_layer_may_bring_the_runtime(
    platform: Platform, lambda_: Any, role: str
) -> None:
    """`provided` runs /opt/bootstrap where the package has none."""
    made = lambda_.publish_layer_version(
        LayerName="runtime",
        Content={
            "ZipFile": zipped(
                {"bootstrap": "#!/bin/sh\necho from a layer >&2\nexit 4\n"}
            )
        },
    )
    platform.function(
        "carried",
        {"readme.txt": ""},
        role=role,
        Runtime="provided.al2023",
        Handler="any",
        Layers=[made["LayerVersionArn"]],
    )
    told, answer = platform.invoke("carried")
    assert ("Unhandled", "Runtime.ExitError") == (
        answer["FunctionError"],
        told["errorType"],
    )
    end = time.monotonic() + PATIENCE
    while "from a layer" not in platform.casemate("logs", "carried").stdout:
        assert time.monotonic() < end
