"""Documents that are not policies, and what their author is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.policy.iam import Kind, MalformedPolicyError, compile_policy

GRAMMAR = (
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html"
)

OK: dict[str, Any] = {"Effect": "Allow", "Action": "s3:Get*", "Resource": "*"}
ANY = {**OK, "Principal": "*"}
TRUST = {
    "Effect": "Allow",
    "Action": "sts:AssumeRole",
    "Principal": {"Service": "lambda.amazonaws.com"},
}


def document(*statements: object, **elements: object) -> str:
    return json.dumps(
        {"Version": "2012-10-17", **elements, "Statement": list(statements)}
    )


def refused(text: str, kind: Kind = Kind.IDENTITY) -> str:
    with pytest.raises(MalformedPolicyError) as caught:
        compile_policy(text, name="p", kind=kind)
    return caught.value.reason


def changed(**changes: object) -> dict[str, object]:
    return {key: value for key, value in {**OK, **changes}.items() if value is not None}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("[]", "JSON object"),
        ('"x"', "JSON object"),
        ("\ufeff{}", "not JSON"),
        ("{} x", "not JSON"),
        ('{"Statement": NaN}', "NaN"),
        ('{"Statement": []}', "`Statement`"),
        ("{}", "`Statement`"),
        ('{"Statement": ["x"]}', "not an object"),
        ("[" * 10_000, "nested"),
        ('{"a":' * 1_700 + "1" + "}" * 1_700, "nested"),
        (
            '{"Statement":[{"Effect":"Allow","Effect":"Deny"}]}',
            "`Effect` is there twice",
        ),
        ('{"Version":"2012-10-17","Version":"2008-10-17"}', "`Version` is there twice"),
        (" " * 131_073, "131,072"),
    ],
)
def test_what_is_not_json_of_a_policy(text: str, words: str) -> None:
    """JSON is read strictly: no duplicate keys, no constants, nothing too deep."""
    assert words in refused(text)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        (changed(Effect=None), "`Effect`"),
        (changed(Effect="allow"), "`Effect`"),
        (changed(Effect=["Allow"]), "`Effect`"),
        (changed(Action=None), "`Action` or `NotAction` is missing"),
        (changed(NotAction="s3:*"), "exclude each other"),
        (changed(Action=[]), "empty list"),
        (changed(Action=5), "must be a string"),
        (changed(Action="GetObject"), "service:Name"),
        (changed(Action="s3*:Get"), "service:Name"),
        (changed(Action="s3:"), "service:Name"),
        (changed(Action="\u0455\u0033:Get"), "service:Name"),
        (changed(Action="s3:Get Object"), "service:Name"),
        (changed(Resource=None), "`Resource` or `NotResource` is missing"),
        (changed(NotResource="*"), "exclude each other"),
        (changed(Resource=[]), "empty list"),
        (changed(Resource="bucket"), "must be `*` or an ARN"),
        (changed(Resource="arn:aws:s3"), "must be `*` or an ARN"),
        (changed(Resource="arn:aws:s3:::"), "no service or no resource"),
        (changed(Resource="arn:aws::::x"), "no service or no resource"),
        (changed(Resource="arn:aws:s3:::${aws:username"), "does not close"),
        (changed(Resource="arn:aws:s3:::${}"), "not a policy variable"),
        (changed(Resource="arn:aws:s3:::${username}"), "not a policy variable"),
        (changed(Resource="arn:aws:s3:::${aws:username,x}"), "not a policy variable"),
        (changed(Resource="arn:aws:iam::${aws:PrincipalAccount}:x"), "fifth colon"),
        (changed(Resource="arn:aws:s3:::" + "*a" * 200), "wildcards"),
        (changed(Principal="*"), "no `Principal`"),
        (changed(NotPrincipal="*"), "no `Principal`"),
        (changed(Sid="has space"), "letters and digits"),
        (changed(Sid=1), "must be a string"),
        (changed(Sid="a" * 129), "letters and digits"),
        (changed(Resources="*"), "`Resources` is no element"),
        (changed(effect="Allow"), "`effect` is no element"),
        (changed(Action="s3:\ud800"), "no policy may hold"),
        (changed(Condition="x"), "`Condition` is an object"),
        (changed(Condition={"StringEquals": {}}), "must name a key"),
        (changed(Condition={"StringEquals": "x"}), "must name a key"),
        (changed(Condition={"StringEquals": {"aws:a": []}}), "empty list"),
        (changed(Condition={"StringEquals": {"aws:a": {}}}), "must be a string"),
        (
            changed(Condition={"StringEquals": {"username": "x"}}),
            "must begin with a service",
        ),
        (changed(Condition={"StringEquals": {"aws:*": "x"}}), "wildcards"),
        (changed(Condition={"stringequals": {"aws:a": "x"}}), "no condition operator"),
        (changed(Condition={"StringMatches": {"aws:a": "x"}}), "no condition operator"),
        (
            changed(Condition={"ForSome:StringEquals": {"aws:a": "x"}}),
            "no condition operator",
        ),
        (
            changed(Condition={"NullIfExists": {"aws:a": "true"}}),
            "no condition operator",
        ),
        (changed(Condition={"Null": {"aws:a": "maybe"}}), "`Null` takes"),
        (changed(Condition={"NumericEquals": {"aws:a": "1e5"}}), "is not a number"),
        (
            changed(Condition={"NumericEquals": {"aws:a": "${aws:b}"}}),
            "is not a number",
        ),
        (changed(Condition={"DateEquals": {"aws:a": "tomorrow"}}), "is not a date"),
        (changed(Condition={"DateEquals": {"aws:a": "2026-02-30"}}), "is not a date"),
        (
            changed(Condition={"DateEquals": {"aws:a": "2026-01-01T00:00"}}),
            "is not a date",
        ),
        (changed(Condition={"Bool": {"aws:a": "yes"}}), "`true` or `false`"),
        (changed(Condition={"IpAddress": {"aws:a": "10.0.0.0/33"}}), "CIDR"),
        (changed(Condition={"IpAddress": {"aws:a": "010.0.0.1"}}), "CIDR"),
        (changed(Condition={"BinaryEquals": {"aws:a": "%"}}), "base64"),
        (changed(Condition={"ArnLike": {"aws:a": "arn:aws:s3"}}), "ARN operator"),
        (changed(Condition={"ArnLike": {"aws:a": "role"}}), "ARN operator"),
    ],
)
def test_a_statement_that_is_none(statement: object, words: str) -> None:
    """Each element has its form, and the reason says what would be right."""
    reason = refused(document(statement))
    assert words in reason
    assert "statement" in reason


@pytest.mark.parametrize(
    ("elements", "words"),
    [
        ({"Version": "2012-10-18"}, "`Version` `2012-10-18`"),
        ({"Version": 20121017}, "must be a string"),
        ({"Id": "x"}, "no `Id`"),
        ({"Statements": []}, "`Statements` is no element"),
    ],
)
def test_elements_of_a_policy(elements: dict[str, object], words: str) -> None:
    """A policy has Version, Statement and, on resources, Id."""
    assert words in refused(document(OK, **elements))


def test_z2_a_sid_stands_for_one_statement() -> None:
    """Z2: statement ids are unique in a policy."""
    twice = document({**OK, "Sid": "A"}, {**OK, "Sid": "A"})
    assert "`A` is there twice" in refused(twice)
    compile_policy(
        document({**OK, "Sid": ""}, {**OK, "Sid": ""}), name="p", kind=Kind.IDENTITY
    )


@pytest.mark.parametrize(
    ("principal", "words"),
    [
        (None, "`Principal` or `NotPrincipal` is missing"),
        ({}, "`Principal` is"),
        ("arn:aws:iam::111122223333:root", "`Principal` is"),
        ({"AWS": []}, "empty list"),
        ({"AWS": "arn:aws:iam::111122223333:user/*"}, "without wildcards"),
        (
            {"AWS": "arn:aws:iam::111122223333:role/${aws:username}"},
            "without wildcards",
        ),
        ({"AWS": "arn:aws:sts::111122223333:assumed-role/r/*"}, "invalid principal"),
        ({"AWS": "arn:aws:iam::*:root"}, "invalid principal"),
        ({"AWS": "11112222333"}, "invalid principal"),
        ({"AWS": "arn:aws:iam::111122223333:group/g"}, "invalid principal"),
        ({"Service": "*"}, "invalid service principal"),
        ({"Service": "lambda"}, "invalid service principal"),
        ({"Federated": "accounts.google.com"}, "`Federated` principals"),
        ({"CanonicalUser": "79a5"}, "`CanonicalUser` principals"),
        ({"aws": "*"}, "`aws` principals"),
    ],
)
def test_principals_have_a_form(principal: object, words: str) -> None:
    """A principal is named whole; what cannot be enforced is refused by name."""
    statement = {**OK, "Principal": principal} if principal is not None else OK
    assert words in refused(document(statement), Kind.RESOURCE)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ({**TRUST, "Resource": "*"}, "no `Resource`"),
        ({**TRUST, "Action": "s3:GetObject"}, "sts:AssumeRole"),
        ({**TRUST, "Action": "*"}, "sts:AssumeRole"),
        ({k: v for k, v in TRUST.items() if k != "Principal"}, "`Principal`"),
    ],
)
def test_trust_policies(statement: object, words: str) -> None:
    """A role's trust policy names who, never what."""
    compile_policy(document(TRUST), name="p", kind=Kind.TRUST)
    assert words in refused(document(statement), Kind.TRUST)


@pytest.mark.parametrize(
    ("kind", "limit"),
    [
        (Kind.IDENTITY, 10_240),
        (Kind.RESOURCE, 20_480),
        (Kind.TRUST, 2_048),
        (Kind.SESSION, 2_048),
        (Kind.BOUNDARY, 6_144),
    ],
)
def test_each_kind_has_its_size(kind: Kind, limit: int) -> None:
    """Sizes count characters without white space, as IAM's quotas do."""
    statement = {Kind.RESOURCE: ANY, Kind.TRUST: TRUST}.get(kind, OK)
    spaced = document(statement) + " " * limit
    compile_policy(spaced, name="p", kind=kind)
    long = document(
        {**statement, "Condition": {"StringEquals": {"aws:a": "x" * limit}}}
    )
    assert "split it" in refused(long, kind)


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_any_text_compiles_or_is_refused(text: str) -> None:
    """No document does more than raise MalformedPolicyError."""
    with pytest.raises(MalformedPolicyError):
        compile_policy(text, name="p", kind=Kind.IDENTITY)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.just("*"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "Effect",
                    "Action",
                    "Resource",
                    "Condition",
                    "Principal",
                    "Sid",
                    "AWS",
                    "StringLike",
                    "aws:a",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@given(statement=JSON, kind=st.sampled_from(list(Kind)))
@settings(max_examples=300)
def test_any_statement_compiles_or_is_refused(statement: object, kind: Kind) -> None:
    """No shape of JSON does more than that either."""
    try:
        compile_policy(document(statement), name="p", kind=kind)
    except MalformedPolicyError as error:
        assert error.reason  # noqa: PT017 — either ending is lawful
