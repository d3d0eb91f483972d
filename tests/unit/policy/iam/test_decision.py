"""The order of the policies, and AWS's truth table."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from casemate.policy.iam import (
    Decision,
    Kind,
    Policy,
    PrincipalView,
    decide,
    principal_context,
)
from unit.policy.iam.asking import (
    ACCOUNT,
    FUNCTION,
    OTHER,
    ROLE_ARN,
    ROLE_ID,
    SERVICE,
    SESSION,
    SESSION_ARN,
    USER,
    USER_ARN,
    USER_ID,
    ask,
    on_resource,
    policy,
    statement,
)

ALLOW, DENY = policy(statement()), policy(statement("Deny", Sid="No"), name="D")
NOTHING = policy(statement(Action="sqs:SendMessage"))
ROOT = f"arn:aws:iam::{ACCOUNT}:root"
STAR = {"AWS": "*"}


def decided(who: PrincipalView = USER, **given: Any) -> Decision:
    given = {"identity": (), "resource_account": ACCOUNT, **given}
    return decide(ask(who), **given)


# Z8.  Source: the table "Resource-based policies and implicit denies in other
# policy types (same account)" of
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic_policy-eval-basics.html
# (principal, whom the resource's policy allows, identity, boundary, session) -> allowed
TRUTH: list[tuple[PrincipalView, str, bool | None, bool | None, bool | None, bool]] = [
    (USER, USER_ARN, False, False, None, True),
    (USER, USER_ID, False, False, None, True),
    (USER, "*", False, False, None, True),
    (USER, ROOT, False, None, None, False),
    (USER, ROOT, True, None, None, True),
    (USER, ROOT, True, False, None, False),
    (SESSION, SESSION_ARN, False, False, False, True),
    (SESSION, "*", False, False, False, True),
    (SESSION, ROLE_ARN, False, None, None, True),
    (SESSION, ROLE_ARN, False, True, True, True),
    (SESSION, ROLE_ARN, False, False, None, False),
    (SESSION, ROLE_ARN, False, None, False, False),
    (SESSION, ROLE_ARN, False, True, False, False),
    (SESSION, ROLE_ARN, False, False, True, False),
    (SESSION, ROLE_ARN, False, False, False, False),
    (SESSION, ROLE_ID, False, False, None, False),
    (SESSION, ROLE_ID, False, None, None, True),
    (SESSION, ROOT, False, None, None, False),
    (SESSION, ROOT, True, True, True, True),
    (SESSION, ROOT, True, True, False, False),
    (SESSION, USER_ARN, False, None, None, False),
    (USER, SESSION_ARN, False, None, None, False),
    (USER, ROLE_ARN, False, None, None, False),
]


@pytest.mark.parametrize(
    ("who", "named", "identity", "boundary", "session", "allowed"), TRUTH
)
def test_z8_truth_table(
    who: PrincipalView,
    named: str,
    identity: bool | None,
    boundary: bool | None,
    session: bool | None,
    allowed: bool,
) -> None:
    """Z8: what a grant is worth depends on how the principal is named."""
    choose = {True: ALLOW, False: NOTHING}
    decision = decided(
        who,
        identity=(choose[bool(identity)],),
        boundary=None if boundary is None else choose[boundary],
        session=None if session is None else (choose[session],),
        resource_policies=(on_resource({"AWS": named}),),
    )
    assert allowed == decision.allowed, decision


@pytest.mark.parametrize(
    ("identity", "boundary", "session", "allowed"),
    [
        ((ALLOW,), None, None, True),
        ((NOTHING, ALLOW), None, None, True),
        ((), None, None, False),
        ((NOTHING,), None, None, False),
        ((ALLOW,), ALLOW, None, True),
        ((ALLOW,), NOTHING, None, False),
        ((), ALLOW, None, False),
        ((ALLOW,), None, (ALLOW,), True),
        ((ALLOW,), None, (NOTHING,), False),
        ((ALLOW,), None, (NOTHING, ALLOW), True),
        ((ALLOW,), None, (), False),
        ((), None, (ALLOW,), False),
        ((ALLOW,), ALLOW, (ALLOW,), True),
    ],
)
def test_policies_of_the_principal_intersect(
    identity: tuple[Policy, ...],
    boundary: Policy | None,
    session: tuple[Policy, ...] | None,
    allowed: bool,
) -> None:
    """Identity policies grant; boundary and session policies only narrow."""
    decision = decided(SESSION, identity=identity, boundary=boundary, session=session)
    assert allowed == decision.allowed


@pytest.mark.parametrize(
    "where", ["identity", "boundary", "session", "resource_policies"]
)
@pytest.mark.parametrize("who", [USER, SESSION])
def test_explicit_deny_wins_wherever_it_stands(who: PrincipalView, where: str) -> None:
    """(1): one Deny, in any policy, against all that allow."""
    everything: dict[str, Any] = {
        "identity": (ALLOW,),
        "boundary": ALLOW,
        "session": (ALLOW,),
        "resource_policies": (on_resource("*"),),
    }
    assert decided(who, **everything).allowed
    if where == "resource_policies":
        everything[where] = (*everything[where], on_resource("*", "Deny"))
    else:
        everything[where] = DENY if where == "boundary" else (ALLOW, DENY)
    decision = decided(who, **everything)
    assert not decision.allowed
    assert decision.explicit
    assert decision.deciding


@pytest.mark.parametrize("named", [USER_ARN, ROOT, "*", ACCOUNT])
def test_z7_cross_account_needs_both_sides(named: str) -> None:
    """Z7: the owner of the resource and the owner of the principal."""
    grant = (on_resource({"AWS": named}),)
    there: dict[str, Any] = {"resource_account": OTHER}
    assert decided(identity=(ALLOW,), resource_policies=grant, **there).allowed
    assert not decided(identity=(), resource_policies=grant, **there).allowed
    assert not decided(identity=(ALLOW,), resource_policies=(), **there).allowed
    assert not decided(
        identity=(ALLOW,), boundary=NOTHING, resource_policies=grant, **there
    ).allowed
    assert not decided(identity=(ALLOW,), resource_account="").allowed


def test_z7_a_role_of_another_account_needs_its_own_policies() -> None:
    """Z7: a grant to a role or session from outside stands in for nothing inside."""
    for named in (ROLE_ARN, SESSION_ARN):
        grant = (on_resource({"AWS": named}),)
        there = {"resource_account": OTHER, "resource_policies": grant}
        assert not decided(SESSION, **there).allowed
        assert decided(SESSION, identity=(ALLOW,), **there).allowed
        assert not decided(
            SESSION, identity=(ALLOW,), session=(NOTHING,), **there
        ).allowed


@pytest.mark.parametrize(
    ("principal", "allowed"),
    [
        ({"Service": "events.amazonaws.com"}, True),
        ({"Service": ["sns.amazonaws.com", "events.amazonaws.com"]}, True),
        ("*", True),
        ({"AWS": "*"}, True),
        ({"Service": "sns.amazonaws.com"}, False),
        ({"AWS": ACCOUNT}, False),
        ({"AWS": ROLE_ARN}, False),
    ],
)
def test_a_service_has_the_resource_s_policy_alone(
    principal: object, allowed: bool
) -> None:
    """(3): a service principal is allowed by name, or not at all."""
    decision = decided(SERVICE, resource_policies=(on_resource(principal),))
    assert allowed == decision.allowed
    assert not decided(SERVICE, identity=(ALLOW,)).allowed


def test_nobody_passes_for_a_service_or_for_nobody() -> None:
    """A user is no service, whatever it is called; an empty ARN fits nothing."""
    posing = replace(USER, id="events.amazonaws.com", service="events.amazonaws.com")
    grant = (on_resource({"Service": "events.amazonaws.com"}),)
    assert not decided(posing, resource_policies=grant).allowed


@pytest.mark.parametrize(
    ("named", "identity", "allowed"),
    [
        (USER_ARN, (), True),
        (ROOT, (), False),
        (ROOT, (ALLOW,), True),
        (SESSION_ARN, (ALLOW,), False),
        (None, (ALLOW,), False),
    ],
)
def test_trust_must_allow_within_the_account_too(
    named: str | None, identity: tuple[Policy, ...], allowed: bool
) -> None:
    """(5): an administrator is in no role whose trust does not name them."""
    trust = policy(
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"AWS": named or USER_ID.replace("B", "C")},
        },
        kind=Kind.TRUST,
    )
    decision = decide(
        ask(action="sts:AssumeRole", resource=ROLE_ARN),
        identity=identity,
        resource_policies=(trust,),
        resource_account=ACCOUNT,
        policy_required=True,
    )
    assert allowed == decision.allowed


def test_z17_a_grant_by_unique_id_does_not_pass_to_a_namesake() -> None:
    """Z17: who was deleted and made again is somebody else."""
    grant = (on_resource({"AWS": USER_ID}),)
    assert decided(resource_policies=grant).allowed
    again = replace(USER, id="AIDA" + "Z" * 17)
    assert not decided(again, resource_policies=grant).allowed


# Z2.  Source:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notprincipal.html
@pytest.mark.parametrize(
    ("who", "listed", "denied"),
    [
        (USER, [USER_ARN, ROOT], False),
        (USER, [USER_ARN], True),
        (USER, [ROOT], True),
        (USER, [USER_ID, ACCOUNT], False),
        (SESSION, [SESSION_ARN, ROLE_ARN, ROOT], False),
        (SESSION, [ROLE_ARN, ROOT], True),
        (SESSION, [SESSION_ARN, ROOT], True),
        (SESSION, [SESSION_ARN, ROLE_ARN], True),
    ],
)
def test_z2_not_principal_with_deny(
    who: PrincipalView, listed: list[str], denied: bool
) -> None:
    """Z2: a Deny spares whom it lists with role and account, and nobody else."""
    deny = policy(
        statement("Deny", NotPrincipal={"AWS": listed}), kind=Kind.RESOURCE, name="R"
    )
    decision = decided(who, identity=(ALLOW,), resource_policies=(deny,))
    assert denied != decision.allowed


def test_z2_not_principal_with_deny_and_a_boundary() -> None:
    """Z2: it always denies a principal with a permissions boundary."""
    deny = policy(
        statement("Deny", NotPrincipal={"AWS": [USER_ARN, ROOT]}), kind=Kind.RESOURCE
    )
    given: dict[str, Any] = {"identity": (ALLOW,), "resource_policies": (deny,)}
    assert decided(**given).allowed
    assert not decided(boundary=ALLOW, **given).allowed


def test_z2_not_principal_with_allow_leaves_out_whom_it_lists() -> None:
    """Z2: listed by any name is left out."""
    for who, named in ((USER, USER_ARN), (USER, ROOT), (SESSION, ROLE_ARN)):
        grant = policy(statement(NotPrincipal={"AWS": named}), kind=Kind.RESOURCE)
        assert not decided(who, resource_policies=(grant,)).allowed
    others = policy(statement(NotPrincipal={"AWS": OTHER}), kind=Kind.RESOURCE)
    assert decided(USER, resource_policies=(others,)).allowed


@pytest.mark.parametrize(
    ("given", "remedy"),
    [
        ({}, "attach to user `ann` a policy that allows `lambda:InvokeFunction` on"),
        ({"identity": (DENY,)}, "statement `No` in policy `D` denies it explicitly"),
        (
            {"identity": (ALLOW,), "boundary": NOTHING},
            "let the permissions boundary `P`",
        ),
        ({"identity": (ALLOW,), "session": ()}, "assume the role again"),
        (
            {"identity": (ALLOW,), "resource_account": OTHER},
            f"allows `{USER_ARN}` to `lambda:InvokeFunction`",
        ),
        ({"resource_account": OTHER}, "; and attach to user `ann`"),
        (
            {
                "identity": (
                    policy(
                        statement(
                            Sid="S",
                            Condition={"Bool": {"aws:MultiFactorAuthPresent": "true"}},
                        )
                    ),
                )
            },
            "its condition `Bool aws:MultiFactorAuthPresent` does not hold",
        ),
    ],
)
def test_a_denial_teaches(given: dict[str, Any], remedy: str) -> None:
    """Who, what, on which resource, why, and the smallest change."""
    decision = decided(**given)
    assert not decision.allowed
    assert remedy in decision.remedy
    for word in (USER_ARN, "lambda:InvokeFunction", FUNCTION):
        assert word in decision.reason
    assert decision.trace
    assert all(str(finding) for finding in decision.trace)


@pytest.mark.parametrize("effect", ["Allow", "Deny"])
def test_z14_another_account_s_statements_are_not_told(effect: str) -> None:
    """Z14: a stranger learns that the owner says no, not how."""
    secret = on_resource(
        "*",
        effect,
        Sid="Secret",
        **({"Condition": {"Bool": {"aws:x": "true"}}} if effect == "Allow" else {}),
    )
    decision = decided(
        identity=(ALLOW,), resource_policies=(secret,), resource_account=OTHER
    )
    assert not decision.allowed
    assert "Secret" not in decision.reason + decision.remedy


def test_the_trace_tells_each_step_of_an_allow() -> None:
    """What decided is named, in AWS's order."""
    decision = decided(
        SESSION,
        identity=(ALLOW,),
        boundary=policy(statement(), name="B"),
        session=(policy(statement(), name="S"),),
        resource_policies=(on_resource({"AWS": ROOT}),),
    )
    assert [2, 7, 8, 9] == [finding.step for finding in decision.trace]
    assert ["R#0", "P#0", "B#0", "S#0"] == [str(ref) for ref in decision.deciding]


def test_keys_that_follow_from_the_principal() -> None:
    """`aws:PrincipalArn` of a session is its role; only a user has a name."""
    assert ROLE_ARN == principal_context(SESSION)["aws:PrincipalArn"]
    assert "aws:username" not in principal_context(SESSION)
    assert "ann" == principal_context(USER)["aws:username"]
    assert "true" == principal_context(SERVICE)["aws:PrincipalIsAWSService"]
