"""Laws of users and access keys."""

from __future__ import annotations

import pytest

from casemate.services.iam import keys, users
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, admitted, law, refused
from unit.services.iam_world import BASIC, World, allow


@law
async def test_a_user_is_shown_as_it_was_made() -> None:
    """CreateUser and GetUser agree, and the id is AIDA and 17 more."""
    world = World()
    made = await world.user("alice", Path="/team/", Tags=[{"Key": "k", "Value": "v"}])
    got = (await world.call("GetUser", UserName="alice"))["User"]
    assert got == made
    assert made["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/team/alice"
    assert made["Tags"] == [{"Key": "k", "Value": "v"}]
    id_ = str(made["UserId"])
    assert id_.startswith("AIDA")
    assert len(id_) == 21


@law
async def test_names_are_unique_whatever_their_case() -> None:
    """`Alice` is taken by `alice`, and is not found by the other's name."""
    world = World()
    await world.user("alice")
    error = await refused(world.user("Alice"))
    assert (error.code, error.http_status) == ("EntityAlreadyExists", 409)
    error = await refused(world.call("GetUser", UserName="ALICE"))
    assert (error.code, error.http_status) == ("NoSuchEntity", 404)


@pytest.mark.parametrize("name", ["", "a" * 65, "a/b", "a b", "ä", "a\n", "*"])
@law
async def test_a_name_that_breaks_the_rules_is_refused(name: str) -> None:
    """Up to 64 letters, digits and a few signs."""
    world = World()
    before = world.stored()
    error = await refused(world.user(name))
    assert error.code == "ValidationError"
    assert world.stored() == before


@law
async def test_the_longest_name_is_taken() -> None:
    """64 characters are in; 65 are out."""
    assert (await World().user("a" * 64))["UserName"] == "a" * 64


@law
async def test_another_account_sees_nothing() -> None:
    """A user of one account is not there for another, by any operation."""
    world = World()
    await world.user("alice")
    stranger = world.of(OTHER_ACCOUNT)
    there = await refused(stranger("GetUser", UserName="alice"))
    never = await refused(stranger("GetUser", UserName="nobody"))
    assert there.code == never.code == "NoSuchEntity"
    assert there.reason == never.reason.replace("nobody", "alice")
    assert (await stranger("ListUsers"))["Users"] == []
    assert (await stranger("CreateUser", UserName="alice"))["User"]


@law
async def test_a_renamed_user_keeps_its_id_its_keys_and_its_policies() -> None:
    """UpdateUser moves everything that refers to the user by name."""
    world = World()
    made = await world.user("alice")
    key = (await world.call("CreateAccessKey", UserName="alice"))["AccessKey"]
    assert isinstance(key, dict)
    await world.call("AttachUserPolicy", UserName="alice", PolicyArn=BASIC)
    await world.call("UpdateUser", UserName="alice", NewUserName="bob", NewPath="/new/")
    got = (await world.call("GetUser", UserName="bob"))["User"]
    assert isinstance(got, dict)
    assert got["UserId"] == made["UserId"]
    assert got["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/new/bob"
    await refused(world.call("GetUser", UserName="alice"))
    found = world.directory.access_key(key["AccessKeyId"])
    assert found is not None
    assert found.user_name == "bob"
    entities = await world.call("ListEntitiesForPolicy", PolicyArn=BASIC)
    assert entities["PolicyUsers"] == [{"UserName": "bob", "UserId": made["UserId"]}]


@law
async def test_a_rename_onto_a_taken_name_changes_nothing() -> None:
    """EntityAlreadyExists, and both users are as they were."""
    world = World()
    await world.user("alice")
    await world.user("bob")
    before = world.stored()
    error = await refused(world.call("UpdateUser", UserName="alice", NewUserName="BOB"))
    assert error.code == "EntityAlreadyExists"
    assert world.stored() == before


@law
async def test_a_rename_needs_the_right_on_both_names() -> None:
    """The second need names the new user, under the path that it will have."""
    world = World()
    await world.user("alice", Path="/team/")
    declared = world.call.operations["UpdateUser"]
    call = admitted(declared, {"UserName": "alice", "NewUserName": "bob"})
    needs = declared.needs(call.parameters, call.scope)
    assert [n.resource for n in needs] == [f"arn:aws:iam::{ACCOUNT}:user/team/bob"]


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("CreateAccessKey", {}),
        ("PutUserPolicy", {"PolicyName": "p", "PolicyDocument": allow("a:b")}),
        ("AttachUserPolicy", {"PolicyArn": BASIC}),
    ],
)
@law
async def test_a_user_with_anything_left_is_not_deleted(
    operation: str, more: dict[str, object]
) -> None:
    """DeleteConflict, until keys and policies are gone."""
    world = World()
    await world.user("alice")
    await world.call(operation, UserName="alice", **more)
    error = await refused(world.call("DeleteUser", UserName="alice"))
    assert (error.code, error.http_status) == ("DeleteConflict", 409)


@law
async def test_a_deleted_user_leaves_nothing_behind() -> None:
    """No record of the user stays, its boundary's count included."""
    world = World()
    await world.user("alice", PermissionsBoundary=BASIC)
    await world.call("DeleteUser", UserName="alice")
    left = {place[1] for place in world.stored()}
    assert left == {"iam.census", "iam.usage"}
    entities = await world.call("ListEntitiesForPolicy", PolicyArn=BASIC)
    assert entities["PolicyUsers"] == []
    policy = (await world.call("GetPolicy", PolicyArn=BASIC))["Policy"]
    assert isinstance(policy, dict)
    assert policy["PermissionsBoundaryUsageCount"] == 0


@law
async def test_the_quota_of_users_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last user fits, the next does not, and one deleted makes room."""
    monkeypatch.setattr(users, "QUOTA", 2)
    world = World()
    await world.user("a")
    await world.user("b")
    before = world.stored()
    error = await refused(world.user("c"))
    assert (error.code, error.http_status) == ("LimitExceeded", 409)
    assert world.stored() == before
    await world.call("DeleteUser", UserName="a")
    await world.user("c")


@law
async def test_an_access_key_lives_from_active_to_inactive_to_gone() -> None:
    """The directory answers by the state that IAM shows."""
    world = World()
    user = await world.user("alice")
    key = (await world.call("CreateAccessKey", UserName="alice"))["AccessKey"]
    assert isinstance(key, dict)
    id_ = key["AccessKeyId"]
    assert key["SecretAccessKey"] == "s" * 40
    found = world.directory.access_key(id_)
    assert found is not None
    assert (found.account, found.user_id, found.active) == (
        ACCOUNT,
        user["UserId"],
        True,
    )
    await world.call(
        "UpdateAccessKey", UserName="alice", AccessKeyId=id_, Status="Inactive"
    )
    found = world.directory.access_key(id_)
    assert found is not None
    assert not found.active
    listed = (await world.call("ListAccessKeys", UserName="alice"))["AccessKeyMetadata"]
    assert isinstance(listed, list)
    assert [k["Status"] for k in listed] == ["Inactive"]
    assert "SecretAccessKey" not in listed[0]
    await world.call("DeleteAccessKey", UserName="alice", AccessKeyId=id_)
    assert world.directory.access_key(id_) is None
    error = await refused(
        world.call("DeleteAccessKey", UserName="alice", AccessKeyId=id_)
    )
    assert error.code == "NoSuchEntity"


@law
async def test_a_user_has_two_access_keys_at_most() -> None:
    """The third is LimitExceeded, and none was asked of the keyholder."""
    world = World()
    await world.user("alice")
    for _ in range(keys.MOST):
        await world.call("CreateAccessKey", UserName="alice")
    error = await refused(world.call("CreateAccessKey", UserName="alice"))
    assert error.code == "LimitExceeded"
    assert next(world.keys.numbers) == keys.MOST + 1


@law
async def test_a_key_of_another_user_is_not_this_ones() -> None:
    """A key is switched and deleted through its own user only."""
    world = World()
    await world.user("alice")
    await world.user("bob")
    key = (await world.call("CreateAccessKey", UserName="alice"))["AccessKey"]
    assert isinstance(key, dict)
    for operation, more in (
        ("DeleteAccessKey", {}),
        ("UpdateAccessKey", {"Status": "Inactive"}),
    ):
        error = await refused(
            world.call(
                operation, UserName="bob", AccessKeyId=key["AccessKeyId"], **more
            )
        )
        assert error.code == "NoSuchEntity"


@law
async def test_a_user_is_in_no_group() -> None:
    """Truthfully empty for a user that is there; NoSuchEntity for another."""
    world = World()
    await world.user("alice")
    answer = await world.call("ListGroupsForUser", UserName="alice")
    assert answer == {"Groups": [], "IsTruncated": False}
    error = await refused(world.call("ListGroupsForUser", UserName="bob"))
    assert error.code == "NoSuchEntity"
