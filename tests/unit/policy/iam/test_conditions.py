"""
Conditions: a table of vectors, each from a rule of AWS's documentation.

Sources, by the letter in each row (all under
https://docs.aws.amazon.com/IAM/latest/UserGuide/):
O reference_policies_elements_condition_operators.html
S reference_policies_condition-single-vs-multi-valued-context-keys.html
M reference_policies_condition-logic-multiple-context-keys-or-values.html
V reference_policies_variables.html
C reference_policies_elements_condition.html
H this house: where AWS leaves it open, the reading that gives less access
"""

from __future__ import annotations

from typing import Any

import pytest

from casemate.policy.iam import decide
from unit.policy.iam.asking import ACCOUNT, ask, policy, statement

ALLOW = policy(statement())
Context = dict[str, str | tuple[str, ...]]
FOREIGN = (
    "arn:aws:someservice:us-east-2:999999999999:store/abc"
    ":111122223333:finance/document.txt"
)
ARN = "arn:aws:sns:us-east-1:111122223333:topic"

VECTORS: list[tuple[str, str, str, Any, Context, bool]] = [
    # Strings.
    ("O", "StringEquals", "aws:k", "a", {"aws:k": "a"}, True),
    ("O", "StringEquals", "aws:k", "a", {"aws:k": "A"}, False),
    ("O", "StringEquals", "aws:k", "a*", {"aws:k": "ab"}, False),
    ("O", "StringEquals", "aws:k", "a*", {"aws:k": "a*"}, True),
    ("M", "StringEquals", "aws:k", ["x", "a"], {"aws:k": "a"}, True),
    ("O", "StringEquals", "aws:k", "a", {}, False),
    ("O", "StringNotEquals", "aws:k", "a", {"aws:k": "b"}, True),
    ("O", "StringNotEquals", "aws:k", "a", {"aws:k": "a"}, False),
    ("M", "StringNotEquals", "aws:k", ["a", "b"], {"aws:k": "b"}, False),
    ("O", "StringNotEquals", "aws:k", "a", {}, True),
    ("O", "StringEqualsIgnoreCase", "aws:k", "AbC", {"aws:k": "aBc"}, True),
    ("H", "StringEqualsIgnoreCase", "aws:k", "k", {"aws:k": "\u212a"}, False),
    ("O", "StringNotEqualsIgnoreCase", "aws:k", "a", {"aws:k": "A"}, False),
    ("O", "StringNotEqualsIgnoreCase", "aws:k", "a", {}, True),
    ("O", "StringLike", "aws:k", "home/*/x?", {"aws:k": "home/a/b/x1"}, True),
    ("O", "StringLike", "aws:k", "home/*", {"aws:k": "Home/a"}, False),
    ("V", "StringLike", "aws:k", "a${*}b", {"aws:k": "a*b"}, True),
    ("V", "StringLike", "aws:k", "a${*}b", {"aws:k": "axb"}, False),
    ("V", "StringLike", "aws:k", "a${?}b", {"aws:k": "axb"}, False),
    ("V", "StringEquals", "aws:k", "a${$}{b}", {"aws:k": "a${b}"}, True),
    ("O", "StringLike", "aws:k", "a.c", {"aws:k": "abc"}, False),
    ("O", "StringLike", "aws:k", "*", {"aws:k": ""}, True),
    ("O", "StringLike", "aws:k", "a*", {"aws:k": "a\nb"}, True),
    ("O", "StringNotLike", "aws:k", "a*", {"aws:k": "ab"}, False),
    ("O", "StringNotLike", "aws:k", "a*", {}, True),
    # Keys have no case; values do.
    ("C", "StringEquals", "AWS:Key", "a", {"aws:kEY": "a"}, True),
    # Numbers.
    ("O", "NumericEquals", "s3:max-keys", "10", {"s3:max-keys": "10.0"}, True),
    ("O", "NumericEquals", "s3:max-keys", 10, {"s3:max-keys": "10"}, True),
    ("O", "NumericNotEquals", "s3:max-keys", 10, {"s3:max-keys": "11"}, True),
    ("O", "NumericNotEquals", "s3:max-keys", 10, {}, True),
    ("O", "NumericLessThan", "s3:max-keys", 10, {"s3:max-keys": "9"}, True),
    ("O", "NumericLessThan", "s3:max-keys", 10, {"s3:max-keys": "10"}, False),
    ("O", "NumericLessThanEquals", "s3:max-keys", 10, {"s3:max-keys": "10"}, True),
    ("O", "NumericGreaterThan", "s3:max-keys", "-1.5", {"s3:max-keys": "-1"}, True),
    ("O", "NumericGreaterThanEquals", "s3:max-keys", 10, {"s3:max-keys": "9"}, False),
    ("O", "NumericLessThan", "s3:max-keys", 10, {}, False),
    ("H", "NumericLessThan", "s3:max-keys", 10, {"s3:max-keys": "many"}, False),
    ("H", "NumericEquals", "s3:max-keys", 10, {"s3:max-keys": "1e1"}, False),
    # Dates, in W3C's forms and in epoch seconds.
    ("O", "DateEquals", "aws:t", "2026-01-01T00:00:00Z", {"aws:t": "1767225600"}, True),
    (
        "O",
        "DateEquals",
        "aws:t",
        "2026-01-01",
        {"aws:t": "2026-01-01T01:00+01:00"},
        True,
    ),
    (
        "O",
        "DateNotEquals",
        "aws:t",
        "2026-01-01",
        {"aws:t": "2026-01-01T00:00:01Z"},
        True,
    ),
    ("O", "DateLessThan", "aws:t", "2026", {"aws:t": "2025-12-31T23:59:59.999Z"}, True),
    ("O", "DateLessThan", "aws:t", "2026-01", {"aws:t": "2026-01-01T00:00:00Z"}, False),
    ("O", "DateLessThanEquals", "aws:t", "2026-01", {"aws:t": "2026-01"}, True),
    (
        "O",
        "DateGreaterThan",
        "aws:t",
        "1767225600",
        {"aws:t": "2026-01-01T00:00:01Z"},
        True,
    ),
    (
        "O",
        "DateGreaterThanEquals",
        "aws:t",
        "2026-01-01T00:00:00Z",
        {"aws:t": "20260101T000000Z"},
        True,
    ),
    ("O", "DateGreaterThan", "aws:TokenIssueTime", "2020-01-01", {}, False),
    ("H", "DateLessThan", "aws:t", "2026", {"aws:t": "soon"}, False),
    # Booleans.
    (
        "O",
        "Bool",
        "aws:SecureTransport",
        "false",
        {"aws:SecureTransport": "false"},
        True,
    ),
    ("O", "Bool", "aws:SecureTransport", True, {"aws:SecureTransport": "True"}, True),
    ("O", "Bool", "aws:SecureTransport", "true", {"aws:SecureTransport": "yes"}, False),
    ("O", "Bool", "aws:SecureTransport", "false", {}, False),
    ("O", "BoolIfExists", "aws:MultiFactorAuthPresent", "false", {}, True),
    # Binary.
    ("O", "BinaryEquals", "aws:b", "QmluYXJ5", {"aws:b": "QmluYXJ5"}, True),
    ("O", "BinaryEquals", "aws:b", "QmluYXJ5", {"aws:b": "QmluYXJ6"}, False),
    # Addresses.
    (
        "O",
        "IpAddress",
        "aws:SourceIp",
        "203.0.113.0/24",
        {"aws:SourceIp": "203.0.113.9"},
        True,
    ),
    (
        "O",
        "IpAddress",
        "aws:SourceIp",
        "203.0.113.0/24",
        {"aws:SourceIp": "203.0.114.9"},
        False,
    ),
    (
        "O",
        "IpAddress",
        "aws:SourceIp",
        "203.0.113.9",
        {"aws:SourceIp": "203.0.113.9"},
        True,
    ),
    (
        "O",
        "IpAddress",
        "aws:SourceIp",
        "2001:DB8:1234:5678::/64",
        {"aws:SourceIp": "2001:db8:1234:5678::1"},
        True,
    ),
    (
        "O",
        "IpAddress",
        "aws:SourceIp",
        ["10.0.0.0/8", "::/0"],
        {"aws:SourceIp": "192.0.2.1"},
        False,
    ),
    (
        "H",
        "IpAddress",
        "aws:SourceIp",
        "10.0.0.0/8",
        {"aws:SourceIp": "::ffff:10.1.2.3"},
        True,
    ),
    (
        "H",
        "IpAddress",
        "aws:SourceIp",
        "::ffff:10.0.0.0/104",
        {"aws:SourceIp": "10.1.2.3"},
        True,
    ),
    (
        "H",
        "IpAddress",
        "aws:SourceIp",
        "10.0.0.0/8",
        {"aws:SourceIp": "0x0a.1.2.3"},
        False,
    ),
    (
        "O",
        "NotIpAddress",
        "aws:SourceIp",
        "10.0.0.0/8",
        {"aws:SourceIp": "::ffff:a01:203"},
        False,
    ),
    (
        "O",
        "NotIpAddress",
        "aws:SourceIp",
        "10.0.0.0/8",
        {"aws:SourceIp": "192.0.2.1"},
        True,
    ),
    ("O", "NotIpAddress", "aws:SourceIp", "10.0.0.0/8", {}, True),
    # ARNs, field by field.
    (
        "O",
        "ArnLike",
        "aws:SourceArn",
        "arn:aws:sns:*:111122223333:to*",
        {"aws:SourceArn": ARN},
        True,
    ),
    (
        "O",
        "ArnEquals",
        "aws:SourceArn",
        "arn:aws:sns:*:111122223333:to*",
        {"aws:SourceArn": ARN},
        True,
    ),
    (
        "O",
        "ArnLike",
        "aws:SourceArn",
        "arn:aws:someservice:*:111122223333:finance/*",
        {"aws:SourceArn": FOREIGN},
        False,
    ),
    (
        "O",
        "StringLike",
        "aws:SourceArn",
        "arn:aws:someservice:*:111122223333:finance/*",
        {"aws:SourceArn": FOREIGN},
        True,
    ),
    (
        "O",
        "ArnLike",
        "aws:SourceArn",
        "arn:aws:sns:*:*:*",
        {"aws:SourceArn": "arn:aws:sns"},
        False,
    ),
    (
        "O",
        "ArnLike",
        "aws:SourceArn",
        "arn:aws:lambda:*:*:function:*",
        {"aws:SourceArn": "arn:aws:lambda:r:1:function:f:1"},
        True,
    ),
    (
        "O",
        "ArnLike",
        "aws:SourceArn",
        "arn:aws:sns:?:*:*",
        {"aws:SourceArn": ARN},
        False,
    ),
    ("O", "ArnLike", "aws:SourceArn", "*", {"aws:SourceArn": ARN}, True),
    (
        "O",
        "ArnNotEquals",
        "aws:SourceArn",
        "arn:aws:sns:*:*:*",
        {"aws:SourceArn": ARN},
        False,
    ),
    ("O", "ArnNotLike", "aws:SourceArn", "arn:aws:sns:*:*:*", {}, True),
    (
        "V",
        "ArnEquals",
        "aws:SourceArn",
        "arn:aws:sns:us-east-1:111122223333:${aws:k}",
        {"aws:SourceArn": ARN, "aws:k": "topic"},
        True,
    ),
    (
        "V",
        "ArnEquals",
        "aws:SourceArn",
        "arn:aws:sns:us-east-1:111122223333:${aws:k}",
        {"aws:SourceArn": ARN, "aws:k": "*"},
        False,
    ),
    (
        "V",
        "ArnEquals",
        "aws:SourceArn",
        "${aws:k}",
        {"aws:SourceArn": ARN, "aws:k": ARN},
        True,
    ),
    # A value cannot move a field.
    (
        "V",
        "ArnLike",
        "aws:SourceArn",
        "arn:aws:sns:${aws:k}:*:*",
        {"aws:SourceArn": ARN, "aws:k": "us-east-1:111122223333"},
        False,
    ),
    # IfExists and Null.
    ("O", "StringLikeIfExists", "ec2:InstanceType", ["t1.*", "t2.*"], {}, True),
    (
        "O",
        "StringLikeIfExists",
        "ec2:InstanceType",
        ["t1.*", "t2.*"],
        {"ec2:InstanceType": "m3.x"},
        False,
    ),
    ("O", "StringNotEqualsIfExists", "aws:k", "a", {}, True),
    ("O", "StringNotEqualsIfExists", "aws:k", "a", {"aws:k": "a"}, False),
    ("O", "Null", "aws:TokenIssueTime", "true", {}, True),
    ("O", "Null", "aws:TokenIssueTime", "true", {"aws:TokenIssueTime": "2026"}, False),
    ("O", "Null", "aws:TokenIssueTime", "false", {"aws:TokenIssueTime": "2026"}, True),
    ("O", "Null", "aws:TokenIssueTime", False, {}, False),
    ("O", "Null", "aws:TagKeys", "true", {"aws:TagKeys": ()}, True),
    # Sets.
    (
        "S",
        "ForAllValues:StringEquals",
        "aws:TagKeys",
        ["a", "b"],
        {"aws:TagKeys": ("a", "b")},
        True,
    ),
    (
        "S",
        "ForAllValues:StringEquals",
        "aws:TagKeys",
        ["a", "b"],
        {"aws:TagKeys": ("a", "c")},
        False,
    ),
    ("S", "ForAllValues:StringEquals", "aws:TagKeys", ["a"], {}, True),
    ("S", "ForAllValues:StringEquals", "aws:TagKeys", ["a"], {"aws:TagKeys": ()}, True),
    ("S", "ForAllValues:StringEquals", "aws:TagKeys", ["a"], {"aws:TagKeys": ""}, True),
    (
        "S",
        "ForAllValues:StringNotEquals",
        "aws:TagKeys",
        ["a"],
        {"aws:TagKeys": ("b", "c")},
        True,
    ),
    (
        "S",
        "ForAllValues:StringNotEquals",
        "aws:TagKeys",
        ["a"],
        {"aws:TagKeys": ("b", "a")},
        False,
    ),
    (
        "S",
        "ForAnyValue:StringEquals",
        "aws:TagKeys",
        ["a"],
        {"aws:TagKeys": ("b", "a")},
        True,
    ),
    (
        "S",
        "ForAnyValue:StringEquals",
        "aws:TagKeys",
        ["a"],
        {"aws:TagKeys": ("b",)},
        False,
    ),
    ("S", "ForAnyValue:StringEquals", "aws:TagKeys", ["a"], {}, False),
    ("S", "ForAnyValue:StringEquals", "aws:TagKeys", ["a"], {"aws:TagKeys": ()}, False),
    ("S", "ForAnyValue:StringNotEquals", "aws:TagKeys", ["a"], {}, False),
    ("S", "ForAnyValue:StringLike", "aws:TagKeys", ["a*"], {"aws:TagKeys": "ab"}, True),
    ("S", "ForAnyValue:StringEqualsIfExists", "aws:TagKeys", ["a"], {}, True),
    (
        "S",
        "ForAnyValue:ArnLike",
        "aws:SourceArn",
        "arn:aws:sns:*:*:*",
        {"aws:SourceArn": ("x", ARN)},
        True,
    ),
    # Variables.
    (
        "V",
        "StringLike",
        "s3:prefix",
        "home/${aws:username}/*",
        {"s3:prefix": "home/ann/x", "aws:username": "ann"},
        True,
    ),
    (
        "V",
        "StringLike",
        "s3:prefix",
        "home/${aws:username}/*",
        {"s3:prefix": "home/bob/x", "aws:username": "*"},
        False,
    ),
    (
        "V",
        "StringLike",
        "s3:prefix",
        "home/${aws:username}/*",
        {"s3:prefix": "home/*/x", "aws:username": "*"},
        True,
    ),
    (
        "V",
        "StringLike",
        "s3:prefix",
        "${aws:USERNAME}?",
        {"s3:prefix": "?x", "aws:username": "?"},
        True,
    ),
    (
        "V",
        "StringEquals",
        "aws:k",
        "${aws:userid, 'anonymous'}",
        {"aws:k": "anonymous"},
        True,
    ),
    (
        "V",
        "StringEquals",
        "aws:k",
        "${aws:userid, 'anonymous'}",
        {"aws:k": "u", "aws:userid": "u"},
        True,
    ),
    ("V", "StringEquals", "aws:k", "${aws:userid, ''}", {"aws:k": ""}, True),
    ("V", "StringEquals", "aws:k", "${aws:userid}", {"aws:k": "${aws:userid}"}, False),
    ("V", "StringEquals", "aws:k", ["${aws:userid}", "x"], {"aws:k": "x"}, False),
    (
        "V",
        "StringEquals",
        "aws:PrincipalTag/A",
        "${aws:RequestTag/A b}",
        {"aws:PrincipalTag/a": "1", "aws:RequestTag/a B": "1"},
        True,
    ),
    (
        "S",
        "StringEquals",
        "aws:k",
        "${aws:TagKeys}",
        {"aws:k": "a", "aws:TagKeys": ("a",)},
        False,
    ),
    (
        "V",
        "StringEquals",
        "aws:k",
        "${aws:a}",
        {"aws:k": "${aws:b}", "aws:a": "${aws:b}", "aws:b": "x"},
        True,
    ),
    ("H", "StringNotEquals", "aws:k", "${aws:userid}", {"aws:k": "x"}, False),
    ("V", "StringNotEqualsIfExists", "aws:k", "${aws:userid}", {}, True),
    # Several values without a set operator: an Allow needs all of them.
    ("H", "StringEquals", "aws:TagKeys", "a", {"aws:TagKeys": ("a", "b")}, False),
    ("H", "StringEquals", "aws:TagKeys", "a", {"aws:TagKeys": ("a",)}, True),
    ("H", "StringNotEquals", "aws:TagKeys", "a", {"aws:TagKeys": ("a", "b")}, False),
    # Two keys that differ in case alone are one key with two values.
    (
        "H",
        "StringEquals",
        "aws:RequestTag/x",
        "a",
        {"aws:RequestTag/X": "a", "aws:RequestTag/x": "b"},
        False,
    ),
]


@pytest.mark.parametrize(
    ("source", "operator", "key", "values", "context", "holds"), VECTORS
)
def test_z3_vectors(
    source: str, operator: str, key: str, values: object, context: Context, holds: bool
) -> None:
    """Z3: the condition holds, or not, as the rule says."""
    conditional = policy(statement(Condition={operator: {key: values}}))
    decision = decide(
        ask(context=context), identity=(conditional,), resource_account=ACCOUNT
    )
    assert holds == decision.allowed, source


@pytest.mark.parametrize(
    ("operator", "values", "context", "denied"),
    [
        # A Deny is met by any of several values.
        ("StringEquals", "a", {"aws:k": ("a", "b")}, True),
        ("StringNotEquals", "a", {"aws:k": ("a", "b")}, True),
        ("StringNotEquals", "a", {}, True),
        # A variable without a value fits nothing; negated, the Deny stands.
        ("StringNotEquals", "${aws:userid}", {"aws:k": "x"}, True),
        ("StringEquals", "${aws:userid}", {"aws:k": "x"}, False),
        ("StringNotEqualsIfExists", "a", {}, True),
        ("ForAllValues:StringEquals", "a", {}, True),
    ],
)
def test_z3_conditions_of_a_deny(
    operator: str, values: str, context: Context, denied: bool
) -> None:
    """Z3: in a Deny, the doubtful case denies."""
    deny = policy(statement("Deny", Condition={operator: {"aws:k": values}}))
    decision = decide(
        ask(context=context), identity=(ALLOW, deny), resource_account=ACCOUNT
    )
    assert denied != decision.allowed


def test_all_keys_and_operators_must_hold() -> None:
    """C, M: keys and operators are an AND."""
    both = policy(
        statement(
            Condition={
                "StringEquals": {"aws:a": "1", "aws:b": "2"},
                "Null": {"aws:c": "true"},
            }
        )
    )
    full: Context = {"aws:a": "1", "aws:b": "2"}
    for context, allowed in (
        (full, True),
        ({"aws:a": "1"}, False),
        ({**full, "aws:c": "x"}, False),
    ):
        decision = decide(
            ask(context=context), identity=(both,), resource_account=ACCOUNT
        )
        assert allowed == decision.allowed
