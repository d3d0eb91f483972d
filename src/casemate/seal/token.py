"""
Opaque pagination tokens.

A token is a sealed position: its bearer can neither read it nor change it, and
it opens only for the account, the operation and the query that it was made
for, until it expires.  It holds no authority: whoever brings it is authorized
like any other caller first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass, field
from typing import Protocol, final

from casemate.core.clock import Clock
from casemate.seal.envelope import OVERHEAD, SealError, framed

LONGEST = 8192
"""Characters of a token that are looked at; a longer one is refused unread."""

LIFETIME = 24 * 3600.0
"""Seconds for which a caller may take to ask for the next page."""

_PURPOSE = b"casemate pagination token v1"
_EXPIRY = struct.Struct(">d")


class TokenError(ValueError):
    """The token was not given for this account, operation and query."""


class TokenExpiredError(TokenError):
    """The token is past its time."""


class Sealing(Protocol):
    """What seals and opens: an `Envelope`."""

    def seal(self, key: bytes, data: bytes, context: bytes) -> bytes:
        """Encrypt under a key and a context."""
        ...

    def open(self, key: bytes, sealed: bytes, context: bytes) -> bytes:
        """Decrypt.  Raises SealError."""
        ...


def seal_token(
    key: bytes,
    account: str,
    operation: str,
    query: bytes,
    position: bytes,
    *,
    envelope: Sealing,
    now: float,
) -> str:
    """
    Make a token for the page after a position.

    key: 32 bytes.  operation: `service:Name`.  query: canonical bytes of the
    parameters that must stay the same from page to page.  now: epoch seconds.
    Raises ValueError if the position is too long for a token.
    """
    content = _EXPIRY.pack(now + LIFETIME) + position
    sealed = envelope.seal(key, content, _context(account, operation, query))
    token = base64.urlsafe_b64encode(sealed).rstrip(b"=").decode("ascii")
    if len(token) > LONGEST:
        raise ValueError(f"a position of {len(position)} bytes is too long for a token")
    return token


def open_token(
    key: bytes,
    account: str,
    operation: str,
    query: bytes,
    token: str,
    *,
    envelope: Sealing,
    now: float,
) -> bytes:
    """
    Read the position back.

    Raises TokenError for anything that is not the token of this account,
    operation and query, with one reason for all, and TokenExpiredError.
    """
    context = _context(account, operation, query)
    try:
        content = envelope.open(key, _decoded(token), context)
    except SealError:
        raise TokenError("the token is not one of this query") from None
    if _EXPIRY.unpack_from(content)[0] <= now:
        raise TokenExpiredError("the token has expired; start from the first page")
    return content[_EXPIRY.size :]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Seals positions for those who list, under one key."""

    key: bytes = field(repr=False)
    envelope: Sealing
    clock: Clock

    def seal(
        self, account: str, operation: str, query: bytes, position: bytes, /
    ) -> str:
        """Make a token for the page after a position."""
        return seal_token(
            self.key,
            account,
            operation,
            query,
            position,
            envelope=self.envelope,
            now=self.clock.now(),
        )

    def open(self, account: str, operation: str, query: bytes, given: str, /) -> bytes:
        """Give the position back.  Raises TokenError."""
        return open_token(
            self.key,
            account,
            operation,
            query,
            given,
            envelope=self.envelope,
            now=self.clock.now(),
        )


def _context(account: str, operation: str, query: bytes) -> bytes:
    digest = hashlib.sha256(query).digest()
    return framed(_PURPOSE, account.encode(), operation.encode(), digest)


def _decoded(token: str) -> bytes:
    if len(token) > LONGEST:
        raise TokenError("the token is not one of this query")
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        sealed = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise TokenError("the token is not one of this query") from None
    if len(sealed) < OVERHEAD + _EXPIRY.size:
        raise TokenError("the token is not one of this query")
    return sealed
