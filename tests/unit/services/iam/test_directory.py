"""Laws of what the rooms ask of IAM."""

from __future__ import annotations

from dataclasses import replace

from casemate.core.arn import Arn
from casemate.core.principal import Kind, Principal
from casemate.policy.iam import Ask, PrincipalView, decide
from casemate.services.iam.administrator import OPERATOR
from unit.services.calls import ACCOUNT, NOW, OTHER_ACCOUNT, law, session_of, user_of
from unit.services.iam_world import BASIC, World, allow, role_arn, trusting


def may(world: World, principal: Principal, action: str) -> bool:
    """Ask the policy language with what the directory gives."""
    identity = world.directory.identity(principal)
    decision = decide(
        Ask(
            principal=PrincipalView.of(principal),
            action=action,
            resource="*",
            context={},
        ),
        identity=identity.policies,
        boundary=identity.boundary,
        resource_account=principal.account,
    )
    return decision.allowed and identity.exists


def trusts(world: World, arn: str, principal: Principal) -> bool:
    """Ask whether a role's trust policy, with an allowing identity, admits."""
    facts = world.directory.resource_facts(Arn.parse(arn), "sts:AssumeRole")
    assert facts is not None
    identity = world.directory.identity(principal)
    return decide(
        Ask(
            principal=PrincipalView.of(principal),
            action="sts:AssumeRole",
            resource=arn,
            context={},
        ),
        identity=identity.policies,
        boundary=identity.boundary,
        resource_account=Arn.parse(arn).account,
        resource_policies=facts.policies,
        policy_required=facts.required,
    ).allowed


async def session(world: World, name: str = "worker", **more: object) -> Principal:
    """Make a role, and give the principal of a session of it."""
    made = await world.role(name, **more)
    return session_of(name, role_id=str(made["RoleId"]))


@law
async def test_a_change_of_policy_is_seen_by_the_next_call() -> None:
    """Inline, attached, versions, boundary: each commit is in force at once."""
    world = World()
    who = await session(world)
    assert not may(world, who, "s3:GetObject")
    inline = {"RoleName": "worker", "PolicyName": "p"}
    await world.call("PutRolePolicy", **inline, PolicyDocument=allow("s3:*"))
    assert may(world, who, "s3:GetObject")
    await world.call("DeleteRolePolicy", **inline)
    assert not may(world, who, "s3:GetObject")

    arn = await world.policy("p", PolicyDocument=allow("s3:*"))
    await world.call("AttachRolePolicy", RoleName="worker", PolicyArn=arn)
    assert may(world, who, "s3:GetObject")
    await world.call(
        "CreatePolicyVersion",
        PolicyArn=arn,
        PolicyDocument=allow("logs:*"),
        SetAsDefault=True,
    )
    assert not may(world, who, "s3:GetObject")
    assert may(world, who, "logs:PutLogEvents")
    await world.call(
        "PutRolePermissionsBoundary",
        RoleName="worker",
        PermissionsBoundary="arn:aws:iam::aws:policy/IAMReadOnlyAccess",
    )
    assert not may(world, who, "logs:PutLogEvents")


@law
async def test_a_session_of_a_role_made_again_has_nothing() -> None:
    """Z17: the name is the same, the id is not."""
    world = World()
    before = await session(world)
    await world.call("DeleteRole", RoleName="worker")
    assert not world.directory.identity(before).exists
    again = await session(world)
    await world.call("AttachRolePolicy", RoleName="worker", PolicyArn=BASIC)
    assert may(world, again, "logs:PutLogEvents")
    identity = world.directory.identity(before)
    assert not identity.exists
    assert identity.policies == ()


@law
async def test_a_user_made_again_has_nothing_of_the_first() -> None:
    """Z17: nor do its old access keys come back."""
    world = World()
    first = await world.user("alice")
    key = (await world.call("CreateAccessKey", UserName="alice"))["AccessKey"]
    assert isinstance(key, dict)
    old = user_of("alice", user_id=str(first["UserId"]))
    assert world.directory.identity(old).exists
    await world.call(
        "DeleteAccessKey", UserName="alice", AccessKeyId=key["AccessKeyId"]
    )
    await world.call("DeleteUser", UserName="alice")
    await world.user("alice")
    assert not world.directory.identity(old).exists
    assert world.directory.access_key(key["AccessKeyId"]) is None


@law
async def test_trust_admits_the_id_and_not_the_name() -> None:
    """Z17, for users, roles and single sessions, in both accounts."""
    world = World()
    allowing = {"PolicyName": "p", "PolicyDocument": allow("sts:AssumeRole")}
    for account in (ACCOUNT, OTHER_ACCOUNT):
        caller = world.of(account)
        named = {"UserName": "alice"}
        made = (await caller("CreateUser", **named))["User"]
        assert isinstance(made, dict)
        await caller("PutUserPolicy", **named, **allowing)
        alice = user_of("alice", account=account, user_id=str(made["UserId"]))
        door = f"door-{account}"
        await world.role(door, AssumeRolePolicyDocument=trusting(alice.arn))
        assert trusts(world, role_arn(door), alice)

        await caller("DeleteUserPolicy", **named, PolicyName="p")
        await caller("DeleteUser", **named)
        made = (await caller("CreateUser", **named))["User"]
        assert isinstance(made, dict)
        await caller("PutUserPolicy", **named, **allowing)
        again = replace(alice, id=str(made["UserId"]))
        assert not trusts(world, role_arn(door), again)


@law
async def test_trust_in_a_session_ends_with_its_role() -> None:
    """Z17: a session's ARN is bound to the id of the role behind it."""
    world = World()
    one = await session(world, "maker")
    await world.role("door", AssumeRolePolicyDocument=trusting(one.arn))
    allowing = {"PolicyName": "p", "PolicyDocument": allow("sts:AssumeRole")}
    await world.call("PutRolePolicy", RoleName="maker", **allowing)
    assert trusts(world, role_arn("door"), one)
    await world.call("DeleteRolePolicy", RoleName="maker", PolicyName="p")
    await world.call("DeleteRole", RoleName="maker")
    again = await session(world, "maker")
    await world.call("PutRolePolicy", RoleName="maker", **allowing)
    assert again.arn == one.arn
    assert not trusts(world, role_arn("door"), again)


@law
async def test_trust_speaks_of_sts_alone() -> None:
    """IAM's own actions on a role are governed by the caller's policies."""
    world = World()
    await world.role()
    arn = Arn.parse(role_arn("worker"))
    assert world.directory.resource_facts(arn, "iam:GetRole") is None
    assert world.directory.resource_facts(arn, "iam:PassRole") is None
    facts = world.directory.resource_facts(arn, "sts:AssumeRole")
    assert facts is not None
    assert facts.required
    gone = world.directory.resource_facts(Arn.parse(role_arn("gone")), "sts:AssumeRole")
    assert gone is not None
    assert gone.required
    assert gone.policies == ()


@law
async def test_a_role_is_found_by_its_whole_arn() -> None:
    """Path, case, partition and account are part of the name."""
    world = World()
    await world.role("worker", Path="/svc/")
    whole = role_arn("svc/worker")
    assert world.directory.role(whole) is not None
    for other in (
        role_arn("worker"),
        role_arn("svc/Worker"),
        role_arn("svc/worker", OTHER_ACCOUNT),
        whole.replace("arn:aws:", "arn:aws-cn:"),
        whole.replace("role/", "user/"),
        "worker",
        "",
        "arn:aws:iam::" + "1" * 5000,
    ):
        assert world.directory.role(other) is None


@law
async def test_a_service_has_no_policies_and_is_there() -> None:
    """What it may is said by resources' policies."""
    who = Principal(
        kind=Kind.SERVICE,
        account=ACCOUNT,
        arn="",
        id="events.amazonaws.com",
        name="events.amazonaws.com",
    )
    identity = World().directory.identity(who)
    assert identity.exists
    assert identity.policies == ()


@law
async def test_the_administrator_is_made_once_and_admits_no_principal() -> None:
    """A second asking gives the same role; no account's principal may assume it."""
    world = World()
    one = await world.directory.ensure_administrator(ACCOUNT, now=NOW)
    two = await world.directory.ensure_administrator(ACCOUNT, now=NOW + 1)
    assert one.id == two.id
    assert one.max_session == 43_200
    who = session_of("casemate-administrator", role_id=one.id)
    assert may(world, who, "iam:CreateUser")
    assert not trusts(world, one.arn, who)
    shown = (await world.call("GetRole", RoleName=one.name))["Role"]
    assert OPERATOR in str(shown)


@law
async def test_unknown_keys_and_principals_are_answered_without_being_kept() -> None:
    """Strangers cannot fill the memory with names of what is not there."""
    world = World()
    for number in range(100):
        assert world.directory.access_key(f"AKIA{number:016}") is None
        assert not world.directory.identity(user_of(f"u{number}")).exists
    assert world.directory._identities == {}
    assert world.directory._keys == {}
    assert world.directory.access_key("a\x00b") is None


@law
async def test_an_identity_is_compiled_once() -> None:
    """Until something changes, the same compiled answer is given."""
    world = World()
    who = await session(world)
    ask = world.directory.identity
    assert ask(who) is ask(who)
