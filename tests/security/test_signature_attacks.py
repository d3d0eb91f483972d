"""
A1 to A3, A5 to A7, A9, H3, H5: an attacker holds a captured, signed request.

The requests are signed by botocore, which shares no code with the verifier.
`tests/unit/road/authn` has each rule by itself; here anything at all is tried
on a request that is otherwise right.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.core.call import Request
from casemate.core.errors import Unauthenticated
from casemate.road.authn import sigv4

SECRET = "an example of a secret access key, 40 ch"
HOST = "127.0.0.1:4443"
TARGET = "/2015-03-31/functions/hello/invocations"
EXPECT = sigv4.Expectations(service="lambda", regions=frozenset({"us-east-1"}))
COUNTED = ("method", "path", "query", "body")


def capture(signer: type = SigV4Auth, *, body: bytes = b'{"a":1}') -> Request:
    """Sign a request as the victim does, and take it from the wire."""
    url = f"https://{HOST}{TARGET}?Qualifier=live"
    request = AWSRequest("POST", url, {"X-Amz-Invocation-Type": "DryRun"}, body)
    if signer is SigV4QueryAuth:
        request = AWSRequest("GET", url)
    credentials = Credentials("ASIAEXAMPLEEXAMPLE00", SECRET, "the+session/token==")
    signer(credentials, "lambda", "us-east-1").add_auth(request)
    prepared = request.prepare()
    path, _, query = prepared.url.removeprefix(f"https://{HOST}").partition("?")
    headers = [(k.lower(), str(v)) for k, v in prepared.headers.items()]
    return Request(
        method=prepared.method,
        path=path,
        query=query,
        headers=(("host", HOST), *headers),
        body=prepared.body or b"",
        peer="192.0.2.1",
    )


def verify(request: Request) -> bytes:
    claims = sigv4.parse(request)
    key = sigv4.derive(SECRET, claims.date, claims.region, claims.service)
    return sigv4.verify(request, claims, key, claims.at, EXPECT)


CAPTURED = capture()
PRESIGNED = capture(SigV4QueryAuth)


def without(request: Request, name: str) -> Request:
    kept = tuple(pair for pair in request.headers if pair[0] != name)
    return replace(request, headers=kept)


def unsigned(request: Request, name: str) -> Request:
    """Take a name out of SignedHeaders."""
    return replace(
        request,
        headers=tuple(
            (key, value.replace(f"{name};", "").replace(f";{name}", ""))
            if key == "authorization"
            else (key, value)
            for key, value in request.headers
        ),
    )


def attacks() -> Iterator[tuple[str, Request]]:
    one = CAPTURED
    for name in ("host", "x-amz-date", "x-amz-security-token", "x-amz-invocation-type"):
        yield f"A1 {name} unsigned", unsigned(one, name)
        yield f"A1 {name} gone", without(one, name)
    for value in ("UNSIGNED-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"):
        extra = (("x-amz-content-sha256", value),)
        yield f"A2 {value}", replace(one, headers=one.headers + extra, body=b"{}")
    forged = hashlib.sha256(b"{}").hexdigest()
    yield (
        "A2 body and its hash",
        replace(
            one, headers=(*one.headers, ("x-amz-content-sha256", forged)), body=b"{}"
        ),
    )
    yield "A5 both forms", replace(one, query=f"{one.query}&{PRESIGNED.query}")
    again = ("authorization", one.header("authorization") or "")
    yield "A5 twice", replace(one, headers=(*one.headers, again))
    yield (
        "H3 another identity",
        replace(one, headers=(*one.headers, ("x-amz-source-account", "111122223333"))),
    )
    for path in (
        f"/{TARGET}",
        f"{TARGET}/",
        f"/x/..{TARGET}",
        TARGET.replace("functions/", "functions/./"),
        TARGET.replace("hello", "%68ello"),
        TARGET.replace("hello", "x%2f..%2fhello"),
        TARGET.replace("hello", "hello;v=1"),
        TARGET.replace("hello", "hello%00"),
        TARGET.replace("hello", "hell\xc1\xaf"),
        f"https://{HOST}{TARGET}",
    ):
        yield f"H5 {path}", replace(one, path=path)
    yield (
        "H6 another host",
        replace(one, headers=(("host", "admin.internal"), *one.headers[1:])),
    )


@pytest.mark.parametrize(
    ("what", "request_"), list(attacks()), ids=lambda x: x if isinstance(x, str) else ""
)
def test_a_captured_request_cannot_be_bent(what: str, request_: Request) -> None:
    """Each attack on a request that is otherwise right is refused."""
    assert verify(CAPTURED) == CAPTURED.body
    with pytest.raises(Unauthenticated) as refused:
        verify(request_)
    told = f"{refused.value.reason}{dict(refused.value.evidence)}"
    assert SECRET not in told, what


@pytest.mark.parametrize(
    "algorithm", ["AWS4-ECDSA-P256-SHA256", "AWS4-HMAC-SHA1", "none"]
)
@pytest.mark.parametrize("captured", [CAPTURED, PRESIGNED], ids=["header", "query"])
def test_a9_other_algorithms(captured: Request, algorithm: str) -> None:
    """A9: a clean error that says what to sign with."""
    ours = "AWS4-HMAC-SHA256"
    request = replace(
        captured,
        query=captured.query.replace(ours, algorithm),
        headers=tuple((k, v.replace(ours, algorithm)) for k, v in captured.headers),
    )
    with pytest.raises(Unauthenticated, match=ours):
        verify(request)


@given(data=st.data())
@settings(max_examples=500, deadline=None)
def test_no_flipped_character_verifies(data: st.DataObject) -> None:
    """Anywhere in what counts, one changed character is enough to refuse."""
    request = data.draw(st.sampled_from([CAPTURED, PRESIGNED]))
    fields = [name for name in COUNTED if getattr(request, name)]
    field = data.draw(st.sampled_from(fields))
    value = getattr(request, field)
    at = data.draw(st.integers(0, len(value) - 1))
    if isinstance(value, bytes):
        changed = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
    else:
        other = data.draw(
            st.characters(max_codepoint=255).filter(lambda c: c != value[at])
        )
        changed = value[:at] + other + value[at + 1 :]
        if field == "query" and same_query(value, changed):
            return
    change: dict[str, Any] = {field: changed}
    with pytest.raises(Unauthenticated):
        verify(replace(request, **change))


def same_query(one: str, other: str) -> bool:
    """`%2f` and `%2F` are one query; so are two orders of it."""

    def read(query: str) -> list[str]:
        return sorted(
            piece.upper() if "%" in piece else piece for piece in query.split("&")
        )

    return read(one) == read(other)


def test_h5_encoding_a_letter_changes_nothing_that_is_read() -> None:
    """H5: what verifies with other bytes decodes to the same parameters."""
    again = replace(CAPTURED, query="%51ualifier=live")
    assert verify(again) == CAPTURED.body
