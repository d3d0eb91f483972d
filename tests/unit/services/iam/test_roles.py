"""Laws of roles, their trust, tags and boundaries."""

from __future__ import annotations

import json

import pytest

from casemate.core.operation import Operation
from casemate.services.iam import roles
from casemate.services.iam.holders import KEPT_ROLE
from unit.services.calls import ACCOUNT, NOW, OTHER_ACCOUNT, admitted, law, refused
from unit.services.iam_world import (
    BASIC,
    TRUST,
    World,
    allow,
    decoded,
    role_arn,
    trusting,
)


@law
async def test_a_role_is_shown_as_it_was_made() -> None:
    """The trust policy comes back percent-encoded, as IAM sends it."""
    world = World()
    made = await world.role("worker", Path="/svc/", Description="does work")
    got = (await world.call("GetRole", RoleName="worker"))["Role"]
    assert got == made
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/svc/worker"
    assert str(made["AssumeRolePolicyDocument"]).startswith("%7B%22Version")
    assert decoded(made["AssumeRolePolicyDocument"]) == json.loads(TRUST)
    assert made["MaxSessionDuration"] == 3600
    assert str(made["RoleId"]).startswith("AROA")


@pytest.mark.parametrize(
    "document",
    [
        "{}",
        "not json",
        allow("sts:AssumeRole"),
        '{"Version":"2012-10-17","Statement":[]}',
        trusting("arn:aws:iam::111122223333:user/nobody"),
        trusting("AIDAAAAAAAAAAAAAAAAAA"),
        trusting("arn:aws:iam::111122223333:group/x"),
        trusting("arn:aws:s3:::bucket"),
    ],
)
@law
async def test_a_malformed_trust_policy_is_refused(document: str) -> None:
    """MalformedPolicyDocument, and nothing is written."""
    world = World()
    before = world.stored()
    error = await refused(world.role(AssumeRolePolicyDocument=document))
    assert (error.code, error.http_status) == ("MalformedPolicyDocument", 400)
    assert world.stored() == before


@pytest.mark.parametrize(("seconds", "fits"), [(3599, False), (3600, True)])
@law
async def test_the_session_duration_has_a_floor(seconds: int, *, fits: bool) -> None:
    """An hour at least."""
    call = World().role(MaxSessionDuration=seconds)
    if fits:
        assert (await call)["MaxSessionDuration"] == seconds
    else:
        assert (await refused(call)).code == "ValidationError"


@pytest.mark.parametrize(("seconds", "fits"), [(43_200, True), (43_201, False)])
@law
async def test_the_session_duration_has_a_ceiling(seconds: int, *, fits: bool) -> None:
    """Twelve hours at most, at creation and at update."""
    world = World()
    await world.role()
    call = world.call("UpdateRole", RoleName="worker", MaxSessionDuration=seconds)
    if fits:
        await call
    else:
        assert (await refused(call)).code == "ValidationError"


@law
async def test_the_resource_of_a_call_has_the_roles_path() -> None:
    """A statement about `role/protected/*` reaches calls that name `worker`."""
    world = World()
    await world.role("worker", Path="/protected/")
    for name in ("DeleteRole", "GetRole", "AttachRolePolicy", "PutRolePolicy"):
        call = admitted(world.call.operations[name], {"RoleName": "worker"})
        assert call.sound.allowed.resource == role_arn("protected/worker")


@law
async def test_a_role_that_moved_after_authorization_is_left_alone() -> None:
    """What was authorized is what is used."""
    world = World()
    await world.role("worker", Path="/a/")
    declared = world.call.operations["DeleteRole"]
    call = admitted(declared, {"RoleName": "worker"})
    await world.call("DeleteRole", RoleName="worker")
    await world.role("worker", Path="/b/")
    error = await refused(declared.method(call))
    assert error.code == "ConcurrentModification"
    assert await world.call("GetRole", RoleName="worker")


def context_of(declared: Operation, **parameters: object) -> dict[str, object]:
    call = admitted(declared, parameters)
    return dict(declared.context(call.parameters, call.scope))


@law
async def test_conditions_see_the_boundary_and_the_tags_of_the_target() -> None:
    """iam:PermissionsBoundary is the target's, unless the request brings one."""
    world = World()
    tags = [{"Key": "team", "Value": "red"}]
    await world.role("worker", PermissionsBoundary=BASIC, Tags=tags)
    seen = context_of(
        world.call.operations["AttachRolePolicy"], RoleName="worker", PolicyArn="arn:x"
    )
    assert seen == {
        "iam:PolicyARN": "arn:x",
        "iam:PermissionsBoundary": BASIC,
        "aws:ResourceTag/team": "red",
        "iam:ResourceTag/team": "red",
    }
    seen = context_of(
        world.call.operations["PutRolePermissionsBoundary"],
        RoleName="worker",
        PermissionsBoundary="arn:other",
    )
    assert seen["iam:PermissionsBoundary"] == "arn:other"
    assert "iam:PermissionsBoundary" not in context_of(
        world.call.operations["GetRole"], RoleName="worker"
    )


@law
async def test_making_a_role_with_tags_needs_the_right_to_tag() -> None:
    """iam:TagRole on the role to be made, with the tags as condition keys."""
    declared = World().call.operations["CreateRole"]
    given = {"RoleName": "r", "Path": "/p/", "Tags": [{"Key": "k", "Value": "v"}]}
    call = admitted(declared, given)
    (need,) = declared.needs(call.parameters, call.scope)
    assert (need.action, need.resource) == ("iam:TagRole", role_arn("p/r"))
    assert need.context == {"aws:RequestTag/k": "v", "aws:TagKeys": ("k",)}
    bare = admitted(declared, {"RoleName": "r"})
    assert declared.needs(bare.parameters, bare.scope) == ()


@law
async def test_trust_is_bound_to_the_identity_and_not_to_its_name() -> None:
    """Z17: who is made again under the same name is somebody else."""
    world = World()
    first = await world.user("alice")
    arn = str(first["Arn"])
    await world.role("door", AssumeRolePolicyDocument=trusting(arn))
    shown = (await world.call("GetRole", RoleName="door"))["Role"]
    assert isinstance(shown, dict)
    assert arn in json.dumps(decoded(shown["AssumeRolePolicyDocument"]))

    await world.call("DeleteUser", UserName="alice")
    again = await world.user("alice")
    assert again["UserId"] != first["UserId"]
    shown = (await world.call("GetRole", RoleName="door"))["Role"]
    assert isinstance(shown, dict)
    trust = json.dumps(decoded(shown["AssumeRolePolicyDocument"]))
    assert arn not in trust
    assert str(first["UserId"]) in trust


@law
async def test_trust_follows_a_renamed_identity() -> None:
    """A binding is to the id, so it shows the name that the user has now."""
    world = World()
    made = await world.user("alice")
    await world.role("door", AssumeRolePolicyDocument=trusting(str(made["Arn"])))
    await world.call("UpdateUser", UserName="alice", NewUserName="bob")
    shown = (await world.call("GetRole", RoleName="door"))["Role"]
    assert isinstance(shown, dict)
    trust = json.dumps(decoded(shown["AssumeRolePolicyDocument"]))
    assert f"arn:aws:iam::{ACCOUNT}:user/bob" in trust


@law
async def test_trust_in_another_account_tells_nothing_of_it() -> None:
    """A name that is there and one that is not are taken and shown alike."""
    world = World()
    stranger = world.of(OTHER_ACCOUNT)
    await stranger("CreateUser", UserName="there")
    for name in ("there", "not-there"):
        arn = f"arn:aws:iam::{OTHER_ACCOUNT}:user/{name}"
        made = await world.role(f"for-{name}", AssumeRolePolicyDocument=trusting(arn))
        assert decoded(made["AssumeRolePolicyDocument"]) == json.loads(trusting(arn))
    await stranger("DeleteUser", UserName="there")
    got = (await world.call("GetRole", RoleName="for-there"))["Role"]
    assert isinstance(got, dict)
    assert ":user/there" in json.dumps(decoded(got["AssumeRolePolicyDocument"]))


@law
async def test_trust_is_replaced_as_a_whole() -> None:
    """UpdateAssumeRolePolicy, and NoSuchEntity for a role that is not there."""
    world = World()
    await world.role()
    document = trusting(ACCOUNT)
    await world.call(
        "UpdateAssumeRolePolicy", RoleName="worker", PolicyDocument=document
    )
    got = (await world.call("GetRole", RoleName="worker"))["Role"]
    assert isinstance(got, dict)
    assert decoded(got["AssumeRolePolicyDocument"]) == json.loads(document)
    error = await refused(
        world.call("UpdateAssumeRolePolicy", RoleName="no", PolicyDocument=document)
    )
    assert error.code == "NoSuchEntity"


@law
async def test_a_role_with_policies_is_not_deleted() -> None:
    """DeleteConflict, for inline ones and for managed ones."""
    world = World()
    await world.role()
    await world.call("AttachRolePolicy", RoleName="worker", PolicyArn=BASIC)
    error = await refused(world.call("DeleteRole", RoleName="worker"))
    assert (error.code, error.http_status) == ("DeleteConflict", 409)
    await world.call("DetachRolePolicy", RoleName="worker", PolicyArn=BASIC)
    await world.call("DeleteRole", RoleName="worker")
    assert {p[1] for p in world.stored()} == {"iam.census", "iam.usage"}


@law
async def test_the_quota_of_roles_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last fits, the next does not."""
    monkeypatch.setattr(roles, "QUOTA", 1)
    world = World()
    await world.role("a")
    assert (await refused(world.role("b"))).code == "LimitExceeded"


@law
async def test_the_platforms_role_is_not_an_accounts_to_change() -> None:
    """UnmodifiableEntity for every change, and its name cannot be taken."""
    world = World()
    assert (await refused(world.role("Casemate-Administrator"))).code == (
        "UnmodifiableEntity"
    )
    await world.directory.ensure_administrator(ACCOUNT, now=NOW)
    named = {"RoleName": KEPT_ROLE}
    for operation, more in (
        ("DeleteRole", {}),
        ("UpdateRole", {"Description": "mine"}),
        ("UpdateAssumeRolePolicy", {"PolicyDocument": trusting(ACCOUNT)}),
        ("PutRolePolicy", {"PolicyName": "p", "PolicyDocument": allow("a:b")}),
        (
            "DetachRolePolicy",
            {"PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"},
        ),
        ("AttachRolePolicy", {"PolicyArn": "arn:aws:iam::aws:policy/AWSDenyAll"}),
        ("PutRolePermissionsBoundary", {"PermissionsBoundary": BASIC}),
        ("TagRole", {"Tags": [{"Key": "k", "Value": "v"}]}),
        ("UntagRole", {"TagKeys": ["k"]}),
    ):
        error = await refused(world.call(operation, **named, **more))
        assert error.code == "UnmodifiableEntity", operation


@law
async def test_tags_are_set_replaced_and_removed_whatever_their_case() -> None:
    """A key is one key in any case; the last writing stays."""
    world = World()
    await world.role(Tags=[{"Key": "Team", "Value": "red"}])
    await world.call("TagRole", RoleName="worker", Tags=[{"Key": "team", "Value": "b"}])
    answer = await world.call("ListRoleTags", RoleName="worker")
    assert answer["Tags"] == [{"Key": "team", "Value": "b"}]
    await world.call("UntagRole", RoleName="worker", TagKeys=["TEAM"])
    assert (await world.call("ListRoleTags", RoleName="worker"))["Tags"] == []


@law
async def test_a_role_has_fifty_tags_at_most() -> None:
    """Fifty fit, one more is LimitExceeded and changes nothing."""
    world = World()
    await world.role(Tags=[{"Key": f"k{n}", "Value": ""} for n in range(50)])
    before = world.stored()
    error = await refused(
        world.call("TagRole", RoleName="worker", Tags=[{"Key": "more", "Value": ""}])
    )
    assert error.code == "LimitExceeded"
    assert world.stored() == before
    await world.call("TagRole", RoleName="worker", Tags=[{"Key": "K0", "Value": "x"}])


@pytest.mark.parametrize(
    "tags",
    [
        [{"Key": "aws:x", "Value": ""}],
        [{"Key": "AWS:x", "Value": ""}],
        [{"Key": "", "Value": ""}],
        [{"Key": "k" * 129, "Value": ""}],
        [{"Key": "k", "Value": "v" * 257}],
        [{"Key": "k", "Value": "a"}, {"Key": "K", "Value": "b"}],
        [{"Key": "<k>", "Value": ""}],
    ],
)
@law
async def test_a_tag_that_breaks_the_rules_is_refused(
    tags: list[dict[str, str]],
) -> None:
    """Lengths, characters, the reserved prefix, keys given twice."""
    error = await refused(World().role(Tags=tags))
    assert error.code in ("ValidationError", "InvalidInput")


@law
async def test_a_boundary_is_put_counted_and_removed() -> None:
    """GetRole shows it, the policy counts it, and deletion gives it back."""
    world = World()
    arn = await world.policy("edge")
    await world.role()
    put = {"RoleName": "worker", "PermissionsBoundary": arn}
    await world.call("PutRolePermissionsBoundary", **put)
    await world.call("PutRolePermissionsBoundary", **put)
    got = (await world.call("GetRole", RoleName="worker"))["Role"]
    assert isinstance(got, dict)
    assert got["PermissionsBoundary"] == {
        "PermissionsBoundaryType": "Policy",
        "PermissionsBoundaryArn": arn,
    }
    shown = (await world.call("GetPolicy", PolicyArn=arn))["Policy"]
    assert isinstance(shown, dict)
    assert shown["PermissionsBoundaryUsageCount"] == 1
    assert (await refused(world.call("DeletePolicy", PolicyArn=arn))).code == (
        "DeleteConflict"
    )
    await world.call("DeleteRolePermissionsBoundary", RoleName="worker")
    error = await refused(
        world.call("DeleteRolePermissionsBoundary", RoleName="worker")
    )
    assert error.code == "NoSuchEntity"
    await world.call("DeletePolicy", PolicyArn=arn)


@law
async def test_a_role_has_no_instance_profiles() -> None:
    """Truthfully empty."""
    world = World()
    await world.role()
    answer = await world.call("ListInstanceProfilesForRole", RoleName="worker")
    assert answer == {"InstanceProfiles": [], "IsTruncated": False}
