"""
AWS's published Signature Version 4 suite, each case and its mutations.

Quirks of the suite, kept as they are:
- `get-vanilla-with-session-token` signs what its `.sts` says; its `.authz` and
  `.sreq` carry the signature of another case.
- `post-sts-header-after` adds the session token after signing.  Casemate
  refuses that: every `x-amz-…` header must be signed.
- `get-header-value-multiline` folds a header over lines, which the front
  refuses; here the lines are joined, as the folding meant.
- `normalize-path` sends paths that normalisation changes, which is refused
  unless `loose_path` says otherwise.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from casemate.core.call import Request
from casemate.core.errors import Unauthenticated
from casemate.road.authn import sigv4
from casemate.road.authn.sigv4_canonical import (
    canonical_path,
    canonical_query,
    canonical_request,
    canonical_value,
)

ROOT = Path(
    os.environ.get("CASEMATE_VECTORS")
    or Path(__file__).parents[5] / "shared" / "vectors"
)
SUITE = ROOT / "sigv4"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEY = sigv4.derive(SECRET, "20150830", "us-east-1", "service")
NOW = 1_440_938_160.0
EXPECT = sigv4.Expectations(
    service="service", regions=frozenset({"us-east-1"}), loose_path=True
)
WRONG_AUTHZ = "get-vanilla-with-session-token"
UNSIGNED_TOKEN = "post-sts-header-after"
CASES = 34


@dataclass(frozen=True)
class Case:
    """A case: its texts as bytes, and its signed request."""

    name: str
    creq: bytes
    sts: bytes
    request: Request


def read(folder: Path) -> Case:
    name = folder.name
    text = {
        part: (folder / f"{name}.{part}").read_bytes().replace(b"\r\n", b"\n")
        for part in ("creq", "sts", "sreq")
    }
    return Case(name, text["creq"], text["sts"], parse_request(text["sreq"]))


def parse_request(raw: bytes) -> Request:
    """Read the suite's requests: latin-1 for bytes, as the front gives them."""
    head, _, body = raw.decode("latin-1").partition("\n\n")
    first, *lines = head.rstrip("\n").split("\n")
    method, rest = first.split(" ", 1)
    target = rest.rsplit(" ", 1)[0]
    headers: list[tuple[str, str]] = []
    for line in lines:
        if line[0] in " \t":
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {line.strip()}")
        else:
            name, _, value = line.partition(":")
            headers.append((name.lower(), value.strip(" ")))
    path, _, query = target.partition("?")
    return Request(
        method=method,
        path=path,
        query=query,
        headers=tuple(headers),
        body=body.encode("latin-1"),
        peer="192.0.2.1",
    )


def cases() -> list[Case]:
    folders = sorted(path.parent for path in SUITE.rglob("*.sreq"))
    return [read(folder) for folder in folders]


ALL = cases()


def signature(case: Case) -> str:
    return hmac.digest(KEY, case.sts, "sha256").hex()


def signed(case: Case) -> Request:
    """Give the case's request, with the signature that its `.sts` has."""
    headers = tuple(
        (name, f"{value[: value.index('Signature=')]}Signature={signature(case)}")
        if name == "authorization"
        else (name, value)
        for name, value in case.request.headers
    )
    return replace(case.request, headers=headers)


def verify(request: Request, **changes: Any) -> bytes:
    claims = sigv4.parse(request)
    return sigv4.verify(request, claims, KEY, NOW, replace(EXPECT, **changes))


def test_the_suite_is_there() -> None:
    """The vectors are a tool of this test; without them nothing was proved."""
    assert CASES == len(ALL), f"the SigV4 suite is not at {SUITE}"


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_canonical_request_and_string_to_sign(case: Case) -> None:
    """The canonical request and the string to sign are the suite's, byte for byte."""
    request = case.request
    names = case.creq.decode("latin-1").split("\n")[-2].split(";")
    headers = {
        name: ",".join(canonical_value(v) for n, v in request.headers if n == name)
        for name in names
    }
    creq = canonical_request(
        method=request.method,
        path=canonical_path(request.path, literal=False),
        query=canonical_query(request.query),
        headers=headers,
        payload_hash=sha256(request.body).hexdigest(),
    )
    assert case.creq.rstrip(b"\n") == creq
    assert case.sts.rstrip(b"\n").endswith(sha256(creq).hexdigest().encode())


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_signed_request_verifies(case: Case) -> None:
    """Each case verifies, but the one that leaves its session token unsigned."""
    if case.name == UNSIGNED_TOKEN:
        with pytest.raises(Unauthenticated, match="x-amz-security-token"):
            verify(case.request)
        return
    request = signed(case) if case.name == WRONG_AUTHZ else case.request
    assert request.body == verify(request)
    assert sigv4.parse(request).signature == signature(case)


def mutations(request: Request) -> Iterator[tuple[str, Request]]:
    """Every way to change a request by one thing."""
    for method in ("PUT", "DELETE", "get", "HEAD"):
        yield f"method {method}", replace(request, method=method)
    for path in (f"{request.path}x", f"{request.path}%2f", "/other", "/%2e%2e"):
        yield f"path {path}", replace(request, path=path)
    for query in (
        f"{request.query}&x=1",
        "x",
        f"{request.query}=",
        "X-Amz-Signature=0",
    ):
        yield f"query {query}", replace(request, query=query)
    yield "body added", replace(request, body=request.body + b"x")
    if request.body:
        yield "body cut", replace(request, body=request.body[:-1])
        yield (
            "body flipped",
            replace(request, body=bytes([request.body[0] ^ 1]) + request.body[1:]),
        )
    for at, (name, value) in enumerate(request.headers):
        before, after = request.headers[:at], request.headers[at + 1 :]

        def put(*pairs: tuple[str, str]) -> Request:
            return replace(request, headers=(*before, *pairs, *after))  # noqa: B023 — used at once

        yield f"{name} gone", put()
        yield f"{name} changed", put((name, f"{value}x"))
        yield f"{name} emptied", put((name, ""))
        yield f"{name} doubled", put((name, value), (name, value))
        yield f"{name} renamed", put((f"{name}x", value))
    for name in ("x-amz-target", "x-amz-security-token", "x-amz-content-sha256"):
        if request.header(name) is None:
            yield (
                f"{name} added",
                replace(request, headers=(*request.headers, (name, "0" * 64))),
            )
    yield from signature_mutations(request)


def signature_mutations(request: Request) -> Iterator[tuple[str, Request]]:
    value = request.header("authorization") or ""
    rewrite: list[tuple[str, Callable[[str], str]]] = [
        ("algorithm", lambda v: v.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA1")),
        ("date", lambda v: v.replace("/20150830/", "/20150831/")),
        ("region", lambda v: v.replace("/us-east-1/", "/us-west-2/")),
        ("service", lambda v: v.replace("/service/", "/other/")),
        ("terminator", lambda v: v.replace("/aws4_request", "/aws5_request")),
        ("host unsigned", lambda v: v.replace("host;", "")),
        ("date unsigned", lambda v: v.replace(";x-amz-date", "")),
        ("upper case", lambda v: v.replace("host", "Host")),
        ("unsorted", lambda v: v.replace("SignedHeaders=", "SignedHeaders=z;")),
        ("doubled name", lambda v: v.replace("x-amz-date", "x-amz-date;x-amz-date")),
        ("two signatures", lambda v: f"{v}, Signature={'0' * 64}"),
        ("no signature", lambda v: v[: v.index(", Signature")]),
        ("long signature", lambda v: f"{v}0"),
        ("upper signature", lambda v: v[:-64] + v[-64:].upper().replace("0", "A", 1)),
        ("more", lambda v: f"{v}, Extra=1"),
    ]
    for name, change in rewrite:
        yield f"authorization {name}", authorized(request, change(value))
    for at in range(64):
        digit = value[-64 + at]
        other = "0" if digit != "0" else "1"
        flipped = (
            f"{value[: len(value) - 64 + at]}{other}{value[len(value) - 63 + at :]}"
        )
        yield f"signature digit {at}", authorized(request, flipped)


def authorized(request: Request, value: str) -> Request:
    return replace(
        request,
        headers=tuple(
            (name, value if name == "authorization" else old)
            for name, old in request.headers
        ),
    )


@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
def test_every_mutation_is_refused(case: Case) -> None:
    """A request that differs in anything that counts does not verify."""
    request = signed(case)
    tried = 0
    for what, mutated in mutations(request):
        if mutated == request:
            continue
        if case.name == UNSIGNED_TOKEN and what == "x-amz-security-token gone":
            continue  # without its unsigned token the request is as it was signed
        tried += 1
        with pytest.raises(Unauthenticated) as refused:
            verify(mutated)
        told = f"{refused.value.reason} {refused.value.evidence}"
        assert SECRET not in told
        assert signature(case) not in told, what
    assert tried >= 100


def test_a_path_that_normalisation_changes_is_refused_by_default() -> None:
    """H5: what is signed and what is routed are one path."""
    for case in ALL:
        request = signed(case)
        if "/." not in request.path and "//" not in request.path:
            continue
        with pytest.raises(Unauthenticated, match="dot segments"):
            verify(request, loose_path=False)
