"""STS, as boto3 knows it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from contract.implemented import every_operation
from platform_harness import Platform


def _assumable(iam: Any, name: str, account: str, **condition: Any) -> str:
    trust = {
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "sts:AssumeRole",
        **condition,
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)
    return str(made["Role"]["Arn"])


def _credentials(assumed: Any) -> dict[str, str]:
    given = assumed["Credentials"]
    return {
        "aws_access_key_id": given["AccessKeyId"],
        "aws_secret_access_key": given["SecretAccessKey"],
        "aws_session_token": given["SessionToken"],
    }


def test_every_operation_answers(
    platform: Platform, iam: Any, sts: Any, account: str
) -> None:
    """An assumed role is somebody else, with the role's rights and no more."""
    role = _assumable(iam, "assumed", account)
    with every_operation("sts", sts):
        me = sts.get_caller_identity()
        assert account == me["Account"]
        assumed = sts.assume_role(RoleArn=role, RoleSessionName="there")
        iam.create_user(UserName="key-of")
        key = iam.create_access_key(UserName="key-of")["AccessKey"]["AccessKeyId"]
        assert account == sts.get_access_key_info(AccessKeyId=key)["Account"]

    credentials = _credentials(assumed)
    told = platform.client("sts", credentials=credentials).get_caller_identity()
    assert f"arn:aws:sts::{account}:assumed-role/assumed/there" == told["Arn"]
    powerless = platform.client("lambda", credentials=credentials)
    with pytest.raises(powerless.exceptions.ClientError, match="not authorized"):
        powerless.list_functions()


def test_an_external_id_is_asked_for(iam: Any, sts: Any, account: str) -> None:
    condition = {"StringEquals": {"sts:ExternalId": "agreed"}}
    role = _assumable(iam, "external", account, Condition=condition)

    with pytest.raises(sts.exceptions.ClientError) as refused:
        sts.assume_role(RoleArn=role, RoleSessionName="there", ExternalId="other")

    assert "AccessDenied" == refused.value.response["Error"]["Code"]
    sts.assume_role(RoleArn=role, RoleSessionName="there", ExternalId="agreed")


def test_a_role_that_is_not_there_is_denied(sts: Any, account: str) -> None:
    """As on AWS, whether a role exists is not told."""
    with pytest.raises(sts.exceptions.ClientError) as refused:
        sts.assume_role(
            RoleArn=f"arn:aws:iam::{account}:role/nobody", RoleSessionName="there"
        )

    assert "AccessDenied" == refused.value.response["Error"]["Code"]


def test_a_policy_of_the_session_narrows_it(
    platform: Platform, iam: Any, sts: Any, account: str
) -> None:
    role = _assumable(iam, "narrowed", account)
    everything = {"Effect": "Allow", "Action": "iam:*", "Resource": "*"}
    iam.put_role_policy(
        RoleName="narrowed",
        PolicyName="all",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [everything]}),
    )
    only = {"Effect": "Allow", "Action": "iam:ListRoles", "Resource": "*"}
    narrow = json.dumps({"Version": "2012-10-17", "Statement": [only]})

    assumed = sts.assume_role(RoleArn=role, RoleSessionName="there", Policy=narrow)

    narrowed = platform.client("iam", credentials=_credentials(assumed))
    assert narrowed.list_roles()["Roles"]
    with pytest.raises(narrowed.exceptions.ClientError, match="not authorized"):
        narrowed.list_users()
