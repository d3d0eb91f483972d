"""Lambda's control operations, as boto3 knows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from contract.implemented import every_operation
from platform_harness import Platform, zipped

FIRST = "def handler(event, context):\n    return 'first'\n"
SECOND = "def handler(event, context):\n    return 'second'\n"


def _given(name: str, role: str, **more: Any) -> dict[str, Any]:
    return {
        "FunctionName": name,
        "Runtime": "python3.11",
        "Handler": "handler.handler",
        "Role": role,
        "Code": {"ZipFile": zipped({"handler.py": FIRST})},
        **more,
    }


def test_every_operation_answers(lambda_: Any, role: str, account: str) -> None:
    """The life of a function, through every operation and every waiter."""
    name = {"FunctionName": "life"}
    with every_operation("lambda", lambda_):
        made = lambda_.create_function(**_given("life", role, Tags={"team": "keep"}))
        assert "Pending" == made["State"]
        for waiter in ("function_exists", "function_active", "function_active_v2"):
            lambda_.get_waiter(waiter).wait(**name)
        assert b'"first"' == lambda_.invoke(**name)["Payload"].read()
        streamed = list(lambda_.invoke_with_response_stream(**name)["EventStream"])
        assert [{"PayloadChunk": {"Payload": b'"first"'}}] == streamed[:-1]
        told = lambda_.get_function(**name)
        assert {"team": "keep"} == told["Tags"]
        assert "Active" == told["Configuration"]["State"]
        _updated(lambda_)
        _tagged(lambda_, made["FunctionArn"])
        _permitted(lambda_, account)
        _released(lambda_)
        _layered(lambda_, account)
        _evented(lambda_, made["FunctionArn"])
        pages = lambda_.get_paginator("list_functions").paginate()
        assert "life" in {f["FunctionName"] for p in pages for f in p["Functions"]}
        lambda_.put_function_concurrency(**name, ReservedConcurrentExecutions=3)
        told = lambda_.get_function_concurrency(**name)
        assert 3 == told["ReservedConcurrentExecutions"]
        lambda_.delete_function_concurrency(**name)
        told = lambda_.get_function_concurrency(**name)
        assert "ReservedConcurrentExecutions" not in told
        lambda_.put_function_recursion_config(**name, RecursiveLoop="Allow")
        told = lambda_.get_function_recursion_config(**name)
        assert "Allow" == told["RecursiveLoop"]
        assert 0 < lambda_.get_account_settings()["AccountUsage"]["FunctionCount"]
        lambda_.delete_function(**name)

    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_function(**name)


def _updated(lambda_: Any) -> None:
    """New code serves, and new settings replace the cells."""
    name = {"FunctionName": "life"}
    lambda_.update_function_code(**name, ZipFile=zipped({"handler.py": SECOND}))
    for waiter in ("function_updated", "function_updated_v2"):
        lambda_.get_waiter(waiter).wait(**name)
    assert b'"second"' == lambda_.invoke(**name)["Payload"].read()
    lambda_.update_function_configuration(**name, Timeout=7, Description="changed")
    lambda_.get_waiter("function_updated_v2").wait(**name)
    now = lambda_.get_function_configuration(**name)
    assert (7, "changed", "Successful") == (
        now["Timeout"],
        now["Description"],
        now["LastUpdateStatus"],
    )


def _released(lambda_: Any) -> None:
    """A version, an alias of it, and both gone again."""
    name = {"FunctionName": "life"}
    made = lambda_.publish_version(**name, Description="kept")
    lambda_.get_waiter("published_version_active").wait(**name, Qualifier="1")
    versions = lambda_.list_versions_by_function(**name)["Versions"]
    assert ["$LATEST", made["Version"]] == [v["Version"] for v in versions]
    alias = {**name, "Name": "live"}
    lambda_.create_alias(**alias, FunctionVersion="1")
    lambda_.update_alias(**alias, Description="of version 1")
    assert "of version 1" == lambda_.get_alias(**alias)["Description"]
    assert ["live"] == [a["Name"] for a in lambda_.list_aliases(**name)["Aliases"]]
    lambda_.delete_alias(**alias)
    lambda_.delete_function(**name, Qualifier="1")


def _layered(lambda_: Any, account: str) -> None:
    """A layer, its permission, and both gone again."""
    name = {"LayerName": "life"}
    made = lambda_.publish_layer_version(
        **name, Content={"ZipFile": zipped({"python/shared.py": "VALUE = 1\n"})}
    )
    version = {**name, "VersionNumber": made["Version"]}
    lambda_.get_layer_version(**version)
    lambda_.get_layer_version_by_arn(Arn=made["LayerVersionArn"])
    assert "life" in {y["LayerName"] for y in lambda_.list_layers()["Layers"]}
    listed = lambda_.list_layer_versions(**name)["LayerVersions"]
    assert [made["Version"]] == [v["Version"] for v in listed]
    lambda_.add_layer_version_permission(
        **version,
        StatementId="s",
        Action="lambda:GetLayerVersion",
        Principal=account,
    )
    assert "life" in lambda_.get_layer_version_policy(**version)["Policy"]
    lambda_.remove_layer_version_permission(**version, StatementId="s")
    lambda_.delete_layer_version(**version)


def _tagged(lambda_: Any, arn: str) -> None:
    lambda_.tag_resource(Resource=arn, Tags={"a": "1"})
    lambda_.untag_resource(Resource=arn, TagKeys=["team"])
    assert {"a": "1"} == lambda_.list_tags(Resource=arn)["Tags"]


def _permitted(lambda_: Any, account: str) -> None:
    name = {"FunctionName": "life"}
    lambda_.add_permission(
        **name, StatementId="s", Action="lambda:InvokeFunction", Principal=account
    )
    policy = json.loads(lambda_.get_policy(**name)["Policy"])
    assert ["s"] == [statement["Sid"] for statement in policy["Statement"]]
    lambda_.remove_permission(**name, StatementId="s")
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_policy(**name)


def _evented(lambda_: Any, arn: str) -> None:
    """How events are treated: put, changed, shown, listed, removed."""
    name = {"FunctionName": "life"}
    put = lambda_.put_function_event_invoke_config(**name, MaximumRetryAttempts=0)
    assert f"{arn}:$LATEST" == put["FunctionArn"]
    lambda_.update_function_event_invoke_config(**name, MaximumEventAgeInSeconds=60)
    now = lambda_.get_function_event_invoke_config(**name)
    assert (0, 60) == (now["MaximumRetryAttempts"], now["MaximumEventAgeInSeconds"])
    pages = lambda_.get_paginator("list_function_event_invoke_configs").paginate(**name)
    listed = [c for p in pages for c in p["FunctionEventInvokeConfigs"]]
    assert [now["FunctionArn"]] == [config["FunctionArn"] for config in listed]
    lambda_.delete_function_event_invoke_config(**name)
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_function_event_invoke_config(**name)


@pytest.fixture(name="there", scope="module")
def _there(platform: Platform, role: str) -> str:
    """A function that is there."""
    platform.function("there", FIRST, role=role)
    return "there"


Call = Callable[[Any, dict[str, Any]], object]
REFUSED: list[tuple[str, Call]] = [
    ("ResourceConflictException", lambda c, given: c.create_function(**given)),
    (
        "ResourceNotFoundException",
        lambda c, _: c.get_function_configuration(FunctionName="nowhere"),
    ),
    (
        "ResourceNotFoundException",
        lambda c, _: c.delete_function(FunctionName="nowhere"),
    ),
    (
        "ResourceNotFoundException",
        lambda c, _: c.get_function(FunctionName="there", Qualifier="7"),
    ),
    (
        "InvalidParameterValueException",
        lambda c, given: c.create_function(**given | _named(Runtime="python3.8")),
    ),
    (
        "InvalidParameterValueException",
        lambda c, given: c.create_function(
            **given | _named(Code={"ZipFile": b"not a zip"})
        ),
    ),
    (
        "InvalidParameterValueException",
        lambda c, given: c.create_function(**given | _named(Timeout=901)),
    ),
    (
        "InvalidParameterValueException",
        lambda c, given: c.create_function(
            **given
            | _named(Environment={"Variables": {"AWS_LAMBDA_FUNCTION_NAME": "x"}})
        ),
    ),
    (
        "PreconditionFailedException",
        lambda c, _: c.update_function_configuration(
            FunctionName="there", RevisionId="0" * 36, Timeout=5
        ),
    ),
]


def _named(**more: Any) -> dict[str, Any]:
    return {"FunctionName": "refused", **more}


@pytest.mark.parametrize(("code", "call"), REFUSED)
def test_refusals_have_awss_codes(
    lambda_: Any, role: str, there: str, code: str, call: Call
) -> None:
    """They are the client's own exceptions, and say what is wrong."""
    with pytest.raises(getattr(lambda_.exceptions, code)) as refused:
        call(lambda_, _given(there, role))

    assert refused.value.response["Error"]["Message"]


def test_a_role_that_lambda_may_not_assume_is_refused(
    lambda_: Any, account: str
) -> None:
    administrator = f"arn:aws:iam::{account}:role/casemate-administrator"

    with pytest.raises(
        lambda_.exceptions.InvalidParameterValueException, match="cannot be assumed"
    ):
        lambda_.create_function(**_given("untrusted", administrator))


def test_a_runtime_that_is_not_here_is_refused_with_those_that_are(
    lambda_: Any, role: str
) -> None:
    with pytest.raises(
        lambda_.exceptions.InvalidParameterValueException, match=r"python3\.11"
    ):
        lambda_.create_function(**_given("jvm", role, Runtime="java21"))


UNENFORCED: list[tuple[str, dict[str, Any]]] = [
    ("KMSKeyArn", {"KMSKeyArn": "arn:aws:kms:us-east-1:123456789012:key/k"}),
    ("TracingConfig.Mode", {"TracingConfig": {"Mode": "Active"}}),
    ("VpcConfig.SubnetIds", {"VpcConfig": {"SubnetIds": ["subnet-1"]}}),
    ("PackageType", {"PackageType": "Image"}),
    ("SnapStart.ApplyOn", {"SnapStart": {"ApplyOn": "PublishedVersions"}}),
    ("ImageConfig.Command", {"ImageConfig": {"Command": ["x"]}}),
]


@pytest.mark.parametrize(("member", "given"), UNENFORCED)
def test_what_is_not_enforced_is_refused_by_its_name(
    lambda_: Any, role: str, member: str, given: dict[str, Any]
) -> None:
    """Nothing is accepted and forgotten."""
    with pytest.raises(lambda_.exceptions.ClientError, match=member):
        lambda_.create_function(**_given("unenforced", role, **given))
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_function(FunctionName="unenforced")


def test_what_aws_has_and_the_platform_has_not_is_an_error(
    platform: Platform,
) -> None:
    """Each in the error form of its protocol: REST-JSON, JSON and query."""
    calls: list[tuple[str, Callable[[Any], object]]] = [
        ("lambda", lambda c: c.list_code_signing_configs()),
        ("logs", lambda c: c.describe_destinations()),
        ("iam", lambda c: c.list_groups()),
        ("sts", lambda c: c.get_session_token()),
    ]
    for service, call in calls:
        client = platform.client(service)
        with pytest.raises(client.exceptions.ClientError) as refused:
            call(client)
        assert "NotImplemented" == refused.value.response["Error"]["Code"]
        assert "does not have" in refused.value.response["Error"]["Message"]


def test_a_service_that_is_not_here_is_an_error(platform: Platform) -> None:
    topics = platform.client("sns")

    with pytest.raises(topics.exceptions.ClientError, match="no service `sns`"):
        topics.list_topics()


def test_a_dry_run_of_code_changes_nothing(lambda_: Any, there: str) -> None:
    before = lambda_.get_function_configuration(FunctionName=there)

    told = lambda_.update_function_code(
        FunctionName=there, ZipFile=zipped({"handler.py": SECOND}), DryRun=True
    )

    after = lambda_.get_function_configuration(FunctionName=there)
    assert before["CodeSha256"] != told["CodeSha256"]
    assert before["CodeSha256"] == after["CodeSha256"]


def test_pages_see_each_function_once(platform: Platform, role: str) -> None:
    names = [f"paged-{n}" for n in range(3)]
    for name in names:
        platform.client("lambda").create_function(**_given(name, role))
    pages = list(
        platform.client("lambda")
        .get_paginator("list_functions")
        .paginate(PaginationConfig={"PageSize": 2})
    )

    found = [f["FunctionName"] for page in pages for f in page["Functions"]]

    assert sorted(found) == found
    assert len(set(found)) == len(found)
    assert set(names) <= set(found)
    assert all(len(page["Functions"]) <= 2 for page in pages)
