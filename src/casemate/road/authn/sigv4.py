"""
Signature Version 4: prove that a request was signed with a key, as it stands.

    (1) the scope is for this service, in a region that we serve
    (2) the time is now: within 5 minutes, or within a presigned request's life
    (3) all that must be signed is: host, every `x-amz-…` header, and every
        header that is named is there
    (4) the payload is declared in a way that this service takes
    (5) the canonical request; (6) the string to sign; (7) the signature,
        compared in constant time
    (8) the body that came is the body that was signed, chunk by chunk if it
        is `aws-chunked`

`verify` gives the body back: decoded, and proven.  What is not done here:
whose key it is, whether a token is good, whether the request came before.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, final

from casemate.core.call import Request
from casemate.road.authn import chunked
from casemate.road.authn.sigv4_canonical import (
    canonical_path,
    canonical_query,
    canonical_request,
    canonical_value,
    normal_path,
)
from casemate.road.authn.sigv4_claims import ALGORITHM, TERMINATOR, Claims, parse
from casemate.road.authn.sigv4_faults import Dialect, Fault, refusal

__all__ = [
    "Claims",
    "Dialect",
    "Expectations",
    "Fault",
    "derive",
    "parse",
    "precheck",
    "refusal",
    "verify",
]

SKEW: Final = 300
"""Seconds that a client's clock may differ from ours, either way."""

UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_STREAMS: Final = {
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
}
"""The declared hash: (chunks are signed, there are trailers)."""
_HEX: Final = frozenset("0123456789abcdef")
_DIGEST: Final = 64
_DAY: Final = 8


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """
    What a service takes.

    service: its signing name.  regions: those whose scope is accepted.
    unsigned_payload: whether a body may go unsigned (S3, and only over TLS).
    streaming: whether a body may come `aws-chunked` with signed chunks.
    literal_path: whether the path is signed as it is (S3).  loose_path: take
    paths that normalisation changes; off, they are refused, so that what is
    signed and what is routed are one path.  body_limit: bytes of a decoded
    body.
    """

    service: str
    regions: frozenset[str]
    dialect: Dialect = Dialect.JSON
    unsigned_payload: bool = False
    streaming: bool = False
    literal_path: bool = False
    loose_path: bool = False
    body_limit: int = 8 * 1024 * 1024


def derive(secret: str, date: str, region: str, service: str) -> bytes:
    """Derive a day's signing key; only the keyholder and tests have a secret."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, TERMINATOR):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def verify(
    request: Request,
    claims: Claims,
    signing_key: bytes,
    now: float,
    expectations: Expectations,
) -> bytes:
    """
    Prove a request's signature and give its body.

    now: epoch seconds.  Raises Unauthenticated with the code of the service's
    dialect; no message holds a secret or a signature that was computed.
    """
    dialect = expectations.dialect
    precheck(claims, now, expectations)  # (1) and (2)
    headers = _signed(request, claims, dialect)  # (3)
    declared = _declared(request, claims, expectations)  # (4)

    # (5) The canonical request.
    literal = expectations.literal_path
    if not (literal or expectations.loose_path) and (
        normal_path(request.path) != request.path
    ):
        raise refusal(
            Fault.INCOMPLETE,
            "the path has dot segments or empty segments; sign and send "
            f"`{normal_path(request.path)[:256]}`",
            dialect,
        )
    presigned = claims.expires is not None
    canonical = canonical_request(
        method=request.method,
        path=canonical_path(request.path, literal=literal),
        query=canonical_query(
            request.query, without="X-Amz-Signature" if presigned else None
        ),
        headers=headers,
        payload_hash=declared or sha256(request.body).hexdigest(),
    )

    # (6) The string to sign, (7) its signature.
    text = (
        f"{ALGORITHM}\n{claims.stamp}\n{claims.scope}\n{sha256(canonical).hexdigest()}"
    )
    computed = hmac.digest(signing_key, text.encode(), "sha256").hex()
    if not hmac.compare_digest(computed, claims.signature):
        raise refusal(
            Fault.MISMATCH,
            "the signature does not match: check the secret access key, and that "
            "the request was not changed after it was signed",
            dialect,
        )
    return _body(request, claims, declared, signing_key, expectations)  # (8)


def precheck(claims: Claims, now: float, expectations: Expectations) -> None:
    """
    Check what needs no key: scope and time.

    For those who must ask for a key: a stranger's scope should not cost one.
    `verify` does it again.  Raises Unauthenticated.
    """
    _scope(claims, expectations)  # (1)
    _time(claims, now, expectations.dialect)  # (2)


def _scope(claims: Claims, expectations: Expectations) -> None:
    if claims.service != expectations.service:
        raise refusal(
            Fault.SCOPE,
            f"the credential is scoped to service `{claims.service}` and this is "
            f"`{expectations.service}`",
            expectations.dialect,
        )
    if claims.region not in expectations.regions:
        raise refusal(
            Fault.SCOPE,
            f"the credential is scoped to region `{claims.region}`, which is not "
            f"served here; use `{min(expectations.regions, default='')}`",
            expectations.dialect,
        )
    if claims.stamp[:_DAY] != claims.date:
        raise refusal(
            Fault.SCOPE,
            f"the credential is scoped to `{claims.date}` and the request is of "
            f"`{claims.stamp[:_DAY]}`",
            expectations.dialect,
        )


def _time(claims: Claims, now: float, dialect: Dialect) -> None:
    if claims.at - now > SKEW:
        raise refusal(
            Fault.SKEWED,
            f"Signature not yet current: `{claims.stamp}` is more than "
            f"{SKEW} seconds ahead; check the clock",
            dialect,
        )
    if claims.expires is None:
        if now - claims.at > SKEW:
            raise refusal(
                Fault.SKEWED,
                f"Signature expired: `{claims.stamp}` is more than {SKEW} seconds "
                f"ago; check the clock",
                dialect,
            )
    elif now - claims.at > claims.expires:
        raise refusal(
            Fault.EXPIRED,
            f"Request has expired: it was good for {claims.expires} seconds from "
            f"`{claims.stamp}`",
            dialect,
        )


def _signed(request: Request, claims: Claims, dialect: Dialect) -> dict[str, str]:
    """Gather the signed headers, and see that none is missing from the list."""
    found = dict.fromkeys(claims.signed_headers, "")
    seen: set[str] = set()
    for name, value in request.headers:
        if name not in found:
            if name == "host" or name.startswith("x-amz-"):
                raise refusal(
                    Fault.INCOMPLETE, f"the header `{name}` must be signed", dialect
                )
            continue
        value = canonical_value(value)  # noqa: PLW2901 — the raw value has no further use
        found[name] = f"{found[name]},{value}" if name in seen else value
        seen.add(name)
    for name in claims.signed_headers:
        if name not in seen:
            raise refusal(
                Fault.INCOMPLETE,
                f"the header `{name}` is signed and not there",
                dialect,
            )
    if "host" not in seen or (
        claims.expires is None and not seen & {"x-amz-date", "date"}
    ):
        raise refusal(
            Fault.INCOMPLETE, "`host` and the date must be there and signed", dialect
        )
    return found


def _declared(
    request: Request, claims: Claims, expectations: Expectations
) -> str | None:
    """Give the payload hash that the client declares; None for the body's own."""
    declared = request.header("x-amz-content-sha256")
    if declared is None:
        presigned = claims.expires is not None
        return UNSIGNED if presigned and expectations.unsigned_payload else None
    if declared == UNSIGNED:
        allowed = expectations.unsigned_payload
    elif declared in _STREAMS:
        signed, _ = _STREAMS[declared]
        allowed = expectations.streaming if signed else expectations.unsigned_payload
    else:
        allowed = len(declared) == _DIGEST and _HEX.issuperset(declared)
    if not allowed:
        raise refusal(
            Fault.PAYLOAD,
            f"`x-amz-content-sha256` `{declared[:64]}` is not taken here; send the "
            f"SHA-256 of the body",
            expectations.dialect,
        )
    return declared


def _body(
    request: Request,
    claims: Claims,
    declared: str | None,
    signing_key: bytes,
    expectations: Expectations,
) -> bytes:
    if declared is None or declared == UNSIGNED:
        return request.body
    if declared not in _STREAMS:
        if not hmac.compare_digest(sha256(request.body).hexdigest(), declared):
            raise refusal(
                Fault.PAYLOAD,
                "the body does not have the SHA-256 that `x-amz-content-sha256` says",
                expectations.dialect,
            )
        return request.body
    signed, trailing = _STREAMS[declared]
    seal = chunked.Seal(
        key=signing_key, stamp=claims.stamp, scope=claims.scope, seed=claims.signature
    )
    try:
        return chunked.decode(
            request.body,
            seal=seal if signed else None,
            length=request.header("x-amz-decoded-content-length") or "",
            announced=_trailers(request) if trailing else (),
            limit=expectations.body_limit,
        )
    except chunked.ChunkedError as error:
        raise refusal(
            _CHUNK_FAULTS[error.kind], error.reason, expectations.dialect
        ) from error


def _trailers(request: Request) -> tuple[str, ...]:
    """Give the trailers that the headers announce; with TRAILER, one at least."""
    value = request.header("x-amz-trailer") or ""
    return tuple(name.strip(" ").lower() for name in value.split(","))


_CHUNK_FAULTS: Final = {
    chunked.Wrong.FRAMING: Fault.CHUNKING,
    chunked.Wrong.SIGNATURE: Fault.MISMATCH,
    chunked.Wrong.CHECKSUM: Fault.CHECKSUM,
}
