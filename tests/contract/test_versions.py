"""Versions and aliases on a running platform, as boto3 and the aws CLI use them."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from contract.reading import lines_of
from platform_harness import Platform, zipped

SOURCE = """
import os

BORN = os.urandom(8).hex()

def handler(event, context):
    return {
        "release": %d,
        "version": context.function_version,
        "arn": context.invoked_function_arn,
        "env": os.environ["AWS_LAMBDA_FUNCTION_VERSION"],
        "stream": context.log_stream_name,
        "setting": os.environ.get("SETTING"),
        "cell": BORN,
    }
"""


PATIENCE = 20.0


def _code(release: int) -> bytes:
    return zipped({"handler.py": SOURCE % release})


@pytest.fixture(name="released", scope="module")
def _released(role: str, lambda_: Any) -> str:
    """A function with versions 1 and 2; `$LATEST` is a third release."""
    name = "released"
    made = lambda_.create_function(
        FunctionName=name,
        Runtime="python3.11",
        Handler="handler.handler",
        Role=role,
        Timeout=10,
        Environment={"Variables": {"SETTING": "one"}},
        Code={"ZipFile": _code(1)},
        Publish=True,
    )
    assert "1" == made["Version"]
    lambda_.get_waiter("function_active_v2").wait(FunctionName=name)
    lambda_.get_waiter("published_version_active").wait(
        FunctionName=name, Qualifier="1"
    )
    lambda_.update_function_configuration(
        FunctionName=name, Environment={"Variables": {"SETTING": "two"}}
    )
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=name)
    told = lambda_.update_function_code(
        FunctionName=name, ZipFile=_code(2), Publish=True
    )
    assert "2" == told["Version"]
    lambda_.get_waiter("published_version_active").wait(
        FunctionName=name, Qualifier="2"
    )
    lambda_.update_function_code(FunctionName=name, ZipFile=_code(3))
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=name)
    return name


def _record(own: Any, refused: Any) -> dict[str, Any]:
    """The audit record of a refusal."""
    request = refused.value.response["ResponseMetadata"]["RequestId"]
    record: dict[str, Any] = json.loads(
        own.explain_request(RequestId=request)["Record"]
    )
    return record


def test_each_version_is_its_own_code_settings_and_words(
    platform: Platform, logs: Any, released: str
) -> None:
    """The answer, its header, the context, the environment, the log: all say which."""
    expected = {"$LATEST": (3, "two"), "1": (1, "one"), "2": (2, "two")}
    for version, (release, setting) in expected.items():
        told, answer = platform.invoke(released, Qualifier=version)
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert version == answer["ExecutedVersion"]
        assert version == headers["x-amz-executed-version"]
        assert (release, setting) == (told["release"], told["setting"])
        assert (version, version) == (told["version"], told["env"])
        assert told["arn"].endswith(f":function:{released}:{version}")
        assert f"/[{version}]" in told["stream"]
        start = lines_of(logs, released, answer)[0]
        assert start.endswith(f"Version: {version}")


def test_an_update_of_latest_ends_no_cell_of_a_version(
    platform: Platform, lambda_: Any, released: str
) -> None:
    """A version is served on by the cell that served it; `$LATEST` by a new one."""
    before, latest = (platform.invoke(f"{released}:1")[0], platform.invoke(released)[0])

    lambda_.update_function_configuration(FunctionName=released, Timeout=11)
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=released)

    after, newest = (platform.invoke(f"{released}:1")[0], platform.invoke(released)[0])
    assert before["cell"] == after["cell"]
    assert latest["cell"] != newest["cell"]


def test_a_canary_and_its_rollback(
    platform: Platform, lambda_: Any, released: str
) -> None:
    """Both versions serve by weight, in the alias's name; then the first alone."""
    alias = {"FunctionName": released, "Name": "canary"}
    lambda_.create_alias(
        **alias,
        FunctionVersion="1",
        RoutingConfig={"AdditionalVersionWeights": {"2": 0.5}},
    )
    told = [platform.invoke(f"{released}:canary") for _ in range(40)]
    assert {"1", "2"} == {answer["ExecutedVersion"] for _, answer in told}
    for said, answer in told:
        assert said["version"] == answer["ExecutedVersion"]
        assert said["arn"].endswith(f":{released}:canary")

    dry = platform.casemate("rollback", released, "canary", "--dry-run")
    assert (0, "") == (dry.returncode, dry.stderr)
    assert "would lead to version 1; before: version 1, version 2 (0.5 of" in dry.stdout
    assert "RoutingConfig" in lambda_.get_alias(**alias)
    done = platform.casemate("rollback", released, "canary")
    assert "now leads to version 1" in done.stdout
    assert "RoutingConfig" not in lambda_.get_alias(**alias)
    assert 1 == platform.invoke(f"{released}:canary")[0]["release"]


def test_rollback_goes_to_the_version_before_or_to_the_one_that_is_named(
    platform: Platform, lambda_: Any, released: str
) -> None:
    alias = {"FunctionName": released, "Name": "back"}
    lambda_.create_alias(**alias, FunctionVersion="2")

    assert (
        "version 1; before: version 2"
        in platform.casemate("rollback", released, "back").stdout
    )
    assert "1" == lambda_.get_alias(**alias)["FunctionVersion"]
    nowhere = platform.casemate("rollback", released, "back")
    assert (1, "") == (nowhere.returncode, nowhere.stdout)
    assert "no published version before 1" in nowhere.stderr
    there = platform.casemate("rollback", released, "back", "--to", "2")
    assert 0 == there.returncode, there.stderr
    assert "2" == lambda_.get_alias(**alias)["FunctionVersion"]
    again = platform.casemate("rollback", released, "back", "--to", "2")
    assert "nothing to do" in again.stdout
    for words in (("nope",), ("back", "--to", "99")):
        refused = platform.casemate("rollback", released, *words)
        assert (1, 1) == (refused.returncode, refused.stderr.count("\n"))
        assert "ResourceNotFoundException" in refused.stderr
    assert "2" == lambda_.get_alias(**alias)["FunctionVersion"]


@pytest.mark.parametrize("spelled", ["{0}:99", "{0}:nowhere", "{1}:99"])
def test_an_unknown_qualifier_is_not_found_and_on_record(
    lambda_: Any, own: Any, released: str, account: str, spelled: str
) -> None:
    arn = f"arn:aws:lambda:us-east-1:{account}:function:{released}"
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException) as refused:
        lambda_.invoke(FunctionName=spelled.format(released, arn))

    record = _record(own, refused)
    assert "ResourceNotFoundException" == record["errorCode"]
    assert "Invoke" == record["eventName"]


def test_releases_drop_no_call(platform: Platform, lambda_: Any, role: str) -> None:
    """While code, settings and aliases change, every call is answered, by a version."""
    name, alias = "busy", {"FunctionName": "busy", "Name": "live"}
    platform.function("busy", {"handler.py": SOURCE % 0}, role=role, Publish=True)
    lambda_.create_alias(**alias, FunctionVersion="1")
    over, turn = threading.Event(), threading.Condition()
    spelled = (name, f"{name}:live", f"{name}:live")
    answered = [0] * len(spelled)

    def call(caller: int) -> None:
        client = platform.client("lambda")
        while not over.is_set():
            answer = client.invoke(FunctionName=spelled[caller], Payload=b"{}")
            told = json.load(answer["Payload"])
            assert "FunctionError" not in answer, told
            assert told["version"] == answer["ExecutedVersion"]
            with turn:
                answered[caller] += 1
                turn.notify_all()

    def all_go_on() -> bool:
        with turn:
            before = [*answered]
            return turn.wait_for(
                lambda: all(
                    now > then for now, then in zip(answered, before, strict=True)
                ),
                PATIENCE,
            )

    with ThreadPoolExecutor(len(spelled)) as threads:
        callers = [threads.submit(call, each) for each in range(len(spelled))]
        try:
            for release in (1, 2, 3):
                assert all_go_on()
                made = lambda_.update_function_code(
                    FunctionName=name, ZipFile=_code(release), Publish=True
                )
                lambda_.get_waiter("function_updated_v2").wait(FunctionName=name)
                before = lambda_.get_alias(**alias)["FunctionVersion"]
                lambda_.update_alias(**alias, FunctionVersion=made["Version"])
                lambda_.delete_function(FunctionName=name, Qualifier=before)
            assert all_go_on()
        finally:
            over.set()
        for caller in callers:
            caller.result()
    assert 3 == platform.invoke(f"{name}:live")[0]["release"]


REFUSED = [
    ("publish_version", {"CodeSha256": "x"}, "InvalidParameterValueException"),
    ("publish_version", {"RevisionId": "x"}, "PreconditionFailedException"),
    ("publish_version", {"PublishTo": "LATEST_PUBLISHED"}, "PublishTo"),
    ("delete_function", {"Qualifier": "1"}, "ResourceConflictException"),
    ("delete_function", {"Qualifier": "$LATEST"}, "InvalidParameterValueException"),
    ("delete_function", {"Qualifier": "held"}, "InvalidParameterValueException"),
    (
        "create_alias",
        {"Name": "held", "FunctionVersion": "1"},
        "ResourceConflictException",
    ),
    (
        "create_alias",
        {"Name": "b", "FunctionVersion": "99"},
        "ResourceNotFoundException",
    ),
    ("create_alias", {"Name": "12", "FunctionVersion": "1"}, "ValidationException"),
    (
        "create_alias",
        {
            "Name": "b",
            "FunctionVersion": "1",
            "RoutingConfig": {"AdditionalVersionWeights": {"2": 1.5}},
        },
        "ValidationException",
    ),
    (
        "update_alias",
        {"Name": "held", "RevisionId": "x"},
        "PreconditionFailedException",
    ),
    ("get_alias", {"Name": "nowhere"}, "ResourceNotFoundException"),
    ("get_policy", {"Qualifier": "held"}, "ResourceNotFoundException"),
]


@pytest.mark.parametrize(("call", "given", "code"), REFUSED)
def test_what_is_refused_is_refused_in_awss_words_and_on_record(
    lambda_: Any, own: Any, released: str, call: str, given: dict[str, Any], code: str
) -> None:
    """And nothing is changed."""
    alias = {"FunctionName": released, "Name": "held"}
    if "held" not in _names(lambda_, released):
        lambda_.create_alias(**alias, FunctionVersion="1")
    before = lambda_.list_aliases(FunctionName=released)["Aliases"]

    with pytest.raises(lambda_.exceptions.ClientError) as refused:
        getattr(lambda_, call)(FunctionName=released, **given)

    assert code in str(refused.value)
    assert _record(own, refused)["errorCode"]
    assert before == lambda_.list_aliases(FunctionName=released)["Aliases"]
    versions = lambda_.list_versions_by_function(FunctionName=released)["Versions"]
    assert ["$LATEST", "1", "2"] == [v["Version"] for v in versions]


def _names(lambda_: Any, name: str) -> set[str]:
    return {a["Name"] for a in lambda_.list_aliases(FunctionName=name)["Aliases"]}


def test_a_policy_on_an_alias_lets_another_account_run_the_alias_only(
    platform: Platform, lambda_: Any, other: str, released: str, account: str
) -> None:
    """Not the version behind it, not the function, and not when it has gone."""
    lambda_.create_alias(FunctionName=released, Name="open", FunctionVersion="1")
    lambda_.add_permission(
        FunctionName=released,
        Qualifier="open",
        StatementId="other",
        Action="lambda:InvokeFunction",
        Principal=other,
    )
    arn = f"arn:aws:lambda:us-east-1:{account}:function:{released}"
    mine = platform.client("lambda", other)
    assert "1" == mine.invoke(FunctionName=f"{arn}:open")["ExecutedVersion"]
    for name in (arn, f"{arn}:1", f"{arn}:$LATEST", f"{arn}:2"):
        with pytest.raises(mine.exceptions.ClientError) as refused:
            mine.invoke(FunctionName=name)
        assert "AccessDeniedException" == refused.value.response["Error"]["Code"]
        told = platform.client("casemate", other)
        assert "AccessDeniedException" == _record(told, refused)["errorCode"]
    lambda_.delete_alias(FunctionName=released, Name="open")
    with pytest.raises(mine.exceptions.ClientError) as refused:
        mine.invoke(FunctionName=f"{arn}:open")
    assert "AccessDeniedException" == refused.value.response["Error"]["Code"]


def test_an_identity_is_held_to_the_qualified_arn(
    platform: Platform, iam: Any, released: str, account: str
) -> None:
    """A right to one alias is no right to another name of the function."""
    arn = f"arn:aws:lambda:us-east-1:{account}:function:{released}"
    platform.client("lambda").create_alias(
        FunctionName=released, Name="narrow", FunctionVersion="1"
    )
    iam.create_user(UserName="narrow")
    iam.put_user_policy(
        UserName="narrow",
        PolicyName="p",
        PolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": {
                    "Effect": "Allow",
                    "Action": "lambda:InvokeFunction",
                    "Resource": f"{arn}:narrow",
                },
            }
        ),
    )
    key = iam.create_access_key(UserName="narrow")["AccessKey"]
    user = platform.client(
        "lambda",
        credentials={
            "aws_access_key_id": key["AccessKeyId"],
            "aws_secret_access_key": key["SecretAccessKey"],
        },
    )
    for given in (
        {"FunctionName": released, "Qualifier": "narrow"},
        {"FunctionName": f"{arn}:narrow"},
        {"FunctionName": f"{account}:function:{released}:narrow"},
    ):
        assert "1" == user.invoke(**given)["ExecutedVersion"]
    for name in (released, f"{released}:1", f"{released}:$LATEST", f"{released}:held"):
        with pytest.raises(user.exceptions.ClientError) as refused:
            user.invoke(FunctionName=name)
        assert "AccessDeniedException" == refused.value.response["Error"]["Code"]


def test_the_aws_cli_releases(platform: Platform, released: str) -> None:
    """Publish, wait, alias, weights, list, delete, as a tutorial has it."""
    name = ("--function-name", released)

    def aws(*words: str) -> Any:
        done = platform.aws("lambda", *words)
        assert 0 == done.returncode, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    made = aws("publish-version", *name, "--description", "third")
    version = made["Version"]
    aws("wait", "published-version-active", *name, "--qualifier", version)
    aws(
        *("create-alias", *name, "--name", "typed", "--function-version", "2"),
        *("--routing-config", f"AdditionalVersionWeights={{{version}=0.1}}"),
    )
    told = aws("get-alias", *name, "--name", "typed")
    assert {version: 0.1} == told["RoutingConfig"]["AdditionalVersionWeights"]
    aws(
        *("update-alias", *name, "--name", "typed", "--function-version", version),
        *("--routing-config", "AdditionalVersionWeights={}"),
    )
    listed = aws("list-aliases", *name, "--function-version", version)["Aliases"]
    assert ["typed"] == [alias["Name"] for alias in listed]
    aws("delete-alias", *name, "--name", "typed")
    aws("delete-function", *name, "--qualifier", version)
    shown = aws("list-versions-by-function", *name)["Versions"]
    assert ["$LATEST", "1", "2"] == [v["Version"] for v in shown]
    assert "--dry-run" in platform.casemate("rollback", "--help").stdout
