"""Laws of STS."""

from __future__ import annotations

import json

import pytest

from casemate.services.sts.narrowing import PACKED
from unit.services.calls import (
    ACCOUNT,
    OTHER_ACCOUNT,
    admitted,
    law,
    refused,
    session_of,
    user_of,
)
from unit.services.iam_world import BASIC, World, allow, role_arn


async def world_with_role(**more: object) -> World:
    world = World()
    await world.role("worker", **more)
    world.call = world.call.by(user_of("alice"))
    return world


def ask(**more: object) -> dict[str, object]:
    return {"RoleArn": role_arn("worker"), "RoleSessionName": "job", **more}


@law
async def test_everybody_may_ask_who_they_are() -> None:
    """The operation is open to all, and tells what is proven."""
    world = World()
    assert world.call.operations["GetCallerIdentity"].open_to_all
    who = session_of("worker")
    assert await world.by(who)("GetCallerIdentity") == {
        "UserId": who.id,
        "Account": ACCOUNT,
        "Arn": who.arn,
    }


@law
async def test_a_session_is_of_the_role_and_says_so() -> None:
    """The claims that are sealed are those that the answer shows."""
    world = await world_with_role()
    answer = await world.call("AssumeRole", **ask())
    (claims,) = world.keys.claims
    role = world.directory.role(role_arn("worker"))
    assert role is not None
    assert (claims.account, claims.role_arn, claims.role_id) == (
        ACCOUNT,
        role.arn,
        role.id,
    )
    assert answer["AssumedRoleUser"] == {
        "AssumedRoleId": f"{role.id}:job",
        "Arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/job",
    }
    assert world.keys.seconds == [3600]
    assert "PackedPolicySize" not in answer
    assert claims.cell is None


@pytest.mark.parametrize(
    ("seconds", "longest", "fits"),
    [
        (899, 3600, False),
        (900, 3600, True),
        (3600, 3600, True),
        (3601, 3600, False),
        (43_200, 43_200, True),
        (43_201, 43_200, False),
    ],
)
@law
async def test_a_session_lasts_as_long_as_its_role_lets_it(
    seconds: int, longest: int, *, fits: bool
) -> None:
    """Fifteen minutes at least, MaxSessionDuration at most."""
    world = await world_with_role(MaxSessionDuration=longest)
    call = world.call("AssumeRole", **ask(DurationSeconds=seconds))
    if fits:
        await call
        assert world.keys.seconds == [seconds]
    else:
        assert (await refused(call)).code == "ValidationError"
        assert world.keys.claims == []


@pytest.mark.parametrize(("seconds", "fits"), [(3600, True), (3601, False)])
@law
async def test_a_chained_session_lasts_an_hour_at_most(
    seconds: int, *, fits: bool
) -> None:
    """Z10: whatever the role allows, when a session makes it."""
    world = await world_with_role(MaxSessionDuration=43_200)
    caller = world.by(session_of("other"))
    call = caller("AssumeRole", **ask(DurationSeconds=seconds))
    if fits:
        await call
    else:
        assert (await refused(call)).code == "ValidationError"


@pytest.mark.parametrize("name", ["", "a", "a" * 65, "a b", "a/b", "a:b", "ab\n", "é€"])
@law
async def test_a_session_name_keeps_its_rules(name: str) -> None:
    """2 to 64 letters, digits and a few signs; no separator of ids and ARNs."""
    world = await world_with_role()
    error = await refused(world.call("AssumeRole", **ask(RoleSessionName=name)))
    assert error.code == "ValidationError"


@law
async def test_a_role_that_is_not_there_is_denied_like_one_that_does_not_trust() -> (
    None
):
    """AccessDenied; the same in the own account and in another."""
    world = await world_with_role()
    for arn in (role_arn("never"), role_arn("worker", OTHER_ACCOUNT), "worker", "arn:"):
        error = await refused(world.call("AssumeRole", **ask(RoleArn=arn)))
        assert (error.code, error.http_status) == ("AccessDenied", 403)


@law
async def test_trust_conditions_see_the_external_id_and_the_tags() -> None:
    """The keys that a confused deputy is stopped by."""
    world = await world_with_role()
    declared = world.call.operations["AssumeRole"]
    given = ask(ExternalId="x-1", Tags=[{"Key": "k", "Value": "v"}])
    call = admitted(declared, given)
    assert declared.context(call.parameters, call.scope) == {
        "sts:RoleSessionName": "job",
        "sts:ExternalId": "x-1",
        "aws:RequestTag/k": "v",
        "aws:TagKeys": ("k",),
    }
    (need,) = declared.needs(call.parameters, call.scope)
    assert (need.action, need.resource) == ("sts:TagSession", role_arn("worker"))
    bare = admitted(declared, ask())
    assert declared.needs(bare.parameters, bare.scope) == ()


@law
async def test_what_is_not_enforced_is_not_accepted() -> None:
    """Refused by name in `validate`, because it is not on the list."""
    accepts = World().call.operations["AssumeRole"].accepts
    for member in (
        "SourceIdentity",
        "TransitiveTagKeys",
        "SerialNumber",
        "TokenCode",
        "ProvidedContexts",
    ):
        assert member not in accepts


@law
async def test_session_policies_travel_in_the_claims() -> None:
    """Inline and managed ones, without white space, and the share they take."""
    world = await world_with_role()
    inline = json.dumps(json.loads(allow("s3:GetObject")), indent=4)
    answer = await world.call(
        "AssumeRole", **ask(Policy=inline, PolicyArns=[{"arn": BASIC}])
    )
    (claims,) = world.keys.claims
    assert json.loads(claims.session_policies[0]) == json.loads(inline)
    assert "logs:PutLogEvents" in claims.session_policies[1]
    assert "\n" not in claims.session_policies[0]
    size = answer["PackedPolicySize"]
    assert isinstance(size, int)
    assert 0 < size < 100


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"Policy": "no json"}, "MalformedPolicyDocument"),
        ({"Policy": "{}"}, "MalformedPolicyDocument"),
        ({"Policy": '{"Version":"2012-10-17","Version":"2012-10-17"}'}, "Malf"),
        ({"Policy": allow("a:b") + " " * 2048}, "ValidationError"),
        ({"PolicyArns": [{"arn": "arn:aws:iam::aws:policy/No"}]}, "ValidationError"),
        ({"PolicyArns": [{"arn": BASIC}] * 11}, "ValidationError"),
        ({"Tags": [{"Key": "aws:k", "Value": ""}]}, "ValidationError"),
        ({"Tags": [{"Key": "k", "Value": ""}, {"Key": "K", "Value": ""}]}, "Valid"),
        ({"Tags": [{"Key": str(n), "Value": ""} for n in range(51)]}, "Valid"),
        ({"ExternalId": "x"}, "ValidationError"),
    ],
)
@law
async def test_what_breaks_a_rule_makes_no_session(
    more: dict[str, object], code: str
) -> None:
    """Refused before the keyholder is asked."""
    world = await world_with_role()
    error = await refused(world.call("AssumeRole", **ask(**more)))
    assert error.code.startswith(code)
    assert world.keys.claims == []


@law
async def test_a_token_carries_no_more_than_fits_a_header() -> None:
    """PackedPolicyTooLarge."""
    world = await world_with_role()
    tags = [{"Key": f"k{n}", "Value": "v" * 250} for n in range(PACKED // 250 + 1)]
    error = await refused(world.call("AssumeRole", **ask(Tags=tags)))
    assert error.code == "PackedPolicyTooLarge"


@law
async def test_another_accounts_access_key_is_like_none() -> None:
    """GetAccessKeyInfo tells of the own account's keys alone."""
    world = World()
    await world.user("alice")
    key = (await world.call("CreateAccessKey", UserName="alice"))["AccessKey"]
    assert isinstance(key, dict)
    id_ = key["AccessKeyId"]
    assert await world.call("GetAccessKeyInfo", AccessKeyId=id_) == {"Account": ACCOUNT}
    seen = await refused(world.of(OTHER_ACCOUNT)("GetAccessKeyInfo", AccessKeyId=id_))
    never = await refused(world.call("GetAccessKeyInfo", AccessKeyId="AKIA" + "9" * 16))
    assert seen.code == never.code
    assert seen.reason == never.reason.replace("AKIA" + "9" * 16, id_)
