"""Amazon Resource Names."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.arn import Arn, NotAnArnError, is_account


def test_the_resource_keeps_its_colons() -> None:
    """Everything after the fifth colon is the resource."""
    arn = Arn.parse("arn:aws:lambda:us-east-1:123456789012:function:f:1")

    assert ("lambda", "us-east-1", "123456789012", "function:f:1") == (
        arn.service,
        arn.region,
        arn.account,
        arn.resource,
    )


@given(text=st.text())
def test_reading_gives_a_name_or_refuses(text: str) -> None:
    """No text crashes the reader, and what it reads it writes back unchanged."""
    try:
        arn = Arn.parse(text)
    except NotAnArnError:
        return
    assert text == str(arn)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "12345678901",
        "1234567890123",
        "12345678901x",
        "\uff11" * 12,
        "123456789012\n",
    ],
)
def test_an_account_is_twelve_ascii_digits(text: str) -> None:
    """Nothing else is an account."""
    assert not is_account(text)


def test_twelve_digits_are_an_account() -> None:
    """The positive case."""
    assert is_account("012345678901")
