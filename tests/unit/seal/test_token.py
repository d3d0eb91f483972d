"""Laws of pagination tokens."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.seal.envelope import Envelope
from casemate.seal.token import (
    LIFETIME,
    TokenError,
    TokenExpiredError,
    open_token,
    seal_token,
)

KEY = bytes(range(32))
ENVELOPE = Envelope(os.urandom)
NOW = 1_700_000_000.0


def sealed(position: bytes = b"after/this") -> str:
    return seal_token(
        KEY, "111111111111", "lambda:List", b"q", position, envelope=ENVELOPE, now=NOW
    )


def opened(
    token: str,
    *,
    account: str = "111111111111",
    operation: str = "lambda:List",
    query: bytes = b"q",
    now: float = NOW,
) -> bytes:
    return open_token(KEY, account, operation, query, token, envelope=ENVELOPE, now=now)


@given(position=st.binary(max_size=2000))
def test_a_token_gives_its_position_back(position: bytes) -> None:
    """Whatever the position, the same query gets it back, and cannot read it."""
    token = sealed(position)

    assert opened(token) == position
    assert token.isascii()
    assert "=" not in token


def test_a_token_is_good_for_its_own_query_only() -> None:
    """Another account, operation or query gets one and the same refusal."""
    token, reasons = sealed(), set[str]()
    attempts: list[Callable[[], bytes]] = [
        lambda: opened(token, account="222222222222"),
        lambda: opened(token, operation="lambda:Other"),
        lambda: opened(token, query=b"other"),
        lambda: opened("nonsense"),
        lambda: opened("é" * 100),
        lambda: opened("A" * 100_000),
    ]
    for attempt in attempts:
        with pytest.raises(TokenError) as refused:
            attempt()
        reasons.add(str(refused.value))

    assert len(reasons) == 1


def test_a_token_expires() -> None:
    """A token lives a day, and says so when it is past it."""
    token = sealed()

    assert opened(token, now=NOW + LIFETIME - 1)
    with pytest.raises(TokenExpiredError, match="first page"):
        opened(token, now=NOW + LIFETIME)


@given(text=st.text(max_size=200))
def test_no_text_is_a_token_by_chance(text: str) -> None:
    """Any text is refused as a token, and nothing else happens."""
    with pytest.raises(TokenError):
        opened(text)


def test_a_position_too_long_for_a_token_is_refused() -> None:
    """No token is made that would be refused later."""
    with pytest.raises(ValueError, match="too long"):
        sealed(bytes(10_000))
