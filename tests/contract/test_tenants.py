"""Two accounts: what one has, the other gets no sight of."""

from __future__ import annotations

import json
from typing import Any

import pytest

from platform_harness import Platform, zipped

HELLO = "def handler(event, context):\n    return context.invoked_function_arn\n"


@pytest.fixture(name="theirs", scope="module")
def _theirs(platform: Platform, role: str) -> str:
    """A function of the first account, its ARN."""
    made = platform.function("tenants", HELLO, role=role)
    return str(made["FunctionArn"])


def _denial(client: Any, call: str, **given: Any) -> tuple[str, str]:
    with pytest.raises(client.exceptions.ClientError) as refused:
        getattr(client, call)(**given)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


def test_names_are_an_accounts_own(platform: Platform, other: str, theirs: str) -> None:
    """The same name is another function, and lists show one's own only."""
    mine = platform.client("lambda", other)
    assert [] == mine.list_functions()["Functions"]
    assert 0 == mine.get_account_settings()["AccountUsage"]["FunctionCount"]
    with pytest.raises(mine.exceptions.ResourceNotFoundException):
        mine.get_function(FunctionName="tenants")

    role = platform.role("contract", account=other)
    platform.function("tenants", HELLO, role=role, account=other)

    told, _ = platform.invoke("tenants", account=other)
    assert theirs != told
    assert told.split(":")[4] == other


@pytest.mark.parametrize("call", ["get_function", "invoke", "delete_function"])
def test_what_is_there_and_what_is_not_are_refused_alike(
    platform: Platform, other: str, theirs: str, call: str
) -> None:
    """A denial across accounts tells nothing of what exists."""
    mine = platform.client("lambda", other)
    absent = theirs.replace("tenants", "nowhere")

    there = _denial(mine, call, FunctionName=theirs)
    nowhere = _denial(mine, call, FunctionName=absent)

    assert "AccessDeniedException" == there[0]
    assert there == (nowhere[0], nowhere[1].replace("nowhere", "tenants"))


def test_logs_and_roles_of_another_account_are_not_seen(
    platform: Platform, other: str, theirs: str, account: str
) -> None:
    platform.invoke("tenants")
    logs, iam = platform.client("logs", other), platform.client("iam", other)

    groups = {g["logGroupName"] for g in logs.describe_log_groups()["logGroups"]}
    arn = f"arn:aws:logs:us-east-1:{account}:log-group:/aws/lambda/tenants"
    code, _ = _denial(logs, "filter_log_events", logGroupIdentifier=arn)

    assert groups <= {"/aws/lambda/tenants"}
    assert code in {"AccessDeniedException", "ResourceNotFoundException"}
    assert all(r["Arn"].split(":")[4] == other for r in iam.list_roles()["Roles"])
    assert theirs


def test_a_role_of_another_account_is_not_passed(
    platform: Platform, other: str, role: str
) -> None:
    mine = platform.client("lambda", other)

    code, _ = _denial(
        mine,
        "create_function",
        FunctionName="borrowed",
        Runtime="python3.11",
        Handler="handler.handler",
        Role=role,
        Code={"ZipFile": zipped({"handler.py": HELLO})},
    )

    assert "AccessDeniedException" == code


def test_permission_lets_another_account_invoke_and_no_more(
    platform: Platform, other: str, theirs: str, lambda_: Any
) -> None:
    """AddPermission opens one action; the statement's removal closes it again."""
    mine = platform.client("lambda", other)
    lambda_.add_permission(
        FunctionName="tenants",
        StatementId="neighbour",
        Action="lambda:InvokeFunction",
        Principal=other,
    )

    answer = mine.invoke(FunctionName=theirs)
    assert theirs == json.load(answer["Payload"])
    assert (
        "AccessDeniedException" == _denial(mine, "get_function", FunctionName=theirs)[0]
    )

    lambda_.remove_permission(FunctionName="tenants", StatementId="neighbour")
    assert "AccessDeniedException" == _denial(mine, "invoke", FunctionName=theirs)[0]


def test_a_public_permission_is_refused(lambda_: Any, theirs: str) -> None:
    assert theirs
    with pytest.raises(lambda_.exceptions.PublicPolicyException):
        lambda_.add_permission(
            FunctionName="tenants",
            StatementId="everybody",
            Action="lambda:InvokeFunction",
            Principal="*",
        )
