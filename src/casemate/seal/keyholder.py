"""
The node's side of the keyholder: its verbs as coroutines.

    KeyholderError
    ├── KeyholderRefusedError   it said no; `code` says which no
    └── KeyholderGoneError      it is dead, silent or incoherent: refuse

There is nothing here to fall back on.  A caller that gets KeyholderGoneError
refuses its own caller.  An answer whose members are not as agreed counts as
gone too: what cannot be understood is not believed.
"""

from __future__ import annotations

import base64
import binascii
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from casemate.core.line import Line, Peer


class KeyholderError(Exception):
    """The keyholder did not do what it was asked."""


@final
class KeyholderRefusedError(KeyholderError):
    """
    The keyholder said no.

    code: `InvalidClientTokenId`, `ExpiredToken`, `SignatureDoesNotMatch` (of
    `signing_key`), `WrongContext`, `NameNotPermitted`, `RolledBack`, `Forked`,
    `TooLarge`, `Throttled`, `Malformed`, `Unrecorded`, `Unavailable`,
    `Internal`.  reason: for people.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


@final
class KeyholderGoneError(KeyholderError):
    """The keyholder is dead, silent or incoherent."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class DataKey:
    """An AES-256 key (32 bytes) and its wrapping."""

    plaintext: bytes = field(repr=False)
    wrapped: bytes


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A long-term access key."""

    access_key_id: str
    secret: str = field(repr=False)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionCredentials:
    """Credentials that end at `expires_at` (epoch seconds)."""

    access_key_id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)
    expires_at: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """
    The SigV4 key (32 bytes) of one access key, day, region and service.

    claims and expires_at (epoch seconds): of a session, else None.
    """

    key: bytes = field(repr=False)
    claims: Mapping[str, object] | None
    expires_at: float | None


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A certificate with its intermediate, and its key, as PEM."""

    certificate_chain: str
    private_key: str = field(repr=False)
    not_after: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """An Ed25519 signature (64 bytes) over `statement`, canonical JSON."""

    statement: bytes
    signature: bytes
    key_id: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """The root certificate and the audit key, as PEM."""

    ca: str
    audit_key: str
    audit_key_id: str


@final
class Answer:
    """The members of an answer, read by type; another type is incoherent."""

    def __init__(self, members: Mapping[str, object]) -> None:
        self._members = members

    def text(self, name: str) -> str:
        """Give a string."""
        value = self._members.get(name)
        if not isinstance(value, str):
            raise KeyholderGoneError(f"the keyholder's answer has no `{name}`")
        return value

    def bytes(self, name: str) -> bytes:
        """Give base64 as bytes."""
        try:
            return base64.b64decode(self.text(name), validate=True)
        except (binascii.Error, ValueError) as error:
            raise KeyholderGoneError(f"`{name}` is not base64") from error

    def number(self, name: str) -> float:
        """Give a number."""
        value = self._members.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise KeyholderGoneError(f"the keyholder's answer has no `{name}`")
        return value

    def claims(self) -> Mapping[str, object] | None:
        """Give the claims of a session, or None."""
        value = self._members.get("claims")
        if value is not None and not isinstance(value, dict):
            raise KeyholderGoneError("the keyholder's `claims` are no object")
        return value


@final
class Keyholder:
    """
    Speaks to the keyholder over its socket.

    Made within a running loop, which it uses; takes the socket over.  timeout:
    seconds for one answer.
    """

    def __init__(self, sock: socket.socket, timeout: float = 5.0) -> None:
        self._timeout = timeout
        self._line = Line(
            sock,
            Peer(
                name="the keyholder",
                refused=KeyholderRefusedError,
                gone=KeyholderGoneError,
                descriptors=0,
            ),
        )
        self._line.start()

    def close(self) -> None:
        """End the connection; what waits gets KeyholderGoneError."""
        self._line.end("the connection was closed")

    async def data_key_new(self, context: str) -> DataKey:
        """Make a data key, bound to a context (1 to 1,024 characters)."""
        answer = await self._ask("data_key_new", context=context)
        return DataKey(
            plaintext=answer.bytes("plaintext"), wrapped=answer.bytes("wrapped")
        )

    async def data_key_open(self, context: str, wrapped: bytes) -> bytes:
        """Unwrap a data key under its context.  Refused: WrongContext."""
        wrapping = base64.b64encode(wrapped).decode()
        answer = await self._ask("data_key_open", context=context, wrapped=wrapping)
        return answer.bytes("plaintext")

    async def access_key_new(self) -> AccessKey:
        """Make a long-term access key, `AKIA…`."""
        answer = await self._ask("access_key_new")
        return AccessKey(
            access_key_id=answer.text("access_key_id"), secret=answer.text("secret")
        )

    async def session_new(
        self, claims: Mapping[str, object], seconds: int
    ) -> SessionCredentials:
        """Make a session, `ASIA…`, of 1 to 43,200 seconds; claims to 8 KiB."""
        answer = await self._ask("session_new", claims=dict(claims), seconds=seconds)
        return SessionCredentials(
            access_key_id=answer.text("access_key_id"),
            secret=answer.text("secret"),
            token=answer.text("token"),
            expires_at=answer.number("expires_at"),
        )

    async def signing_key(
        self,
        access_key_id: str,
        token: str | None,
        date: str,
        region: str,
        service: str,
    ) -> SigningKey:
        """
        Give the signing key of a credential scope (date: YYYYMMDD).

        Refused: InvalidClientTokenId, ExpiredToken, SignatureDoesNotMatch (a
        date that no signature of today may have, a region that is no name).
        """
        answer = await self._ask(
            "signing_key",
            access_key_id=access_key_id,
            token=token,
            date=date,
            region=region,
            service=service,
        )
        claims = answer.claims()
        return SigningKey(
            key=answer.bytes("key"),
            claims=claims,
            expires_at=None if claims is None else answer.number("expires_at"),
        )

    async def leaf(self, authority: str, names: Sequence[str]) -> Leaf:
        """Issue a server's leaf of `edge` or `cell`.  Refused: NameNotPermitted."""
        answer = await self._ask("leaf", authority=authority, names=list(names))
        return Leaf(
            certificate_chain=answer.text("certificate_chain"),
            private_key=answer.text("private_key"),
            not_after=answer.number("not_after"),
        )

    async def checkpoint(self, count: int, head: str, at: float) -> SignedCheckpoint:
        """Sign the audit chain's length and head.  Refused: RolledBack, Forked."""
        answer = await self._ask("checkpoint", count=count, head=head, at=at)
        return SignedCheckpoint(
            statement=answer.bytes("statement"),
            signature=answer.bytes("signature"),
            key_id=answer.text("key_id"),
        )

    async def public(self) -> PublicKeys:
        """Give what everybody may know."""
        answer = await self._ask("public")
        return PublicKeys(
            ca=answer.text("ca"),
            audit_key=answer.text("audit_key"),
            audit_key_id=answer.text("audit_key_id"),
        )

    async def _ask(self, verb: str, **members: object) -> Answer:
        answer = await self._line.ask(verb, members, seconds=self._timeout)
        return Answer(answer.ok)
