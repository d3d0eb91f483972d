"""
Signature Version 4 as an attacker writes it: every part can be bent.

Not the platform's code and not botocore's: what signs here shares no mistake
with what verifies there.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote

ALGORITHM = "AWS4-HMAC-SHA256"
EMPTY = hashlib.sha256(b"").hexdigest()
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """Credentials as a client has them."""

    id: str
    secret: str
    token: str = ""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Keys:
        """Read them from the environment variables of a client."""
        return cls(
            id=variables["AWS_ACCESS_KEY_ID"],
            secret=variables["AWS_SECRET_ACCESS_KEY"],
            token=variables.get("AWS_SESSION_TOKEN", ""),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """
    A request to be signed.

    at: epoch seconds; None is now.  unsigned: headers that are sent and left
    out of the signature.  scope_date: `YYYYMMDD`, where it is not that of `at`.
    declared: `x-amz-content-sha256`; None sends none.
    """

    service: str
    method: str = "POST"
    path: str = "/"
    query: str = ""
    headers: Pairs = ()
    body: bytes = b""
    region: str = "us-east-1"
    host: str = "127.0.0.1"
    at: float | None = None
    unsigned: frozenset[str] = frozenset()
    scope_date: str = ""
    declared: str | None = None
    algorithm: str = ALGORITHM
    extra_after: Pairs = field(default=())
    """Headers that are added once the request is signed."""


def json_call(service: str, target: str, body: object, **more: object) -> Ask:
    """Make a call of the JSON protocol; bytes go as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    version = "1.1" if service in {"logs", "casemate"} else "1.0"
    headers = (
        ("content-type", f"application/x-amz-json-{version}"),
        ("x-amz-target", target),
    )
    return replace(Ask(service=service, headers=headers, body=data), **more)  # type: ignore[arg-type]  # tests hand in members of Ask


def query_call(service: str, body: str | bytes, **more: object) -> Ask:
    """Make a call of the query protocol."""
    data = body if isinstance(body, bytes) else body.encode()
    headers = (("content-type", "application/x-www-form-urlencoded; charset=utf-8"),)
    return replace(Ask(service=service, headers=headers, body=data), **more)  # type: ignore[arg-type]  # tests hand in members of Ask


def identity_call(**more: object) -> Ask:
    """Ask who one is: the smallest call that every principal may make."""
    return query_call("sts", "Action=GetCallerIdentity&Version=2011-06-15", **more)


def stamp(at: float | None) -> str:
    """Write a time as SigV4 does."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))


def _derived(secret: str, *scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope:
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _signature(keys: Keys, ask: Ask, when: str, canonical: str) -> tuple[str, str]:
    date = ask.scope_date or when[:8]
    parts = (date, ask.region, ask.service, "aws4_request")
    scope = "/".join(parts)
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    text = f"{ALGORITHM}\n{when}\n{scope}\n{digest}"
    key = _derived(keys.secret, *parts)
    return scope, hmac.digest(key, text.encode(), "sha256").hex()


def _canonical(ask: Ask, query: str, signed: Pairs, payload: str) -> str:
    path = quote(ask.path, safe="/-_.~")
    pairs = sorted(piece.partition("=")[::2] for piece in query.split("&") if piece)
    lines = "".join(f"{name}:{value}\n" for name, value in signed)
    names = ";".join(name for name, _ in signed)
    joined = "&".join(f"{name}={value}" for name, value in pairs)
    return f"{ask.method}\n{path}\n{joined}\n{lines}\n{names}\n{payload}"


def sign(ask: Ask, keys: Keys) -> bytes:
    """Write the whole request, signed in its headers."""
    when = stamp(ask.at)
    headers: list[tuple[str, str]] = [
        ("host", ask.host),
        ("x-amz-date", when),
        *ask.headers,
    ]
    if keys.token:
        headers.append(("x-amz-security-token", keys.token))
    if ask.declared is not None:
        headers.append(("x-amz-content-sha256", ask.declared))
    signed = tuple(sorted(h for h in headers if h[0] not in ask.unsigned))
    payload = ask.declared or hashlib.sha256(ask.body).hexdigest()
    canonical = _canonical(ask, ask.query, signed, payload)
    scope, signature = _signature(keys, ask, when, canonical)
    names = ";".join(name for name, _ in signed)
    proof = (
        f"{ask.algorithm} Credential={keys.id}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    headers.append(("authorization", proof))
    return written(ask, (*headers, *ask.extra_after))


def presign(ask: Ask, keys: Keys, *, expires: int) -> Ask:
    """Give the request with its signature in the query, for sending or bending."""
    when = stamp(ask.at)
    date = ask.scope_date or when[:8]
    credential = f"{keys.id}/{date}/{ask.region}/{ask.service}/aws4_request"
    members = {
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": credential,
        "X-Amz-Date": when,
        "X-Amz-Expires": str(expires),
        "X-Amz-SignedHeaders": "host",
    }
    if keys.token:
        members["X-Amz-Security-Token"] = keys.token
    added = "&".join(f"{k}={quote(v, safe='-_.~')}" for k, v in members.items())
    query = f"{ask.query}&{added}" if ask.query else added
    payload = hashlib.sha256(ask.body).hexdigest()
    signed = (("host", ask.host),)
    _, signature = _signature(keys, ask, when, _canonical(ask, query, signed, payload))
    return replace(ask, query=f"{query}&X-Amz-Signature={signature}")


def written(ask: Ask, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """Write a request as it is, unsigned but for what the headers hold."""
    given = list(headers) or [("host", ask.host), *ask.headers]
    names = {name.lower() for name, _ in given}
    if not names & {"content-length", "transfer-encoding"}:
        given.append(("content-length", str(len(ask.body))))
    target = f"{ask.path}?{ask.query}" if ask.query else ask.path
    lines = "".join(f"{name}: {value}\r\n" for name, value in given)
    head = f"{ask.method} {target} HTTP/1.1\r\n{lines}\r\n"
    return head.encode("latin-1") + ask.body
