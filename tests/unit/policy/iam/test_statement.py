"""Actions, resources, versions; and every decision against a naive evaluator."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.policy.iam import Kind, compile_policy, decide
from unit.policy.iam.asking import ACCOUNT, ask, policy, statement

ARN = "arn:aws:s3:::bucket/home/ann/x"


def allows(
    written: dict[str, object], version: str | None = "2012-10-17", **asked: Any
) -> bool:
    return decide(
        ask(**asked),
        identity=(policy(written, version=version),),
        resource_account=ACCOUNT,
    ).allowed


# Z1 and Z2.  Sources:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_action.html
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notaction.html
@pytest.mark.parametrize(
    ("written", "action", "allowed"),
    [
        ({"Action": "lambda:*"}, "LAMBDA:invokefunction", True),
        ({"Action": "LAMBDA:INVOKE*"}, "lambda:InvokeFunction", True),
        ({"Action": "lambda:Invoke?unction"}, "lambda:InvokeFunction", True),
        ({"Action": "lambda:Invoke?"}, "lambda:InvokeFunction", False),
        ({"Action": "*"}, "iam:CreateUser", True),
        ({"Action": "*:*"}, "iam:CreateUser", True),
        ({"Action": "lambda:*"}, "lambdax:InvokeFunction", False),
        ({"Action": ["sqs:*", "lambda:Get*"]}, "lambda:GetFunction", True),
        ({"NotAction": "iam:*"}, "lambda:GetFunction", True),
        ({"NotAction": "IAM:*"}, "iam:CreateUser", False),
        ({"NotAction": ["iam:*", "lambda:Get*"]}, "lambda:GetFunction", False),
        ({"Action": "lambda:*"}, "", False),
        ({"Action": "lambda:*"}, "lamb\u0434a:InvokeFunction", False),
    ],
)
def test_z1_actions(written: dict[str, Any], action: str, allowed: bool) -> None:
    """Z1: actions have no case, wildcards stand where they may."""
    assert allowed == allows(statement(**written), action=action)


# Sources:
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notresource.html
@pytest.mark.parametrize(
    ("written", "resource", "context", "allowed"),
    [
        ({"Resource": ARN}, ARN, {}, True),
        ({"Resource": ARN}, ARN.upper(), {}, False),
        ({"Resource": "arn:aws:s3:::bucket/*"}, ARN, {}, True),
        ({"Resource": "arn:aws:s3:::bucket/*/x"}, ARN, {}, True),
        ({"Resource": "arn:aws:s3:::bucket"}, ARN, {}, False),
        ({"Resource": "arn:*:*:*:*:*"}, ARN, {}, True),
        # `*` spans colons in Resource.
        (
            {"Resource": "arn:aws:lambda:*:*:function:f"},
            "arn:aws:lambda:r:1:x:function:f",
            {},
            True,
        ),
        (
            {"Resource": "arn:aws:lambda:*:1:*:f"},
            "arn:aws:lambda:r:1:function:f",
            {},
            True,
        ),
        ({"Resource": "arn:aws:lambda:r:1:function:f"}, "*", {}, False),
        ({"Resource": "arn:aws:*:*:*:*"}, "*", {}, False),
        ({"Resource": "*"}, "*", {}, True),
        ({"NotResource": "arn:aws:s3:::bucket/*"}, ARN, {}, False),
        ({"NotResource": "arn:aws:s3:::other/*"}, ARN, {}, True),
        (
            {"Resource": "arn:aws:s3:::bucket/home/${aws:username}/*"},
            ARN,
            {"aws:username": "ann"},
            True,
        ),
        (
            {"Resource": "arn:aws:s3:::bucket/home/${aws:username}/*"},
            ARN,
            {"aws:username": "a*"},
            False,
        ),
        (
            {"Resource": "arn:aws:s3:::bucket/home/${aws:username}/*"},
            ARN,
            {"aws:username": "???"},
            False,
        ),
        ({"Resource": "arn:aws:s3:::bucket/home/${aws:username}/*"}, ARN, {}, False),
        (
            {"Resource": "arn:aws:s3:::bucket/home/${aws:username, 'ann'}/*"},
            ARN,
            {},
            True,
        ),
        # NotResource whose variable has no value does not open everything.
        ({"NotResource": "arn:aws:s3:::bucket/${aws:username}"}, ARN, {}, False),
    ],
)
def test_z1_resources(
    written: dict[str, Any], resource: str, context: dict[str, str], allowed: bool
) -> None:
    """Z1: `*` spans `:` in Resource; a variable's value is never a wildcard."""
    asked: dict[str, Any] = {"resource": resource, "context": context}
    assert allowed == allows(statement(**written), **asked)


@pytest.mark.parametrize("version", [None, "2008-10-17"])
def test_z2_old_documents_have_no_variables(version: str | None) -> None:
    """Z2: without Version 2012-10-17, `${…}` is text."""
    written = statement(Resource="arn:aws:s3:::bucket/home/${aws:username}/x")
    given: dict[str, Any] = {"context": {"aws:username": "ann"}}
    assert allows(written, resource=ARN, **given)
    assert not allows(written, version, resource=ARN, **given)
    text = "arn:aws:s3:::bucket/home/${aws:username}/x"
    assert allows(written, version, resource=text, **given)


@pytest.mark.parametrize(
    "negated", [{"NotAction": "lambda:*"}, {"NotResource": "arn:aws:lambda:*:*:*"}]
)
def test_z2_not_forms_in_a_deny(negated: dict[str, object]) -> None:
    """Z2: Deny with NotAction or NotResource denies all the rest."""
    deny = policy(statement("Deny", **negated))
    given: dict[str, Any] = {
        "identity": (policy(statement()), deny),
        "resource_account": ACCOUNT,
    }
    assert decide(ask(), **given).allowed
    assert not decide(ask(action="s3:GetObject", resource=ARN), **given).allowed


def test_a_statement_is_an_object_or_a_list() -> None:
    """One statement needs no brackets; nor does one value."""
    document = json.dumps({"Version": "2012-10-17", "Statement": statement()})
    single = compile_policy(document, name="p", kind=Kind.IDENTITY)
    assert decide(ask(), identity=(single,), resource_account=ACCOUNT).allowed


# ---- An evaluator of a few lines, slow and plain, as the oracle.

ACTIONS = ["s3:GetObject", "s3:PutObject", "iam:GetUser"]
RESOURCES = [
    "arn:aws:s3:::a/x",
    "arn:aws:s3:::b/x",
    "arn:aws:iam::111122223333:user/ann",
]
VALUES = ["1", "2", None]


def naive(
    statements: Sequence[dict[str, Any]], action: str, resource: str, value: str | None
) -> bool:
    verdicts = {
        written["Effect"]
        for written in statements
        if any_fits(written, "Action", action.lower())
        and any_fits(written, "Resource", resource)
        and naive_condition(written.get("Condition"), value)
    }
    return verdicts == {"Allow"}


def any_fits(written: dict[str, Any], element: str, value: str) -> bool:
    negated = f"Not{element}" in written
    patterns = written[f"Not{element}" if negated else element]
    found = False
    for pattern in patterns:
        text = pattern.lower() if element == "Action" else pattern
        translated = re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")
        found = found or re.fullmatch(translated, value) is not None
    return found != negated


def naive_condition(condition: dict[str, Any] | None, value: str | None) -> bool:
    for operator, keys in (condition or {}).items():
        wanted = keys["aws:k"]
        holds = {
            "StringEquals": value in wanted,
            "StringNotEquals": value not in wanted,
            "StringEqualsIfExists": value is None or value in wanted,
            "Null": (value is None) == (wanted == ["true"]),
        }[operator]
        if not holds:
            return False
    return True


def one(element: str, values: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    chosen = st.lists(st.sampled_from(values), min_size=1, max_size=2, unique=True)
    return st.tuples(st.sampled_from([element, f"Not{element}"]), chosen).map(
        lambda pair: {pair[0]: pair[1]}
    )


CONDITION = st.one_of(
    st.none(),
    st.tuples(
        st.sampled_from(["StringEquals", "StringNotEquals", "StringEqualsIfExists"]),
        st.lists(st.sampled_from(["1", "2"]), min_size=1, max_size=2),
    ),
    st.sampled_from([("Null", ["true"]), ("Null", ["false"])]),
)
STATEMENTS = st.lists(
    st.tuples(
        st.sampled_from(["Allow", "Allow", "Deny"]),
        one("Action", [*ACTIONS, "*", "s3:*", "S3:get*", "*:*", "iam:Get?ser"]),
        one(
            "Resource",
            [*RESOURCES, "*", "arn:aws:s3:::*", "arn:aws:*:x", "arn:aws:s3:::?/x"][:5],
        ),
        CONDITION,
    ).map(
        lambda parts: {
            "Effect": parts[0],
            **parts[1],
            **parts[2],
            **(
                {"Condition": {parts[3][0]: {"aws:k": parts[3][1]}}} if parts[3] else {}
            ),
        }
    ),
    min_size=1,
    max_size=5,
)
ASKED = st.tuples(
    st.sampled_from(ACTIONS), st.sampled_from(RESOURCES), st.sampled_from(VALUES)
)


def answer(
    statements: Sequence[dict[str, Any]], asked: tuple[str, str, str | None]
) -> bool:
    action, resource, value = asked
    context = {} if value is None else {"aws:k": value}
    return decide(
        ask(action=action, resource=resource, context=context),
        identity=(policy(*statements),),
        resource_account=ACCOUNT,
    ).allowed


@given(statements=STATEMENTS, asked=ASKED)
@settings(max_examples=400, deadline=None)
def test_agrees_with_the_naive_evaluator(
    statements: list[dict[str, Any]], asked: tuple[str, str, str | None]
) -> None:
    """Compiled, indexed and cached, the answer is that of the plain reading."""
    assert naive(statements, *asked) == answer(statements, asked)


@given(statements=STATEMENTS, more=STATEMENTS, asked=ASKED)
@settings(max_examples=200, deadline=None)
def test_adding_a_deny_never_allows(
    statements: list[dict[str, Any]],
    more: list[dict[str, Any]],
    asked: tuple[str, str, str | None],
) -> None:
    """What was denied stays denied, whatever is denied besides."""
    denies = [{**written, "Effect": "Deny"} for written in more]
    assert answer([*statements, *denies], asked) <= answer(statements, asked)


@given(statements=STATEMENTS, asked=ASKED, data=st.data())
@settings(max_examples=200, deadline=None)
def test_order_does_not_matter(
    statements: list[dict[str, Any]],
    asked: tuple[str, str, str | None],
    data: st.DataObject,
) -> None:
    """Statements may stand in any order, in one policy or in several."""
    shuffled = data.draw(st.permutations(statements))
    expected = answer(statements, asked)
    assert expected == answer(shuffled, asked)
    action, resource, value = asked
    split = decide(
        ask(
            action=action, resource=resource, context={"aws:k": value} if value else {}
        ),
        identity=[policy(written) for written in shuffled],
        resource_account=ACCOUNT,
    )
    assert expected == split.allowed


@given(
    action=st.text(max_size=30),
    resource=st.text(max_size=60),
    context=st.dictionaries(
        st.text(max_size=10),
        st.text(max_size=10) | st.tuples(st.text(max_size=5)),
        max_size=4,
    ),
)
@settings(max_examples=200, deadline=None)
def test_deciding_is_total(action: str, resource: str, context: dict[str, Any]) -> None:
    """Whatever is asked, there is an answer, and it is no without an Allow."""
    written = statement(
        Action="s3:*",
        Resource="arn:aws:s3:::${aws:a}/*",
        Condition={
            "NumericLessThan": {"aws:b": 1},
            "IpAddress": {"aws:c": "::/0"},
            "DateLessThan": {"aws:d": "2026"},
            "ArnLike": {"aws:e": "*"},
        },
    )
    decision = decide(
        ask(action=action, resource=resource, context=context),
        identity=(policy(written),),
        resource_account=ACCOUNT,
    )
    assert not decision.allowed
