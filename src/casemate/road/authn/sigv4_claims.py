"""
What a request claims: its credential, its scope, its time and its signature.

Nothing here is believed; `sigv4.verify` proves it.  There is one claim or a
refusal: a request with two `Authorization` headers, or with both the header
form and the query form, could be read as either and is refused.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-authentication-methods.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, final
from urllib.parse import unquote

from casemate.core.call import Request
from casemate.road.authn.sigv4_faults import Dialect, Fault, refusal

ALGORITHM: Final = "AWS4-HMAC-SHA256"
TERMINATOR: Final = "aws4_request"
LONGEST_EXPIRY: Final = 604_800
"""Seconds that a presigned request may be good for: 7 days, AWS's limit."""

_CREDENTIAL = re.compile(
    r"([A-Za-z0-9_]{1,128})/([0-9]{8})/([a-z0-9-]{1,64})/([a-z0-9-]{1,64})/([a-z0-9_]{1,32})\Z"
)
_LONGEST: Final = 300
"""Characters of a credential: no sound one has more."""
_REMEMBERED: Final = 512
"""Characters of a list of headers that is remembered."""
_SIGNED_HEADERS = re.compile(r"[!-9<-@\[-~]{1,128}(?:;[!-9<-@\[-~]{1,128}){0,127}\Z")
_SIGNATURE = re.compile(r"[0-9a-f]{64}\Z")
_BASIC_TIME = re.compile(
    r"([0-9]{4})([0-9]{2})([0-9]{2})T([0-9]{2})([0-9]{2})([0-9]{2})Z\Z"
)
_HTTP_DATE = re.compile(
    r"[A-Z][a-z]{2}, ([0-9]{2}) ([A-Z][a-z]{2}) ([0-9]{4}) "
    r"([0-9]{2}):([0-9]{2}):([0-9]{2}) (?:GMT|[+-]0000)\Z"
)
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)
_EXPIRES = re.compile(r"[0-9]{1,6}\Z")
_HEADER_PARTS: Final = frozenset({"Credential", "SignedHeaders", "Signature"})
_QUERY_PARTS: Final = {
    name.lower(): name
    for name in (
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
        "X-Amz-Security-Token",
    )
}
_ONCE: Final = frozenset(
    {
        *("authorization", "host", "x-amz-date", "date"),
        *("x-amz-security-token", "x-amz-content-sha256"),
    }
)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """
    What is claimed.

    date: the scope's day, `YYYYMMDD`; region, service: the scope's.
    stamp: `YYYYMMDDTHHMMSSZ`, as it goes into the string to sign; at: the
    same in epoch seconds.  signed_headers: lower case, sorted, distinct.
    token: the session token, or None.  expires: seconds a presigned request is
    good for; None in the header form.
    """

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    stamp: str
    at: int
    token: str | None
    expires: int | None

    @property
    def scope(self) -> str:
        """Give the credential scope: `date/region/service/aws4_request`."""
        return f"{self.date}/{self.region}/{self.service}/{TERMINATOR}"


def parse(request: Request, *, dialect: Dialect = Dialect.JSON) -> Claims:
    """
    Read what a request claims.

    dialect: whose error codes to use.  Raises Unauthenticated.
    """
    headers = _once(request, dialect)
    query = _query_parts(request.query, dialect)
    authorization = headers.get("authorization")
    if authorization is not None and query:
        raise refusal(
            Fault.INCOMPLETE,
            "the request has both an `Authorization` header and `X-Amz-…` query "
            "parameters; sign it one way",
            dialect,
        )
    if query:
        return _from_query(query, headers, dialect)
    if authorization is None:
        raise refusal(
            Fault.MISSING,
            f"the request is not signed; sign it with {ALGORITHM}",
            dialect,
        )
    return _from_header(authorization, headers, dialect)


def _once(request: Request, dialect: Dialect) -> dict[str, str]:
    """Index the headers that count here; refuse any of them that is there twice."""
    found: dict[str, str] = {}
    for name, value in request.headers:
        if name in _ONCE:
            if name in found:
                raise refusal(
                    Fault.INCOMPLETE, f"the header `{name}` is there twice", dialect
                )
            found[name] = value
    return found


def _from_header(value: str, headers: dict[str, str], dialect: Dialect) -> Claims:
    algorithm, _, rest = value.partition(" ")
    if algorithm != ALGORITHM:
        raise refusal(Fault.INCOMPLETE, _not_ours(algorithm), dialect)
    parts: dict[str, str] = {}
    for piece in rest.split(",", 8):
        name, equals, given = piece.strip(" ").partition("=")
        if not equals or name not in _HEADER_PARTS or name in parts:
            raise refusal(
                Fault.INCOMPLETE,
                "`Authorization` must have `Credential`, `SignedHeaders` and "
                "`Signature`, each once",
                dialect,
            )
        parts[name] = given
    for name in ("Credential", "SignedHeaders", "Signature"):
        if name not in parts:
            raise refusal(
                Fault.INCOMPLETE, f"`Authorization` requires `{name}`", dialect
            )
    stamp, at = _time(headers, dialect)
    return _claims(
        parts["Credential"],
        parts["SignedHeaders"],
        parts["Signature"],
        (stamp, at),
        headers.get("x-amz-security-token"),
        None,
        dialect,
    )


def _from_query(
    parts: dict[str, str], headers: dict[str, str], dialect: Dialect
) -> Claims:
    if parts.get("X-Amz-Algorithm") != ALGORITHM:
        raise refusal(
            Fault.INCOMPLETE, _not_ours(parts.get("X-Amz-Algorithm", "")), dialect
        )
    for name in _QUERY_PARTS.values():
        if name not in parts and name != "X-Amz-Security-Token":
            raise refusal(
                Fault.INCOMPLETE, f"a presigned request requires `{name}`", dialect
            )
    if "x-amz-security-token" in headers or "x-amz-date" in headers:
        raise refusal(
            Fault.INCOMPLETE,
            "a presigned request has its date and token in the query, not in headers",
            dialect,
        )
    expires = parts["X-Amz-Expires"]
    if not _EXPIRES.match(expires) or not 1 <= int(expires) <= LONGEST_EXPIRY:
        raise refusal(
            Fault.INCOMPLETE,
            f"`X-Amz-Expires` must be 1 to {LONGEST_EXPIRY} seconds",
            dialect,
        )
    return _claims(
        parts["X-Amz-Credential"],
        parts["X-Amz-SignedHeaders"],
        parts["X-Amz-Signature"],
        _basic(parts["X-Amz-Date"], dialect),
        parts.get("X-Amz-Security-Token"),
        int(expires),
        dialect,
    )


def _query_parts(query: str, dialect: Dialect) -> dict[str, str]:
    """Take the authentication parameters out of a query; each at most once."""
    if not query or "x-amz-" not in query.lower().replace("%2d", "-"):
        return {}
    found: dict[str, str] = {}
    for piece in query.split("&"):
        name, _, value = piece.partition("=")
        decoded = unquote(name, encoding="latin-1")
        known = _QUERY_PARTS.get(decoded.lower())
        if known is None:
            continue
        if known != decoded or known in found:
            raise refusal(
                Fault.INCOMPLETE,
                f"the query parameter `{known}` must be there once, spelled so",
                dialect,
            )
        found[known] = unquote(value, encoding="latin-1")
    return found


def _claims(
    credential: str,
    signed_headers: str,
    signature: str,
    time: tuple[str, int],
    token: str | None,
    expires: int | None,
    dialect: Dialect,
) -> Claims:
    scope = _credential(credential) if len(credential) <= _LONGEST else None
    if scope is None:
        raise refusal(
            Fault.INCOMPLETE,
            "the credential must be `KEY/YYYYMMDD/region/service/aws4_request`",
            dialect,
        )
    key, date, region, service, terminator = scope
    if terminator != TERMINATOR:
        raise refusal(
            Fault.SCOPE, f"the credential's scope must end in `{TERMINATOR}`", dialect
        )
    if _SIGNATURE.match(signature) is None:
        raise refusal(
            Fault.INCOMPLETE,
            "the signature must be 64 hexadecimal digits in lower case",
            dialect,
        )
    stamp, at = time
    return Claims(
        access_key_id=key,
        date=date,
        region=region,
        service=service,
        signed_headers=_names(signed_headers, dialect),
        signature=signature,
        stamp=stamp,
        at=at,
        token=token,
        expires=expires,
    )


@lru_cache(maxsize=1024)
def _credential(text: str) -> tuple[str, ...] | None:
    """Take a credential apart; the calls of one caller bring the same."""
    found = _CREDENTIAL.match(text)
    return found.groups() if found else None


def _names(text: str, dialect: Dialect) -> tuple[str, ...]:
    names = _listed(text) if len(text) <= _REMEMBERED else _listed.__wrapped__(text)
    if names is None:
        raise refusal(
            Fault.INCOMPLETE,
            "`SignedHeaders` must be names in lower case, sorted, each once",
            dialect,
        )
    return names


@lru_cache(maxsize=1024)
def _listed(text: str) -> tuple[str, ...] | None:
    """Give the names of a sound list; the calls of one client bring the same."""
    names = text.split(";")
    if (
        _SIGNED_HEADERS.match(text) is None
        or text.lower() != text
        or sorted(set(names)) != names
        or "authorization" in names
    ):
        return None
    return tuple(names)


def _time(headers: dict[str, str], dialect: Dialect) -> tuple[str, int]:
    """Read `x-amz-date`, or `date` where there is none."""
    if "x-amz-date" in headers:
        return _basic(headers["x-amz-date"], dialect)
    if "date" not in headers:
        raise refusal(
            Fault.INCOMPLETE, "the request requires `X-Amz-Date` or `Date`", dialect
        )
    value = headers["date"]
    if _BASIC_TIME.match(value):
        return _basic(value, dialect)
    found = _HTTP_DATE.match(value)
    if found is None or found[2] not in _MONTHS:
        raise refusal(
            Fault.INCOMPLETE,
            "the date must be written `Sun, 06 Nov 1994 08:49:37 GMT`",
            dialect,
        )
    day, month, year, *clock = found.groups()
    number = _MONTHS.index(month) + 1
    return _basic(f"{year}{number:02}{day}T{''.join(clock)}Z", dialect)


def _basic(text: str, dialect: Dialect) -> tuple[str, int]:
    at = _epoch(text)
    if at is None:
        raise refusal(
            Fault.INCOMPLETE,
            "the date must be written `YYYYMMDDTHHMMSSZ`, in UTC",
            dialect,
        )
    return text, at


@lru_cache(maxsize=1024)
def _epoch(text: str) -> int | None:
    """Read a date in basic form; calls of one second share the work."""
    found = _BASIC_TIME.match(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = map(int, found.groups())
    try:
        moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None
    return int(moment.timestamp())


def _not_ours(algorithm: str) -> str:
    if "ECDSA" in algorithm:
        return f"Signature Version 4A is not supported; sign with `{ALGORITHM}`"
    return f"the algorithm `{algorithm[:32]}` is not supported; sign with `{ALGORITHM}`"
