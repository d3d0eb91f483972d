"""The models' constraints, and the paths of what was given."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.loaders import Loader

from casemate import wire
from casemate.wire.pattern import BOUND, matcher, translate
from effort import bounded

LAMBDA = wire.load("lambda")
SERVICES = ("lambda", "iam", "sts", "logs", "sqs", "events", "kms", "secretsmanager")
UNTRANSLATED: set[str] = set()
"""Patterns of these services that are not enforced, because Python cannot say them."""


def patterns() -> set[str]:
    found: set[str] = set()
    for service in SERVICES:
        shapes: Any = Loader().load_service_model(service, "service-2")["shapes"]
        found |= {s["pattern"] for s in shapes.values() if "pattern" in s}
    return found


def messages(operation: str, **params: object) -> list[str]:
    return [fault.message for fault in LAMBDA.check(operation, params)]


def test_faults_are_told_as_aws_does() -> None:
    """Value, place, rule; counted in front."""
    faults = LAMBDA.check("GetFunction", {"FunctionName": "a b"})
    told = wire.sentence(faults)

    assert told.startswith(
        "1 validation error detected: Value 'a b' at 'functionName' failed to satisfy "
        "constraint: Member must satisfy regular expression pattern: (arn:"
    )


@pytest.mark.parametrize(
    ("params", "rule"),
    [
        (
            {},
            "null at 'functionName' failed to satisfy constraint: Member must not be",
        ),
        (
            {"FunctionName": "f", "Timeout": 0},
            "Member must have value greater than or equal to 1",
        ),
        (
            {"FunctionName": "f", "MemorySize": 127},
            "Member must have value greater than or equal to 128",
        ),
        (
            {"FunctionName": "f", "MemorySize": 10**6},
            "Member must have value less than or equal to 32768",
        ),
        (
            {"FunctionName": "f", "Runtime": "cobol"},
            "Member must satisfy enum value set: [",
        ),
        ({"FunctionName": ""}, "Member must have length greater than or equal to 1"),
        ({"FunctionName": "f" * 300}, "Member must have length less than or equal to"),
        (
            {
                "FunctionName": "f",
                "FileSystemConfigs": [{"Arn": "a", "LocalMountPath": "b"}],
            },
            "at 'fileSystemConfigs.1.member.localMountPath' failed",
        ),
        (
            {"FunctionName": "f", "FileSystemConfigs": [{}] * 9},
            "Member must have length less than or equal to",
        ),
    ],
)
def test_each_rule_of_the_model_holds(params: dict[str, object], rule: str) -> None:
    """Required, range, enum, length, pattern, list size; each with its path."""
    assert any(
        rule in told for told in messages("UpdateFunctionConfiguration", **params)
    )


def test_what_holds_has_no_fault() -> None:
    """Parameters in bounds pass."""
    assert () == LAMBDA.check("Invoke", {"FunctionName": "f", "Payload": b"{}"})


def test_a_secret_value_is_not_shown() -> None:
    """What the model calls sensitive stays out of the sentence."""
    told = messages(
        "CreateFunction",
        FunctionName="f",
        Role="arn:aws:iam::123456789012:role/r",
        Code={},
        Environment={"Variables": {"1bad": "hunter2"}},
    )

    assert told
    assert not any("1bad" in t.split(" at ")[0] or "hunter2" in t for t in told)


def test_faults_are_bounded() -> None:
    """A thousand faults make a short answer."""
    tags = {f"k{i}": "x" * 300 for i in range(1000)}
    faults = LAMBDA.check("TagResource", {"Resource": "x" * 5000, "Tags": tags})

    assert 50 == len(faults)
    assert 50_000 > len(wire.sentence(faults))


def test_the_patterns_that_are_not_enforced_are_listed() -> None:
    """A pattern that Python cannot say is skipped, and known to be."""
    assert UNTRANSLATED == {p for p in patterns() if matcher(p) is None}


@pytest.mark.parametrize("pattern", sorted(patterns()))
@bounded()
def test_no_pattern_runs_away(pattern: str) -> None:
    """H17: at the bound, every pattern answers in a fraction of a second."""
    matches = matcher(pattern)
    assert matches is not None
    seeds = ("a", "a.", "a-", "1", "/a", "arn:aws:lambda:", "a:", "=", "aA0_.", "a.a-")
    for seed in seeds:
        matches((seed * BOUND)[: BOUND - 1] + "\n")
        matches("a" + (seed * BOUND)[: BOUND - 2] + "!")


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "né 1_日", "a!"),
        (r"[\w-_]*", "a-b_c", "a b"),
        (r"[\w]*", "ab_9", "é"),
        (r"\p{ASCII}*", "abc", "é"),
        (r"^[a-z]+$", "abc", "abc\n"),
        (r"[a-z]+", "abc", "abc1"),
        (r"a|b", "b", "ab"),
        (r"[[a]+", "[a", "b"),
        (r"[\d]+", "12", "\u0661"),
    ],
)
def test_patterns_mean_what_they_mean_in_java(
    pattern: str, good: str, bad: str
) -> None:
    """The whole value, ASCII classes, Unicode properties."""
    matches = matcher(pattern)

    assert matches is not None
    assert matches(good)
    assert not matches(bad)


def test_intersections_are_not_guessed() -> None:
    """What has no word in Python is not half enforced."""
    assert None is translate("[a-z&&[^b]]")
    assert None is matcher(r"\p{Punct}")
    assert "[a&b]" == translate("[a&b]")


def test_given_members_have_dotted_paths() -> None:
    """Leaves by name; lists without numbers; maps of texts are leaves."""
    params = {
        "FunctionName": "f",
        "Code": {"ZipFile": b"x", "S3Bucket": None},
        "Environment": {"Variables": {"A": "1"}},
        "VpcConfig": {},
        "Layers": ["a"],
        "FileSystemConfigs": [{"Arn": "a"}, {"Arn": "b", "LocalMountPath": "c"}],
    }

    assert [
        ("FunctionName", "f"),
        ("Code.ZipFile", b"x"),
        ("Environment.Variables", {"A": "1"}),
        ("VpcConfig", {}),
        ("Layers", ["a"]),
        ("FileSystemConfigs.Arn", "a"),
        ("FileSystemConfigs.Arn", "b"),
        ("FileSystemConfigs.LocalMountPath", "c"),
    ] == list(LAMBDA.paths("CreateFunction", params))


def test_a_path_is_known_to_the_model_or_not() -> None:
    """A declaration that names no member can be found at start."""
    assert LAMBDA.has_input("CreateFunction", "Code.ZipFile")
    assert LAMBDA.has_input("CreateFunction", "FileSystemConfigs.Arn")
    assert not LAMBDA.has_input("CreateFunction", "Code.Nobody")
    assert not LAMBDA.has_input("CreateFunction", "FunctionName.x")
