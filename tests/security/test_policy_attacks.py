"""
Z1 to Z3, Z7, Z8, Q12: attackers who choose names, tags, contexts or policies.

`tests/unit/policy` has the rules one by one, with AWS's truth tables.
"""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.principal import Kind as PrincipalKind
from casemate.policy.iam import (
    Ask,
    Kind,
    MalformedPolicyError,
    Policy,
    PrincipalView,
    compile_policy,
    decide,
    principal_context,
)
from effort import bounded

ACCOUNT = "111122223333"
HOME = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "s3:*",
            "Resource": "arn:aws:s3:::homes/${aws:username}/*",
        },
    }
)


def user(name: str) -> PrincipalView:
    return PrincipalView(
        arn=f"arn:aws:iam::{ACCOUNT}:user/{name}",
        account=ACCOUNT,
        kind=PrincipalKind.USER,
        id="AIDA" + "X" * 17,
    )


def compiled(statement: dict[str, object], kind: Kind = Kind.IDENTITY) -> Policy:
    document = {"Version": "2012-10-17", "Statement": statement}
    return compile_policy(json.dumps(document), name="p", kind=kind)


@given(
    name=st.text(min_size=1, max_size=12).filter(lambda n: "/" not in n and n != "bob")
)
def test_z1_no_name_opens_another_s_home(name: str) -> None:
    """Z1: whatever a user is called (`*`, `b?b`, `${aws:x}`), bob's home is bob's."""
    who = user(name)
    decision = decide(
        Ask(
            principal=who,
            action="s3:GetObject",
            resource="arn:aws:s3:::homes/bob/diary",
            context=principal_context(who),
        ),
        identity=(compile_policy(HOME, name="home", kind=Kind.IDENTITY),),
        resource_account=ACCOUNT,
    )
    assert not decision.allowed


@pytest.mark.parametrize("name", ["*", "?ob", "b*", "${aws:username}", "bob/../ann"])
def test_z1_wildcards_in_a_tag_are_text(name: str) -> None:
    """Z1: nor does a tag's value match by wildcard."""
    policy = compiled(
        {
            "Effect": "Allow",
            "Action": "*",
            "Resource": "*",
            "Condition": {
                "StringLike": {"aws:ResourceTag/owner": "${aws:PrincipalTag/me}"}
            },
        }
    )
    decision = decide(
        Ask(
            principal=user("eve"),
            action="s3:GetObject",
            resource="*",
            context={"aws:ResourceTag/owner": "bob", "aws:PrincipalTag/me": name},
        ),
        identity=(policy,),
        resource_account=ACCOUNT,
    )
    assert not decision.allowed


@pytest.mark.parametrize(
    "action", ["\u0455\u0033:GetObject", "s3:GetObj\u0435ct", "s3\u200b:*"]
)
def test_z1_homoglyphs_are_refused(action: str) -> None:
    """Z1: an action that only looks like one is no action."""
    with pytest.raises(MalformedPolicyError, match="service:Name"):
        compiled({"Effect": "Deny", "Action": action, "Resource": "*"})


def test_z3_a_key_hides_behind_no_other_spelling() -> None:
    """Z3: `dept` and `DEPT` in one request are one key with two values."""
    deny = compiled(
        {
            "Effect": "Deny",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:RequestTag/dept": "secret"}},
        }
    )
    allow = compiled({"Effect": "Allow", "Action": "*", "Resource": "*"})
    for context in (
        {"aws:RequestTag/dept": "secret", "aws:RequestTag/DEPT": "x"},
        {"aws:RequestTag/DEPT": "x", "aws:RequestTag/dept": "secret"},
    ):
        decision = decide(
            Ask(principal=user("eve"), action="s3:Put", resource="*", context=context),
            identity=(allow, deny),
            resource_account=ACCOUNT,
        )
        assert not decision.allowed


@bounded()
def test_q12_the_worst_policy_does_not_blow_up() -> None:
    """Q12: a policy full of wildcards, asked about a value made to suit it."""
    patterns = ["*" + "a?" * 60 + f"b{at}*" for at in range(60)]
    policy = compiled(
        {
            "Effect": "Allow",
            "Action": "*",
            "Resource": "*",
            "Condition": {"StringLike": {"aws:k": patterns}},
        }
    )
    asked = Ask(
        principal=user("eve"),
        action="s3:Get",
        resource="*",
        context={"aws:k": "a" * 8_192},
    )
    assert not decide(asked, identity=(policy,), resource_account=ACCOUNT).allowed
