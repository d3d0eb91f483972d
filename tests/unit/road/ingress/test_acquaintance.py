"""Whom a head says it is of."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.road.ingress.acquaintance import access_key_of

KEY = "AKIAAAAAAAAAAAAAAAAA"
SCOPE = "20231114/us-east-1/lambda/aws4_request"


def test_a_key_stands_in_the_header_or_in_the_query() -> None:
    """As botocore writes it, and as a presigned URL has it."""
    header = f"AWS4-HMAC-SHA256 Credential={KEY}/{SCOPE}, SignedHeaders=host"
    assert KEY == access_key_of("", (("authorization", header),))
    assert KEY == access_key_of(f"a=b&X-Amz-Credential={KEY}%2F20231114", ())
    assert KEY == access_key_of(f"X-Amz-Credential={KEY}/20231114", ())


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer x",
        f"Credential={KEY}",
        f"Credential={KEY.lower()}/",
        "Credential=A/",
    ],
)
def test_a_header_without_a_key_is_a_strangers(header: str) -> None:
    """And the query is not asked where there is a header."""
    query = f"X-Amz-Credential={KEY}/"
    assert access_key_of(query, (("authorization", header),)) is None
    assert access_key_of(f"Not-{query}", ()) is None


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_head_is_read(query: str, header: str) -> None:
    """Total: a key or nothing."""
    access_key_of(query, (("authorization", header),))
