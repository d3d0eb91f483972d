"""Laws of what a policy may say, by operation and by tag."""

from __future__ import annotations

import pytest

from casemate.services.lambda_.idempotency.policy import (
    EXPIRES,
    EXPIRES_TAG,
    HOUR,
    KEY_TAG,
    Missing,
    Policy,
    PolicyError,
    planned,
    tagged,
)


def test_tags_say_a_policy() -> None:
    """A path, and seconds; an hour if they are not said."""
    assert tagged({}) is None
    assert tagged({"other": "x"}) is None
    assert tagged({KEY_TAG: "detail.id"}) == Policy(key="detail.id", expires=HOUR)
    both = tagged({KEY_TAG: "id", EXPIRES_TAG: "60"})
    assert both == Policy(key="id", expires=60, missing=Missing.REFUSE)


@pytest.mark.parametrize(
    "expires", ["", "0", "-1", "1.5", "x", "٣", "2592001", "9" * 9]
)
def test_a_tag_that_is_no_time_is_refused(expires: str) -> None:
    """By its name."""
    with pytest.raises(PolicyError, match=EXPIRES_TAG):
        tagged({KEY_TAG: "id", EXPIRES_TAG: expires})


def test_a_time_without_a_key_is_refused() -> None:
    """It would say nothing, and look as if it did."""
    with pytest.raises(PolicyError, match=KEY_TAG):
        tagged({EXPIRES_TAG: "60"})


def test_a_tag_that_is_no_path_is_refused() -> None:
    """By its name."""
    with pytest.raises(PolicyError, match=KEY_TAG):
        tagged({KEY_TAG: "a..b"})


def test_times_are_bounded() -> None:
    """From a second to thirty days."""
    low, high = EXPIRES
    for good in (low, high):
        planned(Policy(key="id", expires=good))
    for bad in (low - 1, high + 1):
        with pytest.raises(PolicyError, match="ExpiresAfterSeconds"):
            planned(Policy(key="id", expires=bad))


def test_expressions_are_refused_by_the_members_name() -> None:
    """Of the key and of what is compared."""
    with pytest.raises(PolicyError, match="KeyExpression"):
        planned(Policy(key="a[*]"))
    with pytest.raises(PolicyError, match="PayloadExpression"):
        planned(Policy(key="id", compare="a[*]"))
