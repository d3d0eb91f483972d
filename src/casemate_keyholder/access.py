"""
Access keys, sessions, and the signing keys of SigV4.

Nothing is stored.  The secret of an access key is an HMAC of its id; a session
token is its claims, sealed, with the session's access key id as associated
data, and the session's secret is an HMAC of the id and the token.  Whether
an access key is active, and whose it is, is the node's record.

Source of the key chain:
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Self, final

from casemate_keyholder.clock import Clock, HighWater
from casemate_keyholder.refusal import RefusedError
from casemate_keyholder.root import Root, SealBrokenError, Sealer

Claims = dict[str, object]

CLAIMS_LIMIT = 8192
"""Bytes of a session's claims as compact JSON."""
LONGEST_SESSION = 43_200
"""Seconds: AWS's own bound, 12 hours."""
TOKEN_LIMIT = 12_288
_ID = re.compile(r"(AKIA|ASIA)[A-Z2-7]{16}\Z")
_TOKEN = re.compile(r"[A-Za-z0-9_-]+\Z")
_DATE = re.compile(r"[0-9]{8}\Z")
_SCOPE_WORD = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")
_SECRET_BYTES = 30
# A presigned URL lives for 7 days at most and clocks differ by minutes: the
# days on either side of that are nobody's, and a taken node that asks ahead
# for the keys of days to come must not get them.
_DAYS_BACK, _DAYS_AHEAD = 8, 1


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Credentials of a session.  expires_at: epoch seconds."""

    access_key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """The key of a day, region and service; claims only of a session."""

    key: bytes = field(repr=False)
    claims: Claims | None
    expires_at: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Derives the secrets of access keys and sessions."""

    secrets_key: bytes = field(repr=False)
    tokens: Sealer
    clock: Clock
    high_water: HighWater

    @classmethod
    def under(cls, root: Root, clock: Clock, high_water: HighWater) -> Self:
        """Take the subkeys of this purpose."""
        return cls(
            secrets_key=root.subkey("access key secrets"),
            tokens=root.sealer("session tokens"),
            clock=clock,
            high_water=high_water,
        )

    def new(self) -> tuple[str, str]:
        """Make a long-term access key: its id and its secret."""
        access_key_id = _new_id("AKIA")
        return access_key_id, self._secret(access_key_id, b"")

    def session(self, claims: Claims, seconds: int) -> Session:
        """Make a session of `seconds`.  Raises RefusedError: claims too large."""
        expires_at = int(self.high_water.now()) + seconds
        written = _compact(claims)
        if len(written) > CLAIMS_LIMIT:
            raise RefusedError(
                "TooLarge", f"the claims of a session are over {CLAIMS_LIMIT} bytes"
            )
        plain = b'{"claims":%b,"expires_at":%d}' % (written, expires_at)
        access_key_id = _new_id("ASIA")
        sealed = self.tokens.seal(plain, access_key_id)
        return Session(
            access_key_id=access_key_id,
            secret=self._secret(access_key_id, sealed),
            token=_unpadded(sealed),
            expires_at=expires_at,
        )

    def signing_key(
        self,
        access_key_id: str,
        token: str | None,
        date: str,
        region: str,
        service: str,
    ) -> SigningKey:
        """
        Derive the SigV4 key of a credential scope.

        Raises RefusedError: InvalidClientTokenId, ExpiredToken, and
        SignatureDoesNotMatch for a scope that no signature may have today.
        """
        # (1) An id of our form; a session's id has its token, another has none.
        self._must_be_scope(date, region, service)
        matched = _ID.match(access_key_id)
        if matched is None or (matched[1] == "ASIA") != (token is not None):
            raise _invalid_token()
        claims, expires_at, sealed = None, None, b""
        if token is not None:
            # (2) The token was made here, for this id, and is unaltered.
            sealed = _sealed_bytes(token)
            claims, expires_at = self._open(access_key_id, sealed)
            # (3) It has not expired, by a clock that does not go back.
            if self.high_water.now() >= expires_at:
                self.high_water.expired()
                raise RefusedError("ExpiredToken", "the session token has expired")
        # (4) The chain: date, region, service, terminator.
        key = b"AWS4" + self._secret(access_key_id, sealed).encode()
        for word in (date, region, service, "aws4_request"):
            key = hmac.digest(key, word.encode(), "sha256")
        return SigningKey(key=key, claims=claims, expires_at=expires_at)

    def _open(self, access_key_id: str, sealed: bytes) -> tuple[Claims, int]:
        try:
            opened = json.loads(self.tokens.open(sealed, access_key_id))
        except SealBrokenError:
            raise _invalid_token() from None
        return opened["claims"], opened["expires_at"]

    def _secret(self, access_key_id: str, sealed: bytes) -> str:
        """Derive 40 characters, of the base64 alphabet, from an id and its token."""
        message = access_key_id.encode() + b"\0" + sealed
        derived = hmac.digest(self.secrets_key, message, "sha256")
        return base64.b64encode(derived[:_SECRET_BYTES]).decode()

    def _must_be_scope(self, date: str, region: str, service: str) -> None:
        if not (_SCOPE_WORD.match(region) and _SCOPE_WORD.match(service)):
            raise _no_scope("the region or service of the credential scope is no name")
        try:
            day = datetime.strptime(date, "%Y%m%d").replace(tzinfo=UTC)
        except ValueError:
            day = None
        if day is None or not _DATE.match(date):
            raise _no_scope("the date of the credential scope is not YYYYMMDD")
        # The host's clock, not the high water: a mark left far ahead must not
        # lock every caller out.
        today = datetime.fromtimestamp(self.clock.now(), UTC)
        if not -_DAYS_AHEAD - 1 < (today - day).days <= _DAYS_BACK:
            raise _no_scope("no signature of today has this date in its scope")


def _no_scope(reason: str) -> RefusedError:
    return RefusedError("SignatureDoesNotMatch", reason)


def _invalid_token() -> RefusedError:
    return RefusedError(
        "InvalidClientTokenId", "the security token included in the request is invalid"
    )


def _new_id(prefix: str) -> str:
    """Make an id of 80 random bits: 16 characters of A to Z and 2 to 7."""
    return prefix + base64.b32encode(secrets.token_bytes(10)).decode()


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _unpadded(sealed: bytes) -> str:
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def _sealed_bytes(token: str) -> bytes:
    """
    Read base64url in its one canonical form.

    The last character may hide unused bits: a token that is written
    differently is another token, though it decodes to the same bytes.
    """
    if len(token) > TOKEN_LIMIT or not _TOKEN.match(token):
        raise _invalid_token()
    try:
        sealed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    except binascii.Error:
        raise _invalid_token() from None
    if _unpadded(sealed) != token:
        raise _invalid_token()
    return sealed
