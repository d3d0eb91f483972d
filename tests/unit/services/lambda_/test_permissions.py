"""Laws of resource policies, tags and what authz is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from casemate.core.arn import Arn
from casemate.core.errors import Conflict, Invalid, NotFound, Refusal
from casemate.core.operation import Scope
from casemate.core.principal import Kind
from casemate.policy import iam
from casemate.services.lambda_.declared import creates, passes_role
from casemate.services.lambda_.settings import FunctionSettings
from unit.services.calls import ACCOUNT, OTHER_ACCOUNT, REGION
from unit.services.lambda_.test_functions import run
from unit.services.lambda_world import ROLE, World, given

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
SCOPE = Scope(account=ACCOUNT, region=REGION)


def grant(**more: object) -> dict[str, object]:
    return {
        "FunctionName": "f",
        "StatementId": "s",
        "Action": "lambda:InvokeFunction",
        "Principal": OTHER_ACCOUNT,
        **more,
    }


def test_a_statement_is_written_shown_and_taken_out(tmp_path: Path) -> None:
    """What AddPermission writes, GetPolicy shows, in AWS's form."""

    async def law(w: World) -> None:
        await w.made()
        with pytest.raises(NotFound):
            await w.call("GetPolicy", FunctionName="f")
        more = {
            "Principal": "s3.amazonaws.com",
            "SourceArn": "arn:aws:s3:::bucket",
            "SourceAccount": ACCOUNT,
        }
        added = await w.call("AddPermission", **grant(**more))
        shown = await w.call("GetPolicy", FunctionName="f")
        document = json.loads(str(shown["Policy"]))
        assert document["Statement"] == [json.loads(str(added["Statement"]))]
        assert document["Statement"][0] == {
            "Sid": "s",
            "Effect": "Allow",
            "Principal": {"Service": "s3.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Resource": ARN,
            "Condition": {
                "StringEquals": {"AWS:SourceAccount": ACCOUNT},
                "ArnLike": {"AWS:SourceArn": "arn:aws:s3:::bucket"},
            },
        }
        with pytest.raises(Conflict, match="already exists"):
            await w.call("AddPermission", **grant())
        with pytest.raises(Refusal) as stale:
            await w.call(
                "RemovePermission", FunctionName="f", StatementId="s", RevisionId="no"
            )
        assert stale.value.code == "PreconditionFailedException"
        await w.call(
            "RemovePermission",
            FunctionName="f",
            StatementId="s",
            RevisionId=shown["RevisionId"],
        )
        with pytest.raises(NotFound):
            await w.call("RemovePermission", FunctionName="f", StatementId="s")

    run(tmp_path, law)


@pytest.mark.parametrize(
    "more",
    [
        {"StatementId": "a b"},
        {"StatementId": "x" * 101},
        {"Action": "lambda:Nothing"},
        {"Action": "s3:GetObject"},
        {"Principal": "somebody"},
        {"Principal": "arn:aws:iam::111122223333:role/*"},
        {"SourceArn": "bucket"},
        {"SourceAccount": "1234"},
        {"Qualifier": "$LATEST"},
    ],
)
def test_a_bad_statement_is_refused(tmp_path: Path, more: dict[str, object]) -> None:
    """Nothing that policy could not evaluate is written."""

    async def law(w: World) -> None:
        await w.made()
        with pytest.raises(Invalid):
            await w.call("AddPermission", **grant(**more))
        with pytest.raises(NotFound):
            await w.call("GetPolicy", FunctionName="f")

    run(tmp_path, law)


def test_everybody_is_let_in_by_name_only(tmp_path: Path) -> None:
    """`*` without a condition is PublicPolicyException unless the operator says so."""

    async def strict(w: World) -> None:
        await w.made()
        with pytest.raises(Refusal) as refused:
            await w.call("AddPermission", **grant(Principal="*"))
        assert refused.value.code == "PublicPolicyException"
        await w.call("AddPermission", **grant(Principal="*", SourceAccount=ACCOUNT))

    async def loose(w: World) -> None:
        await w.made()
        await w.call("AddPermission", **grant(Principal="*"))

    run(tmp_path, strict)
    run(tmp_path / "loose", loose, FunctionSettings(unsafe_public_policies=True))


def test_a_policy_is_bounded(tmp_path: Path) -> None:
    """20,480 bytes."""

    async def law(w: World) -> None:
        await w.made()

        async def many() -> None:
            for n in range(200):
                await w.call("AddPermission", **grant(StatementId=f"{n:0100d}"))

        with pytest.raises(Refusal) as refused:
            await many()
        assert refused.value.code == "PolicyLengthExceededException"

    run(tmp_path, law)


def test_authz_is_told_policy_and_tags(tmp_path: Path) -> None:
    """The compiled policy lets the other account in, and follows each change."""

    async def law(w: World) -> None:
        arn = Arn.parse(ARN)
        assert w.service.resource_facts(arn) is None
        await w.made(Tags={"team": "red"})
        facts = w.service.resource_facts(arn)
        assert facts is not None
        (own,) = facts.policies  # what lets Lambda run events that it took
        assert (own.name, facts.required, dict(facts.tags)) == (
            "casemate-events",
            False,
            {"team": "red"},
        )
        await w.call("AddPermission", **grant())
        facts = w.service.resource_facts(arn)
        assert facts is not None
        policy, own = facts.policies
        assert isinstance(policy, iam.Policy)
        await w.call("DeleteFunction", FunctionName="f")
        assert w.service.resource_facts(arn) is None

    run(tmp_path, law)


@pytest.mark.parametrize(
    ("service", "source", "resource", "allowed"),
    [
        ("lambda.amazonaws.com", ARN, ARN, True),
        ("lambda.amazonaws.com", ARN, f"{ARN}:$LATEST", True),
        ("lambda.amazonaws.com", ARN, f"{ARN}f", False),
        ("lambda.amazonaws.com", f"{ARN}f", ARN, False),
        ("lambda.amazonaws.com", "", ARN, False),
        ("events.amazonaws.com", ARN, ARN, False),
    ],
)
def test_lambda_runs_the_events_that_it_took_and_nothing_else(
    tmp_path: Path, service: str, source: str, resource: str, *, allowed: bool
) -> None:
    """By a statement of the house; the owner's Deny wins, GetPolicy is theirs alone."""

    async def law(w: World) -> None:
        await w.made()
        facts = w.service.resource_facts(Arn.parse(ARN))
        assert facts is not None
        view = iam.PrincipalView(
            arn="", account=ACCOUNT, kind=Kind.SERVICE, id=service, service=service
        )
        decision = iam.decide(
            iam.Ask(
                principal=view,
                action="lambda:InvokeFunction",
                resource=resource,
                context={"aws:SourceArn": source} if source else {},
            ),
            identity=(),
            resource_account=ACCOUNT,
            resource_policies=facts.policies,
        )
        assert decision.allowed is allowed
        with pytest.raises(NotFound):
            await w.call("GetPolicy", FunctionName="f")

    run(tmp_path, law)


def test_passing_a_role_is_asked_for() -> None:
    """Z4: a role is passed by those alone who may pass it, to Lambda."""
    for needs in (creates, passes_role):
        (need,) = needs({"FunctionName": "f", "Role": ROLE}, SCOPE)
        assert (need.action, need.resource) == ("iam:PassRole", ROLE)
        assert need.context["iam:PassedToService"] == "lambda.amazonaws.com"
        assert need.context["iam:AssociatedResourceArn"] == ARN
    assert passes_role({"FunctionName": "f"}, SCOPE) == ()
    asked = creates(given(Tags={"a": "b"}), SCOPE)
    assert [n.action for n in asked] == ["iam:PassRole", "lambda:TagResource"]
    assert asked[1].context == {"aws:RequestTag/a": "b", "aws:TagKeys": ("a",)}


def test_tags_are_added_and_removed(tmp_path: Path) -> None:
    """At most 50, none of `aws:`, only on functions."""

    async def law(w: World) -> None:
        await w.made(Tags={"a": "1"})
        await w.call("TagResource", Resource=ARN, Tags={"b": "2", "a": "3"})
        assert {"Tags": {"a": "3", "b": "2"}} == await w.call("ListTags", Resource=ARN)
        await w.call("UntagResource", Resource=ARN, TagKeys=["a", "none"])
        assert {"Tags": {"b": "2"}} == await w.call("ListTags", Resource=ARN)
        many = {f"k{n}": "" for n in range(50)}
        with pytest.raises(Invalid, match="50"):
            await w.call("TagResource", Resource=ARN, Tags=many)
        for resource in (f"{ARN}:1", "arn:aws:s3:::b", "f"):
            with pytest.raises(Invalid):
                await w.call("ListTags", Resource=resource)
        with pytest.raises(NotFound):
            await w.call("ListTags", Resource=f"{ARN}g")

    run(tmp_path, law)


def test_another_account_sees_nothing(tmp_path: Path) -> None:
    """Z14: names of one account say nothing to another."""

    async def law(w: World) -> None:
        await w.made()
        other = w.of(OTHER_ACCOUNT)
        for operation in ("GetFunction", "GetPolicy", "DeleteFunction"):
            reasons = set()
            for name in ("f", "never"):
                with pytest.raises(NotFound) as refused:
                    await other(operation, FunctionName=name)
                reasons.add(refused.value.reason.removesuffix(name))
            assert len(reasons) == 1
        used = (await other("GetAccountSettings"))["AccountUsage"]
        assert used == {"TotalCodeSize": 0, "FunctionCount": 0}

    run(tmp_path, law)
