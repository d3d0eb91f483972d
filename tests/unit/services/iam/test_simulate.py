"""Laws of SimulatePrincipalPolicy."""

from __future__ import annotations

import json

from unit.services.calls import OTHER_ACCOUNT, law, refused
from unit.services.iam_world import World, allow, role_arn


async def results(world: World, **more: object) -> list[tuple[str, str]]:
    answer = await world.call(
        "SimulatePrincipalPolicy",
        **{"PolicySourceArn": role_arn("worker"), "ActionNames": ["s3:GetObject"]}
        | more,
    )
    listed = answer["EvaluationResults"]
    assert isinstance(listed, list)
    return [(r["EvalResourceName"], r["EvalDecision"]) for r in listed]


@law
async def test_the_policies_in_force_decide() -> None:
    """Implicit deny, allow, explicit deny, each per action and resource."""
    world = World()
    await world.role()
    assert await results(world) == [("*", "implicitDeny")]
    put = {"RoleName": "worker", "PolicyName": "p"}
    document = allow("s3:GetObject", resource="arn:aws:s3:::b/*")
    await world.call("PutRolePolicy", **put, PolicyDocument=document)
    arns = ["arn:aws:s3:::b/k", "arn:aws:s3:::c/k"]
    assert await results(world, ResourceArns=arns) == [
        (arns[0], "allowed"),
        (arns[1], "implicitDeny"),
    ]
    deny = json.loads(allow("s3:*"))
    deny["Statement"][0]["Effect"] = "Deny"
    assert await results(
        world, ResourceArns=arns[:1], PolicyInputList=[json.dumps(deny)]
    ) == [(arns[0], "explicitDeny")]


@law
async def test_context_entries_are_seen_by_conditions() -> None:
    """A key with one value, and a list of them."""
    world = World()
    await world.role()
    document = json.loads(allow("s3:GetObject"))
    document["Statement"][0]["Condition"] = {"StringEquals": {"aws:SourceVpc": "v"}}
    more: dict[str, object] = {"PolicyInputList": [json.dumps(document)]}
    assert await results(world, **more) == [("*", "implicitDeny")]
    entry = {
        "ContextKeyName": "aws:SourceVpc",
        "ContextKeyValues": ["v"],
        "ContextKeyType": "string",
    }
    assert await results(world, **more, ContextEntries=[entry]) == [("*", "allowed")]
    two = {**entry, "ContextKeyValues": ["v", "w"]}
    error = await refused(results(world, **more, ContextEntries=[two]))
    assert error.code == "InvalidInput"


@law
async def test_another_accounts_identity_is_like_none() -> None:
    """NoSuchEntity for a foreign role as for one that never was."""
    world = World()
    await world.role()
    stranger = world.of(OTHER_ACCOUNT)
    for arn in (role_arn("worker"), role_arn("never"), role_arn("worker", "9" * 12)):
        error = await refused(
            stranger(
                "SimulatePrincipalPolicy", PolicySourceArn=arn, ActionNames=["a:b"]
            )
        )
        assert error.code == "NoSuchEntity"


@law
async def test_a_boundary_is_told_apart() -> None:
    """PermissionsBoundaryDecisionDetail says whether it was the boundary."""
    world = World()
    await world.role(PermissionsBoundary="arn:aws:iam::aws:policy/IAMReadOnlyAccess")
    answer = await world.call(
        "SimulatePrincipalPolicy",
        PolicySourceArn=role_arn("worker"),
        ActionNames=["s3:GetObject"],
        PolicyInputList=[allow("*")],
    )
    listed = answer["EvaluationResults"]
    assert isinstance(listed, list)
    assert listed[0]["EvalDecision"] == "implicitDeny"
    assert listed[0]["PermissionsBoundaryDecisionDetail"] == {
        "AllowedByPermissionsBoundary": False
    }
