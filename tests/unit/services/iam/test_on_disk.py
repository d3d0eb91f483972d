"""IAM over the real store: what was answered is there after a restart."""

from __future__ import annotations

import asyncio
from pathlib import Path

from casemate.services.iam.model import Census, Usage
from casemate.services.iam.store import Reader, census
from store_stand import SMALL, store_at
from unit.services.calls import ACCOUNT, NOW, law, refused, session_of
from unit.services.iam_world import BASIC, World, allow


@law
async def test_identities_outlive_a_restart(tmp_path: Path) -> None:
    """Users, keys, roles and policies, and the counts of them."""
    async with store_at(tmp_path, limits=SMALL) as store:
        world = World(store.records)
        await world.user("alice")
        key = (await world.call("CreateAccessKey", UserName="alice"))["AccessKey"]
        assert isinstance(key, dict)
        await asyncio.gather(*(world.role(f"r{n}") for n in range(20)))
        await asyncio.gather(
            *(
                world.call("AttachRolePolicy", RoleName=f"r{n}", PolicyArn=BASIC)
                for n in range(20)
            )
        )
        before = await world.call("ListRoles", MaxItems=1000)
    async with store_at(tmp_path, limits=SMALL) as store:
        world = World(store.records)
        assert await world.call("ListRoles", MaxItems=1000) == before
        found = world.directory.access_key(key["AccessKeyId"])
        assert found is not None
        assert found.user_name == "alice"
        reader = Reader(store.records)
        assert reader.usage(ACCOUNT, BASIC) == Usage(attachments=20)
        assert reader.read(census(ACCOUNT), Census) == Census(users=1, roles=20)


@law
async def test_the_directory_hears_of_commits(tmp_path: Path) -> None:
    """What a commit was acknowledged for is in force at the next question."""
    async with store_at(tmp_path, limits=SMALL) as store:
        world = World(store.records)
        made = await world.role("worker")
        who = session_of("worker", role_id=str(made["RoleId"]))
        assert world.directory.identity(who).policies == ()
        await world.call(
            "PutRolePolicy",
            RoleName="worker",
            PolicyName="p",
            PolicyDocument=allow("s3:*"),
        )
        assert len(world.directory.identity(who).policies) == 1
        await world.call("DeleteRolePolicy", RoleName="worker", PolicyName="p")
        await world.call("DeleteRole", RoleName="worker")
        assert not world.directory.identity(who).exists
        role = await world.directory.ensure_administrator(ACCOUNT, now=NOW)
        assert role.max_session == 43_200


@law
async def test_hostile_names_find_nothing_and_break_nothing(tmp_path: Path) -> None:
    """Names come from `authz` before anything has checked them."""
    async with store_at(tmp_path, limits=SMALL) as store:
        world = World(store.records)
        for name in ("\0", "a" * 100_000, "\ud800", "../x", "a\nb", "%00"):
            error = await refused(world.call("GetRole", RoleName=name))
            assert error.code == "NoSuchEntity"
            error = await refused(
                world.call(
                    "GetPolicy", PolicyArn=f"arn:aws:iam::{ACCOUNT}:policy/{name}"
                )
            )
            assert error.code == "NoSuchEntity"
            assert world.directory.access_key(name) is None
            assert world.directory.role(f"arn:aws:iam::{ACCOUNT}:role/{name}") is None
