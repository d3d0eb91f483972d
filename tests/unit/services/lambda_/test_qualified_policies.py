"""Laws of resource policies on versions and aliases: each holds for its own only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from casemate.core.arn import Arn
from casemate.core.errors import Conflict, Invalid, NotFound, Refusal
from casemate.core.principal import Kind
from casemate.policy import iam
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION
from unit.services.lambda_.test_functions import run
from unit.services.lambda_world import World

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
EVERY = ("", "$LATEST", "1", "2", "live", "next", "9", "nowhere")


async def released(w: World) -> None:
    """Make versions 1 and 2, and an alias of each."""
    await w.made(Tags={"team": "keep"}, Publish=True)
    await w.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    await w.settled()
    await w.call("PublishVersion", FunctionName="f")
    await w.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    await w.call("CreateAlias", FunctionName="f", Name="next", FunctionVersion="2")


def grant(qualifier: str, **more: object) -> dict[str, object]:
    return {
        "FunctionName": f"f:{qualifier}" if qualifier else "f",
        "StatementId": "s",
        "Action": "lambda:InvokeFunction",
        "Principal": OTHER_ACCOUNT,
        **more,
    }


def lets_in(w: World, qualifier: str) -> bool:
    """Decide as the authz room does, for somebody of another account."""
    resource = f"{ARN}:{qualifier}" if qualifier else ARN
    facts = w.service.resource_facts(Arn.parse(resource))
    assert facts is not None
    assert facts.tags == {"team": "keep"}
    stranger = iam.PrincipalView(
        arn=f"arn:aws:iam::{OTHER_ACCOUNT}:user/u",
        account=OTHER_ACCOUNT,
        kind=Kind.USER,
        id="AIDAAAAAAAAAAAAAAAAAA",
    )
    everything = {
        "Version": "2012-10-17",
        "Statement": {"Effect": "Allow", "Action": "lambda:*", "Resource": "*"},
    }
    own = iam.compile_policy(json.dumps(everything), name="own", kind=iam.Kind.IDENTITY)
    return iam.decide(
        iam.Ask(
            principal=stranger,
            action="lambda:InvokeFunction",
            resource=resource,
            context={},
        ),
        identity=(own,),
        resource_account=ACCOUNT,
        resource_policies=facts.policies,
    ).allowed


@pytest.mark.parametrize("qualifier", ["", "1", "live"])
def test_a_policy_holds_for_its_qualifier_alone(tmp_path: Path, qualifier: str) -> None:
    """Neither the function's other names nor what the alias leads to are let in."""

    async def law(w: World) -> None:
        await released(w)
        assert not any(lets_in(w, each) for each in EVERY)
        await w.call("AddPermission", **grant(qualifier))
        assert [each for each in EVERY if lets_in(w, each)] == [qualifier]
        await w.call(
            "RemovePermission",
            FunctionName="f",
            StatementId="s",
            **({"Qualifier": qualifier} if qualifier else {}),
        )
        assert not any(lets_in(w, each) for each in EVERY)

    run(tmp_path, law)


def test_a_policy_is_shown_where_it_is(tmp_path: Path) -> None:
    """Its resource is the qualified ARN; others of the function show their own."""

    async def law(w: World) -> None:
        await released(w)
        added = await w.call("AddPermission", **grant("live"))
        statement = json.loads(str(added["Statement"]))
        assert statement["Resource"] == f"{ARN}:live"
        shown = await w.call("GetPolicy", FunctionName="f", Qualifier="live")
        assert json.loads(str(shown["Policy"]))["Statement"] == [statement]
        for other in ("", "1", "next"):
            with pytest.raises(NotFound):
                await w.call("GetPolicy", FunctionName=f"f:{other}".rstrip(":"))
        await w.call("AddPermission", **grant("1"))
        await w.call("AddPermission", **grant(""))
        with pytest.raises(Conflict, match="already exists"):
            await w.call("AddPermission", **grant("live"))
        with pytest.raises(Invalid, match=r"policies for \$LATEST"):
            await w.call("RemovePermission", FunctionName="f:$LATEST", StatementId="s")
        with pytest.raises(NotFound, match="not found in resource policy"):
            await w.call("RemovePermission", FunctionName="f:next", StatementId="s")

    run(tmp_path, law)


def test_a_qualified_policy_is_changed_conditionally(tmp_path: Path) -> None:
    """By the policy's revision, or by that of what it is to be on."""

    async def law(w: World) -> None:
        await released(w)
        alias = await w.call("GetAlias", FunctionName="f", Name="live")
        with pytest.raises(Refusal) as stale:
            await w.call("AddPermission", **grant("live", RevisionId="no"))
        assert stale.value.code == "PreconditionFailedException"
        await w.call("AddPermission", **grant("live", RevisionId=alias["RevisionId"]))
        shown = await w.call("GetPolicy", FunctionName="f:live")
        with pytest.raises(Refusal) as stale:
            await w.call(
                "RemovePermission",
                FunctionName="f:live",
                StatementId="s",
                RevisionId=alias["RevisionId"],
            )
        assert stale.value.code == "PreconditionFailedException"
        await w.call(
            "RemovePermission",
            FunctionName="f:live",
            StatementId="s",
            RevisionId=shown["RevisionId"],
        )

    run(tmp_path, law)


def test_a_policy_stays_with_its_alias_and_goes_with_it(tmp_path: Path) -> None:
    """An alias that leads elsewhere lets the same in; one made anew nobody."""

    async def law(w: World) -> None:
        await released(w)
        await w.call("AddPermission", **grant("live"))
        live = {"FunctionName": "f", "Name": "live"}
        await w.call("UpdateAlias", FunctionVersion="2", **live)
        assert lets_in(w, "live")
        await w.call("DeleteAlias", **live)
        assert not lets_in(w, "live")
        await w.call("CreateAlias", FunctionVersion="1", **live)
        assert not lets_in(w, "live")
        await w.call("AddPermission", **grant("2"))
        await w.call("DeleteAlias", FunctionName="f", Name="next")
        await w.call("DeleteFunction", FunctionName="f", Qualifier="2")
        assert not any(lets_in(w, each) for each in EVERY)

    run(tmp_path, law)


def test_a_policy_does_not_change_a_version(tmp_path: Path) -> None:
    """What a version runs, and its cells, stay."""

    async def law(w: World) -> None:
        await released(w)
        before = await w.call("GetFunctionConfiguration", FunctionName="f:1")
        await w.call("Invoke", FunctionName="f:1")
        await w.call("AddPermission", **grant("1"))
        assert before == await w.call("GetFunctionConfiguration", FunctionName="f:1")
        await w.call("Invoke", FunctionName="f:1")
        first, second = (ran.function for ran in w.cells.ran)
        assert first == second

    run(tmp_path, law)
