"""Laws of changes: whole or not at all, and never lost."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence

import pytest

from casemate.services.iam.model import Census, Usage
from casemate.services.iam.store import Draft, Ledger, census
from casemate.substrate.ports import Change, RevisionConflictError
from unit.services.calls import ACCOUNT, law, refused
from unit.services.iam_world import BASIC, World
from unit.substrate_double import MemoryRecords


class Contended(MemoryRecords):
    """Records that somebody else changes just before some commits."""

    def __init__(self, before: Callable[[MemoryRecords], None], times: int) -> None:
        super().__init__()
        self._before = before
        self.left = times
        self.commits = 0

    async def commit(self, *changes: Change) -> Sequence[int]:
        self.commits += 1
        if self.left:
            self.left -= 1
            self._before(self)
            raise RevisionConflictError("somebody was first")
        return await super().commit(*changes)


@law
async def test_a_lost_race_is_worked_out_again_from_what_is_there() -> None:
    """The second try sees what the winner wrote."""
    records = Contended(lambda _: None, times=2)
    world = World(records)
    await world.user("alice")
    assert records.commits == 3
    shown = await world.call("GetUser", UserName="alice")
    assert shown["User"]


@law
async def test_a_race_that_is_always_lost_ends_and_leaves_nothing() -> None:
    """ConcurrentModification, after a bounded number of tries."""
    records = Contended(lambda _: None, times=1_000)
    world = World(records)
    error = await refused(world.user("alice"))
    assert (error.code, error.http_status) == ("ConcurrentModification", 409)
    assert records.kept == {}
    assert records.commits < 20


@law
async def test_a_full_disk_is_named_and_leaves_nothing() -> None:
    """ServiceFailure; once there is room, the same call succeeds."""
    world = World()
    await world.role()
    before = world.stored()
    world.memory.full = True
    attach = {"RoleName": "worker", "PolicyArn": BASIC}
    error = await refused(world.call("AttachRolePolicy", **attach))
    assert (error.code, error.http_status) == ("ServiceFailure", 500)
    assert world.stored() == before
    world.memory.full = False
    await world.call("AttachRolePolicy", **attach)


@law
async def test_changes_at_the_same_time_all_count() -> None:
    """Fifty users and fifty attachments at once: none is lost, none is doubled."""
    world = World()
    await asyncio.gather(*(world.role(f"r{n}") for n in range(50)))
    await asyncio.gather(
        *(
            world.call("AttachRolePolicy", RoleName=f"r{n}", PolicyArn=BASIC)
            for n in range(50)
        )
    )
    reader = Draft(world.records)
    assert reader.read(census(ACCOUNT), Census) == Census(roles=50)
    assert reader.usage(ACCOUNT, BASIC) == Usage(attachments=50)


@pytest.mark.parametrize("same", [True, False])
@law
async def test_of_two_who_take_a_name_one_gets_it(*, same: bool) -> None:
    """In any case of letters; the other is EntityAlreadyExists."""
    world = World()
    names = ("alice", "alice" if same else "ALICE")
    answers = await asyncio.gather(
        *(world.user(n) for n in names), return_exceptions=True
    )
    assert sorted(isinstance(a, Exception) for a in answers) == [False, True]


@law
async def test_two_ledgers_over_the_same_records_lose_nothing() -> None:
    """Revisions hold between processes, where no lock does."""
    records = MemoryRecords()
    ledgers = (Ledger(records), Ledger(records))

    def work(draft: Draft) -> None:
        seen = draft.read(census(ACCOUNT), Census) or Census()
        draft.write(census(ACCOUNT), Census(users=seen.users + 1))

    await asyncio.gather(*(ledgers[n % 2].change(ACCOUNT, work) for n in range(40)))
    assert Draft(records).read(census(ACCOUNT), Census) == Census(users=40)


@law
async def test_attaching_races_with_deletion_of_the_policy() -> None:
    """Attached or gone, never attached to what is gone."""
    for _ in range(20):
        world = World()
        arn = await world.policy()
        await world.role()
        calls = [
            world.call("AttachRolePolicy", RoleName="worker", PolicyArn=arn),
            world.call("DeletePolicy", PolicyArn=arn),
        ]
        if secrets.randbelow(2):
            calls.reverse()
        await asyncio.gather(*calls, return_exceptions=True)
        listed = await world.call("ListAttachedRolePolicies", RoleName="worker")
        there = (await world.call("ListPolicies", Scope="Local"))["Policies"]
        assert bool(listed["AttachedPolicies"]) == bool(there)
