"""A simulation is a tenant's own work: the others' calls go on meanwhile."""

from __future__ import annotations

import asyncio

from unit.services.calls import law
from unit.services.iam_world import World, allow, role_arn


@law
async def test_a_page_of_decisions_does_not_keep_the_loop() -> None:
    """A thousand decisions over many policies are worked out beside it (Q12)."""
    world = World()
    await world.role()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    before = turns
    answer = await world.call(
        "SimulatePrincipalPolicy",
        PolicySourceArn=role_arn("worker"),
        ActionNames=[f"lambda:Action{n}" for n in range(100)],
        ResourceArns=[f"arn:aws:s3:::b/{n}" for n in range(10)],
        PolicyInputList=[allow(f"lambda:Other{n}") for n in range(50)],
        MaxItems=1000,
    )
    counting.cancel()

    assert len(list(answer["EvaluationResults"])) == 1000  # type: ignore[call-overload] # the codec's list
    assert turns - before > 10


@law
async def test_pages_of_a_simulation_miss_nothing() -> None:
    """The place of a page is a number; each decision comes once, in order."""
    world = World()
    await world.role()
    asked = {
        "PolicySourceArn": role_arn("worker"),
        "ActionNames": ["s3:A", "s3:B", "s3:C"],
        "ResourceArns": ["arn:aws:s3:::b/1", "arn:aws:s3:::b/2"],
        "MaxItems": 1,
    }
    seen: list[tuple[object, object]] = []
    more: dict[str, object] = {}
    while True:
        answer = await world.call("SimulatePrincipalPolicy", **asked, **more)
        listed = answer["EvaluationResults"]
        assert isinstance(listed, list)
        seen += [(r["EvalActionName"], r["EvalResourceName"]) for r in listed]
        if "Marker" not in answer:
            break
        more = {"Marker": answer["Marker"]}

    assert seen == [
        (action, resource)
        for action in ("s3:A", "s3:B", "s3:C")
        for resource in ("arn:aws:s3:::b/1", "arn:aws:s3:::b/2")
    ]
