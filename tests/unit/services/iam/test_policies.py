"""Laws of inline and managed policies, their versions and attachments."""

from __future__ import annotations

import json

import pytest

from casemate.services.iam import policies
from casemate.services.iam.given import GIVEN
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, law, refused
from unit.services.iam_world import BASIC, World, allow, decoded


def padded(size: int) -> str:
    """Write a policy of exactly so many characters, white space not counted."""
    policy = json.loads(allow("a:b"))
    condition = {"StringEquals": {"aws:userid": [""]}}
    policy["Statement"][0]["Condition"] = condition
    missing = size - len(json.dumps(policy, separators=(",", ":")))
    condition["StringEquals"]["aws:userid"] = ["x" * missing]
    return json.dumps(policy, separators=(",", ":"))


def of(answer: object) -> dict[str, object]:
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize("kind", ["User", "Role"])
@law
async def test_an_inline_policy_is_put_shown_listed_and_deleted(kind: str) -> None:
    """The document comes back as it was given."""
    world = World()
    await (world.user("x") if kind == "User" else world.role("x"))
    named = {f"{kind}Name": "x"}
    document = allow("s3:GetObject")
    put = {**named, "PolicyName": "p", "PolicyDocument": document}
    await world.call(f"Put{kind}Policy", **put)
    got = await world.call(f"Get{kind}Policy", **named, PolicyName="p")
    assert decoded(got["PolicyDocument"]) == json.loads(document)
    listed = await world.call(f"List{kind}Policies", **named)
    assert listed == {"PolicyNames": ["p"], "IsTruncated": False}
    await world.call(f"Delete{kind}Policy", **named, PolicyName="p")
    for verb in ("Get", "Delete"):
        error = await refused(
            world.call(f"{verb}{kind}Policy", **named, PolicyName="p")
        )
        assert error.code == "NoSuchEntity"


@pytest.mark.parametrize(("kind", "limit"), [("User", 2_048), ("Role", 10_240)])
@law
async def test_inline_policies_have_a_size_together(kind: str, limit: int) -> None:
    """Exactly the limit fits; one character more, or one policy more, does not."""
    world = World()
    await (world.user("x") if kind == "User" else world.role("x"))
    put = {f"{kind}Name": "x", "PolicyName": "p"}
    before = world.stored()
    too_long = {**put, "PolicyDocument": padded(limit + 1)}
    error = await refused(world.call(f"Put{kind}Policy", **too_long))
    assert (error.code, error.http_status) == ("LimitExceeded", 409)
    assert world.stored() == before
    await world.call(f"Put{kind}Policy", **put, PolicyDocument=padded(limit))
    another = {**put, "PolicyName": "q", "PolicyDocument": allow("a:b")}
    assert (await refused(world.call(f"Put{kind}Policy", **another))).code == (
        "LimitExceeded"
    )


@law
async def test_white_space_does_not_count() -> None:
    """IAM measures what is left without it."""
    world = World()
    await world.user("x")
    spaced = json.dumps(json.loads(padded(2_048)), indent=20)
    await world.call(
        "PutUserPolicy", UserName="x", PolicyName="p", PolicyDocument=spaced
    )


@pytest.mark.parametrize(
    "document", ["", "{", "[]", '{"Statement":[{"Effect":"Maybe"}]}']
)
@law
async def test_a_malformed_document_is_refused_everywhere(document: str) -> None:
    """MalformedPolicyDocument (an empty one is a missing parameter)."""
    world = World()
    await world.role()
    arn = await world.policy()
    for call in (
        world.call(
            "PutRolePolicy",
            RoleName="worker",
            PolicyName="p",
            PolicyDocument=document,
        ),
        world.call("CreatePolicy", PolicyName="p", PolicyDocument=document),
        world.call("CreatePolicyVersion", PolicyArn=arn, PolicyDocument=document),
    ):
        error = await refused(call)
        wanted = "MalformedPolicyDocument" if document else "ValidationError"
        assert (error.code, error.http_status) == (wanted, 400)


@law
async def test_a_managed_policy_is_shown_as_it_was_made() -> None:
    """GetPolicy, and GetPolicyVersion with its document."""
    world = World()
    document = allow("lambda:InvokeFunction")
    arn = await world.policy(
        "p", Path="/x/", PolicyDocument=document, Description="about"
    )
    assert arn == f"arn:aws:iam::{ACCOUNT}:policy/x/p"
    shown = of((await world.call("GetPolicy", PolicyArn=arn))["Policy"])
    assert (shown["DefaultVersionId"], shown["Description"]) == ("v1", "about")
    assert (shown["AttachmentCount"], shown["IsAttachable"]) == (0, True)
    version = of(
        (await world.call("GetPolicyVersion", PolicyArn=arn, VersionId="v1"))[
            "PolicyVersion"
        ]
    )
    assert decoded(version["Document"]) == json.loads(document)
    assert version["IsDefaultVersion"] is True


@pytest.mark.parametrize(("size", "fits"), [(6_144, True), (6_145, False)])
@law
async def test_a_managed_policy_has_a_size(size: int, *, fits: bool) -> None:
    """6,144 characters, for the policy and for each version."""
    world = World()
    call = world.policy("p", PolicyDocument=padded(size))
    if fits:
        await call
    else:
        assert (await refused(call)).code == "LimitExceeded"


@law
async def test_the_quota_of_policies_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last fits, the next does not."""
    monkeypatch.setattr(policies, "QUOTA", 1)
    world = World()
    arn = await world.policy("a")
    assert (await refused(world.policy("b"))).code == "LimitExceeded"
    await world.call("DeletePolicy", PolicyArn=arn)
    await world.policy("b")


@law
async def test_versions_count_up_and_five_are_kept() -> None:
    """A number is never used again; the sixth is refused until one is deleted."""
    world = World()
    arn = await world.policy()
    new = {"PolicyArn": arn, "PolicyDocument": allow("a:b")}
    for _ in range(4):
        await world.call("CreatePolicyVersion", **new)
    assert (await refused(world.call("CreatePolicyVersion", **new))).code == (
        "LimitExceeded"
    )
    await world.call("DeletePolicyVersion", PolicyArn=arn, VersionId="v5")
    made = of((await world.call("CreatePolicyVersion", **new))["PolicyVersion"])
    assert (made["VersionId"], made["IsDefaultVersion"]) == ("v6", False)
    listed = (await world.call("ListPolicyVersions", PolicyArn=arn))["Versions"]
    assert isinstance(listed, list)
    assert [v["VersionId"] for v in listed] == ["v6", "v4", "v3", "v2", "v1"]


@law
async def test_the_default_version_is_chosen_and_cannot_be_deleted() -> None:
    """By SetAsDefault, or by SetDefaultPolicyVersion."""
    world = World()
    arn = await world.policy()
    await world.call(
        "CreatePolicyVersion",
        PolicyArn=arn,
        PolicyDocument=allow("a:b"),
        SetAsDefault=True,
    )
    error = await refused(
        world.call("DeletePolicyVersion", PolicyArn=arn, VersionId="v2")
    )
    assert (error.code, error.http_status) == ("DeleteConflict", 409)
    await world.call("SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v1")
    await world.call("DeletePolicyVersion", PolicyArn=arn, VersionId="v2")
    for operation in (
        "GetPolicyVersion",
        "DeletePolicyVersion",
        "SetDefaultPolicyVersion",
    ):
        error = await refused(world.call(operation, PolicyArn=arn, VersionId="v2"))
        assert error.code == "NoSuchEntity"


@law
async def test_a_policy_in_use_or_with_versions_is_not_deleted() -> None:
    """DeleteConflict, until it is detached and only the default is left."""
    world = World()
    arn = await world.policy()
    await world.role()
    await world.call("AttachRolePolicy", RoleName="worker", PolicyArn=arn)
    assert (await refused(world.call("DeletePolicy", PolicyArn=arn))).code == (
        "DeleteConflict"
    )
    await world.call("DetachRolePolicy", RoleName="worker", PolicyArn=arn)
    new = {"PolicyArn": arn, "PolicyDocument": allow("a:b")}
    await world.call("CreatePolicyVersion", **new)
    assert (await refused(world.call("DeletePolicy", PolicyArn=arn))).code == (
        "DeleteConflict"
    )
    await world.call("DeletePolicyVersion", PolicyArn=arn, VersionId="v2")
    await world.call("DeletePolicy", PolicyArn=arn)
    assert (await refused(world.call("GetPolicy", PolicyArn=arn))).code == (
        "NoSuchEntity"
    )


@law
async def test_attaching_is_idempotent_and_counted_once() -> None:
    """Attached twice is attached; detached twice is NoSuchEntity."""
    world = World()
    await world.role()
    attach = {"RoleName": "worker", "PolicyArn": BASIC}
    for _ in range(2):
        await world.call("AttachRolePolicy", **attach)
    shown = of((await world.call("GetPolicy", PolicyArn=BASIC))["Policy"])
    assert shown["AttachmentCount"] == 1
    listed = await world.call("ListAttachedRolePolicies", RoleName="worker")
    assert listed["AttachedPolicies"] == [
        {"PolicyName": "AWSLambdaBasicExecutionRole", "PolicyArn": BASIC}
    ]
    await world.call("DetachRolePolicy", **attach)
    assert (await refused(world.call("DetachRolePolicy", **attach))).code == (
        "NoSuchEntity"
    )


@pytest.mark.parametrize("kind", ["User", "Role"])
@law
async def test_ten_policies_are_attached_at_most(kind: str) -> None:
    """The eleventh is LimitExceeded and changes nothing."""
    world = World()
    await (world.user("x") if kind == "User" else world.role("x"))
    arns = [await world.policy(f"p{n}") for n in range(11)]
    for arn in arns[:10]:
        await world.call(
            f"Attach{kind}Policy", **{f"{kind}Name": "x", "PolicyArn": arn}
        )
    before = world.stored()
    last = {f"{kind}Name": "x", "PolicyArn": arns[10]}
    assert (await refused(world.call(f"Attach{kind}Policy", **last))).code == (
        "LimitExceeded"
    )
    assert world.stored() == before


@law
async def test_another_accounts_policy_is_like_none() -> None:
    """Shown, attached, made a boundary: the same NoSuchEntity as for no policy."""
    world = World()
    foreign = await world.policy("theirs")
    never = foreign.replace("theirs", "never")
    stranger = world.of(OTHER_ACCOUNT)
    await stranger("CreateUser", UserName="u")
    for operation, more in (
        ("GetPolicy", {}),
        ("DeletePolicy", {}),
        ("ListEntitiesForPolicy", {}),
        ("AttachUserPolicy", {"UserName": "u"}),
    ):
        seen = await refused(stranger(operation, PolicyArn=foreign, **more))
        unseen = await refused(stranger(operation, PolicyArn=never, **more))
        assert seen.code == unseen.code == "NoSuchEntity"
        assert seen.reason.replace("theirs", "never") == unseen.reason
    error = await refused(
        stranger("CreateUser", UserName="v", PermissionsBoundary=foreign)
    )
    assert error.code == "NoSuchEntity"


@law
async def test_aws_policies_are_read_only() -> None:
    """They can be attached, and neither changed nor deleted."""
    world = World()
    new = {"PolicyArn": BASIC, "PolicyDocument": allow("*")}
    for call in (
        world.call("CreatePolicyVersion", **new),
        world.call("DeletePolicy", PolicyArn=BASIC),
        world.call("SetDefaultPolicyVersion", PolicyArn=BASIC, VersionId="v1"),
        world.call("DeletePolicyVersion", PolicyArn=BASIC, VersionId="v1"),
    ):
        error = await refused(call)
        assert (error.code, error.http_status) == ("AccessDenied", 403)
    error = await refused(
        world.call("GetPolicy", PolicyArn="arn:aws:iam::aws:policy/NotHere")
    )
    assert error.code == "NoSuchEntity"


@law
async def test_policies_are_listed_by_scope_path_and_use() -> None:
    """AWS's and the account's, all or attached ones."""
    world = World()
    mine = await world.policy("mine", Path="/x/")
    other = await world.policy("other")
    await world.role()
    await world.call("AttachRolePolicy", RoleName="worker", PolicyArn=mine)

    async def arns(**query: object) -> list[str]:
        listed = (await world.call("ListPolicies", **query))["Policies"]
        assert isinstance(listed, list)
        return [p["Arn"] for p in listed]

    assert await arns(Scope="Local") == [mine, other]
    assert await arns(Scope="AWS") == sorted(GIVEN)
    assert await arns() == [mine, other, *sorted(GIVEN)]
    assert await arns(Scope="Local", PathPrefix="/x/") == [mine]
    assert await arns(OnlyAttached=True) == [mine]
    assert await arns(PolicyUsageFilter="PermissionsBoundary") == []


@law
async def test_the_entities_of_a_policy_are_listed_by_kind_and_use() -> None:
    """Users and roles apart, attachments and boundaries apart."""
    world = World()
    arn = await world.policy()
    await world.user("u", PermissionsBoundary=arn)
    await world.role("r")
    await world.call("AttachRolePolicy", RoleName="r", PolicyArn=arn)

    async def names(**query: object) -> list[str]:
        told = await world.call("ListEntitiesForPolicy", PolicyArn=arn, **query)
        users, roles = told["PolicyUsers"], told["PolicyRoles"]
        assert isinstance(users, list)
        assert isinstance(roles, list)
        return [u["UserName"] for u in users] + [r["RoleName"] for r in roles]

    assert await names() == ["u", "r"]
    assert await names(EntityFilter="Role") == ["r"]
    assert await names(EntityFilter="Group") == []
    assert await names(PolicyUsageFilter="PermissionsBoundary") == ["u"]
    assert await names(PolicyUsageFilter="PermissionsPolicy") == ["r"]


@law
async def test_every_given_policy_compiles() -> None:
    """What is given is in force."""
    world = World()
    for number, arn in enumerate(GIVEN):
        name = f"r{number}"
        role = await world.role(name, PermissionsBoundary=arn)
        await world.call("AttachRolePolicy", RoleName=name, PolicyArn=arn)
        assert world.directory.role(str(role["Arn"])) is not None
