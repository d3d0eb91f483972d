"""Wildcards: what fits, and what it costs."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from casemate.policy.iam.glob import matcher, tokens
from casemate.policy.iam.malformed import MalformedPolicyError
from effort import bounded


def fits(pattern: str, value: str) -> bool:
    return matcher(tokens(pattern))(value)


def oracle(pattern: str, value: str) -> bool:
    """Match by a regular expression; small inputs only, for it may backtrack."""
    parts = {"*": ".*", "?": "."}
    translated = "".join(parts.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(translated, value, re.DOTALL) is not None


@given(pattern=st.text("ab*?", max_size=10), value=st.text("ab", max_size=12))
@example(pattern="a*a", value="a")
@example(pattern="*?*", value="")
@example(pattern="*ab*b?", value="abbb")
@settings(max_examples=1_500)
def test_agrees_with_the_naive_reading(pattern: str, value: str) -> None:
    """`*` is any text and `?` any one character, whatever stands around them."""
    assert oracle(pattern, value) == fits(pattern, value)


@given(value=st.text(max_size=20))
def test_other_characters_stand_for_themselves(value: str) -> None:
    """No character but `*` and `?` means anything else."""
    plain = value.replace("*", "").replace("?", "")
    assert fits(plain, plain)
    assert not fits(plain, plain + "x")


@pytest.mark.parametrize(
    "pattern", ["*a" * 60 + "b", "*?a" * 40 + "b", "a*" * 60 + "b", "?*" * 60 + "b"]
)
@bounded()
def test_q12_matching_is_linear(pattern: str) -> None:
    """Q12: patterns that make backtracking matchers explode cost milliseconds."""
    assert not fits(pattern, "a" * 50_000)


def test_wildcards_are_bounded() -> None:
    """One string has 128 wildcards at most."""
    tokens("*a" * 128)
    with pytest.raises(MalformedPolicyError):
        tokens("*a" * 129)
