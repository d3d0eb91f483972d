"""IAM, as boto3 knows it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from contract.implemented import every_operation
from platform_harness import TRUST, Platform

READ = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": "lambda:GetFunction", "Resource": "*"}
        ],
    }
)


def test_every_operation_answers(iam: Any) -> None:
    """The lives of a user, a role and a policy, through every operation."""
    with every_operation("iam", iam):
        policy = iam.create_policy(
            PolicyName="life", Path="/of/", PolicyDocument=READ, Description="d"
        )["Policy"]["Arn"]
        _versions(iam, policy)
        _user(iam, policy)
        _role(iam, policy)
        iam.delete_policy(PolicyArn=policy)

    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_policy(PolicyArn=policy)


def _versions(iam: Any, policy: str) -> None:
    iam.get_waiter("policy_exists").wait(PolicyArn=policy)
    made = iam.create_policy_version(
        PolicyArn=policy, PolicyDocument=READ, SetAsDefault=True
    )["PolicyVersion"]
    assert "v2" == made["VersionId"]
    pages = iam.get_paginator("list_policy_versions").paginate(PolicyArn=policy)
    assert {"v1", "v2"} == {v["VersionId"] for p in pages for v in p["Versions"]}
    told = iam.get_policy_version(PolicyArn=policy, VersionId="v1")["PolicyVersion"]
    assert json.loads(READ) == told["Document"]
    iam.set_default_policy_version(PolicyArn=policy, VersionId="v1")
    iam.delete_policy_version(PolicyArn=policy, VersionId="v2")
    assert "v1" == iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
    pages = iam.get_paginator("list_policies").paginate(
        Scope="Local", PathPrefix="/of/"
    )
    assert [policy] == [p["Arn"] for page in pages for p in page["Policies"]]


def _user(iam: Any, policy: str) -> None:
    name = {"UserName": "life-user"}
    iam.create_user(**name, Tags=[{"Key": "team", "Value": "keep"}])
    iam.get_waiter("user_exists").wait(**name)
    iam.put_user_policy(**name, PolicyName="inline", PolicyDocument=READ)
    told = iam.get_user_policy(**name, PolicyName="inline")
    assert json.loads(READ) == told["PolicyDocument"]
    assert ["inline"] == iam.list_user_policies(**name)["PolicyNames"]
    iam.attach_user_policy(**name, PolicyArn=policy)
    attached = iam.list_attached_user_policies(**name)["AttachedPolicies"]
    assert [policy] == [p["PolicyArn"] for p in attached]
    entities = iam.list_entities_for_policy(PolicyArn=policy)
    assert ["life-user"] == [u["UserName"] for u in entities["PolicyUsers"]]
    arn = iam.get_user(**name)["User"]["Arn"]
    simulated = iam.simulate_principal_policy(
        PolicySourceArn=arn, ActionNames=["lambda:GetFunction", "lambda:Invoke"]
    )["EvaluationResults"]
    assert ["allowed", "implicitDeny"] == [r["EvalDecision"] for r in simulated]
    iam.put_user_permissions_boundary(**name, PermissionsBoundary=policy)
    bounded = iam.get_user(**name)["User"]["PermissionsBoundary"]
    assert policy == bounded["PermissionsBoundaryArn"]
    iam.delete_user_permissions_boundary(**name)
    key = iam.create_access_key(**name)["AccessKey"]
    iam.update_access_key(**name, AccessKeyId=key["AccessKeyId"], Status="Inactive")
    keys = iam.list_access_keys(**name)["AccessKeyMetadata"]
    assert ["Inactive"] == [k["Status"] for k in keys]
    iam.delete_access_key(**name, AccessKeyId=key["AccessKeyId"])
    assert [] == iam.list_groups_for_user(**name)["Groups"]
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_user(**name)
    iam.detach_user_policy(**name, PolicyArn=policy)
    iam.delete_user_policy(**name, PolicyName="inline")
    iam.update_user(**name, NewUserName="life-renamed")
    names = [
        u["UserName"]
        for page in iam.get_paginator("list_users").paginate()
        for u in page["Users"]
    ]
    assert "life-renamed" in names
    assert "life-user" not in names
    iam.delete_user(UserName="life-renamed")


def _role(iam: Any, policy: str) -> None:
    name = {"RoleName": "life-role"}
    iam.create_role(**name, AssumeRolePolicyDocument=TRUST, MaxSessionDuration=7200)
    iam.get_waiter("role_exists").wait(**name)
    iam.update_role(**name, Description="changed", MaxSessionDuration=3600)
    iam.update_assume_role_policy(**name, PolicyDocument=TRUST)
    role = iam.get_role(**name)["Role"]
    assert ("changed", 3600) == (role["Description"], role["MaxSessionDuration"])
    assert json.loads(TRUST) == role["AssumeRolePolicyDocument"]
    iam.tag_role(**name, Tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    iam.untag_role(**name, TagKeys=["a"])
    assert [{"Key": "b", "Value": "2"}] == iam.list_role_tags(**name)["Tags"]
    iam.put_role_policy(**name, PolicyName="inline", PolicyDocument=READ)
    told = iam.get_role_policy(**name, PolicyName="inline")
    assert json.loads(READ) == told["PolicyDocument"]
    assert ["inline"] == iam.list_role_policies(**name)["PolicyNames"]
    iam.attach_role_policy(**name, PolicyArn=policy)
    attached = iam.list_attached_role_policies(**name)["AttachedPolicies"]
    assert [policy] == [p["PolicyArn"] for p in attached]
    iam.put_role_permissions_boundary(**name, PermissionsBoundary=policy)
    iam.delete_role_permissions_boundary(**name)
    assert [] == iam.list_instance_profiles_for_role(**name)["InstanceProfiles"]
    pages = iam.get_paginator("list_roles").paginate()
    assert "life-role" in {r["RoleName"] for page in pages for r in page["Roles"]}
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_role(**name)
    iam.detach_role_policy(**name, PolicyArn=policy)
    iam.delete_role_policy(**name, PolicyName="inline")
    iam.delete_role(**name)


Refused = tuple[str, Callable[[Any], object]]
REFUSED: list[Refused] = [
    ("NoSuchEntity", lambda iam: iam.get_user(UserName="nobody")),
    ("NoSuchEntity", lambda iam: iam.get_role(RoleName="nobody")),
    (
        "EntityAlreadyExists",
        lambda iam: iam.create_role(
            RoleName="contract", AssumeRolePolicyDocument=TRUST
        ),
    ),
    (
        "MalformedPolicyDocument",
        lambda iam: iam.create_role(
            RoleName="malformed", AssumeRolePolicyDocument='{"Statement": 1}'
        ),
    ),
    (
        "MalformedPolicyDocument",
        lambda iam: iam.put_role_policy(
            RoleName="contract", PolicyName="p", PolicyDocument="{}"
        ),
    ),
    ("ValidationError", lambda iam: iam.create_user(UserName="no spaces")),
]


@pytest.mark.parametrize(("code", "call"), REFUSED)
def test_refusals_have_awss_codes(
    iam: Any, role: str, code: str, call: Callable[[Any], object]
) -> None:
    assert role.endswith("/contract")
    with pytest.raises(iam.exceptions.ClientError) as refused:
        call(iam)

    assert code == refused.value.response["Error"]["Code"]
    assert refused.value.response["Error"]["Message"]


def test_pages_do_not_overlap(iam: Any) -> None:
    """A paginator sees each user once, however small the pages."""
    names = [f"page-{n}" for n in range(5)]
    for name in names:
        iam.create_user(UserName=name, Path="/pages/")

    paginator = iam.get_paginator("list_users")
    pages = list(
        paginator.paginate(PathPrefix="/pages/", PaginationConfig={"PageSize": 2})
    )

    assert [2, 2, 1] == [len(page["Users"]) for page in pages]
    assert names == [u["UserName"] for page in pages for u in page["Users"]]


def test_a_key_that_is_inactive_opens_nothing(platform: Platform, iam: Any) -> None:
    """A user's key works at once, and no more once it is inactive or deleted."""
    iam.create_user(UserName="keyed")
    key = iam.create_access_key(UserName="keyed")["AccessKey"]
    credentials = {
        "aws_access_key_id": key["AccessKeyId"],
        "aws_secret_access_key": key["SecretAccessKey"],
    }
    keyed = platform.client("sts", credentials=credentials)
    assert keyed.get_caller_identity()["Arn"].endswith(":user/keyed")

    iam.update_access_key(
        UserName="keyed", AccessKeyId=key["AccessKeyId"], Status="Inactive"
    )

    with pytest.raises(keyed.exceptions.ClientError) as refused:
        keyed.get_caller_identity()
    assert "InvalidClientTokenId" == refused.value.response["Error"]["Code"]
