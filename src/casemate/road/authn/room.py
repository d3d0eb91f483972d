"""
The authn room: from an arrival's claim to a principal.

1. An inside caller is a service of the platform, or a session that it made of a
   role it may assume; no network byte makes one.
2. A client that has failed too often (an IPv6 one is its /64) is asked for a
   proof that costs nobody else anything: a key that is here already.  Who has
   one goes on; every other is told to wait, whatever was wrong.
3. The scope and the time are held to what is served, before anything is
   derived: nobody makes the keyholder derive for other days or regions.
4. A long-lived access key must be on record, active, and its user must exist,
   so that guessed ids cost the keyholder nothing.
5. The keyholder derives the day's signing key, and proves a session's token;
   both are cached for their day, and with them who the claims speak of.
6. The signature is held against the request (`sigv4`).
7. A session holds until it expires, by the latest time that was ever seen
   here: a clock set back revives nothing.
8. It holds while its role exists with the same unique id.
9. If it is bound to a cell, it holds on that cell's descriptor only.
10. Where the operator wants it, a signature is taken once (`replay`).

What is not done here: what the principal may do.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Protocol, final

from casemate.core.bucket import Bucket
from casemate.core.call import Acting, Arrival, Inside, Known, Request
from casemate.core.clock import Clock
from casemate.core.errors import Refusal, Throttled, Unauthenticated, Unavailable
from casemate.core.network import client_of
from casemate.core.principal import Kind, Principal
from casemate.core.session import ClaimsError, SessionClaims
from casemate.road.authn import sigv4
from casemate.road.authn.replay import Replays
from casemate.road.authn.sigv4 import Claims, Dialect, Expectations

_CACHED: Final = 10_000
_CLIENTS: Final = 10_000
FAILURES: Final = 200
"""Failed proofs that a client may make at once; after that, `RATE` a second."""
RATE: Final = 5.0
_GLOBAL: Final = frozenset({"iam", "sts"})
"""Services that take us-east-1's scope in every region."""


class AccessKey(Protocol):
    """Whose a long-lived access key is."""

    @property
    def account(self) -> str: ...
    @property
    def user_name(self) -> str: ...
    @property
    def user_arn(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def active(self) -> bool: ...


class Exists(Protocol):
    """Tells whether a principal is still there."""

    @property
    def exists(self) -> bool: ...


class Directory(Protocol):
    """Knows access keys and principals."""

    def access_key(self, access_key_id: str, /) -> AccessKey | None: ...
    def identity(self, principal: Principal, /) -> Exists: ...


class SigningKey(Protocol):
    """A day's key, and a session's claims."""

    @property
    def key(self) -> bytes: ...
    @property
    def claims(self) -> Mapping[str, object] | None: ...
    @property
    def expires_at(self) -> float | None: ...


class RefusedKeyError(Exception):
    """The keyholder has no key for this.  code: AWS's, or `Throttled`."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Keys(Protocol):
    """Derives signing keys; raises RefusedKeyError."""

    async def signing_key(
        self,
        access_key_id: str,
        token: str | None,
        date: str,
        region: str,
        service: str,
    ) -> SigningKey: ...


_Scope = tuple[str, str | None, str, str, str]


@final
@dataclass(slots=True)
class _Held:
    """
    A signing key that the keyholder gave, and who its claims speak of.

    principal: None until it was first needed.  It is only who that is: whether
    they still may come is looked at every time.
    """

    key: SigningKey
    principal: Principal | None = None


_Proof = tuple[Claims, AccessKey | None, _Held]
"""Whose signature it was: what it claims, its user, the key."""


@final
class Authn:
    """Prove who sends a call."""

    def __init__(
        self,
        *,
        keys: Keys,
        directory: Directory,
        clock: Clock,
        region: str,
        replays: Replays | None = None,
    ) -> None:
        """replays: remembers signatures, where each is to be taken once."""
        self._keys = keys
        self._directory = directory
        self._clock = clock
        self._region = region
        self._replays = replays
        self._cache: OrderedDict[_Scope, _Held] = OrderedDict()
        self._sessions: OrderedDict[str, None] = OrderedDict()
        self._expectations: dict[str, Expectations] = {}
        self._failures: OrderedDict[str, Bucket] = OrderedDict()
        self._latest = 0.0

    async def __call__(self, arrival: Arrival) -> Known:
        """Give the known call, or raise Unauthenticated."""
        claim = arrival.claim
        if isinstance(claim, Inside):  # (1)
            return Known(arrival=arrival, principal=self._inside(claim))
        client = claim.cell or client_of(claim.peer)
        try:
            proof = await self._prove(arrival, claim, waits=self._waits(client))
            principal = self._who(proof, claim.cell)
        except Unauthenticated:
            self._failed(client)
            raise
        operation = arrival.operation
        if self._replays is not None and not operation.reads:  # (10)
            dialect = self._expected(operation.service).dialect
            now = self._clock.now()
            self._replays.take(proof[0], principal.account, now, dialect)
        return Known(arrival=arrival, principal=principal)

    def is_familiar(self, access_key_id: str) -> bool:
        """
        Tell whether an access key is one of somebody here: no proof, and no secret.

        A user's key is on record; a session is known once its token was proven.
        """
        if access_key_id in self._sessions:
            return True
        user = self._directory.access_key(access_key_id)
        return user is not None and user.active

    def _inside(self, claim: Inside) -> Principal:
        if claim.acting is None:
            return _service(claim.service, claim.account)
        principal = _acting(claim, claim.acting)
        if not self._directory.identity(principal).exists:  # (8)
            raise _invalid_token("the role of the session does not exist any more")
        return principal

    async def _prove(
        self, arrival: Arrival, request: Request, *, waits: bool
    ) -> _Proof:
        """Prove the signature; who waits (2) is told no more than to wait."""
        try:
            return await self._proof(arrival, request, waits=waits)
        except Unauthenticated as failed:
            if waits:
                raise _wait() from failed
            raise

    async def _proof(
        self, arrival: Arrival, request: Request, *, waits: bool
    ) -> _Proof:
        expectations = self._expected(arrival.operation.service)
        claims = sigv4.parse(request, dialect=expectations.dialect)
        sigv4.precheck(claims, self._clock.now(), expectations)  # (3)
        user = None
        if claims.token is None:
            user = self._user(claims)  # (4)
        held = await self._key(claims, waits=waits)  # (5)
        now = self._clock.now()
        self._latest = max(self._latest, now)
        sigv4.verify(request, claims, held.key.key, now, expectations)  # (6)
        return claims, user, held

    def _who(self, proof: _Proof, cell: str | None) -> Principal:
        claims, user, held = proof
        access_key_id = claims.access_key_id
        if user is None:
            return self._session(access_key_id, held, cell)
        principal = held.principal
        if principal is None or not _is(principal, user):
            principal = held.principal = _user_principal(access_key_id, user)
        return principal

    def _user(self, claims: Claims) -> AccessKey:
        user = self._directory.access_key(claims.access_key_id)
        if user is None or not user.active:
            raise _invalid_token(
                "no such access key" if user is None else "the access key is inactive"
            )
        return user

    async def _key(self, claims: Claims, *, waits: bool) -> _Held:
        scope = (
            claims.access_key_id,
            claims.token,
            claims.date,
            claims.region,
            claims.service,
        )
        if held := self._cache.get(scope):
            self._cache.move_to_end(scope)
            return held
        if waits:
            raise _wait()
        try:
            held = _Held(await self._keys.signing_key(*scope))
        except RefusedKeyError as error:
            raise _unkeyed(error) from error
        self._cache[scope] = held
        if claims.token is not None:
            self._sessions[claims.access_key_id] = None
            if len(self._sessions) > _CACHED:
                self._sessions.popitem(last=False)
        if len(self._cache) > _CACHED:
            self._cache.popitem(last=False)
        return held

    def _session(self, access_key_id: str, held: _Held, cell: str | None) -> Principal:
        expires_at = held.key.expires_at
        if held.key.claims is None or expires_at is None:
            raise _invalid_token("the session has no claims")
        if self._latest >= expires_at:  # (7)
            raise Unauthenticated(
                "the security token included in the request is expired; "
                "get a new session",
                code="ExpiredToken",
            )
        principal = held.principal
        if principal is None:
            principal = _session_principal(access_key_id, held.key.claims, expires_at)
            held.principal = principal
        if not self._directory.identity(principal).exists:  # (8)
            raise _invalid_token("the role of the session does not exist any more")
        if principal.cell is not None and principal.cell != cell:  # (9)
            raise _invalid_token(
                "a cell's credentials were used out of place",
                bound_to=principal.cell,
                used_in=cell or "outside",
                role=principal.role_arn,
                provenAccount=principal.account,
            )
        return principal

    def _expected(self, service: str) -> Expectations:
        found = self._expectations.get(service)
        if found is None:
            regions = (
                {self._region, "us-east-1"} if service in _GLOBAL else {self._region}
            )
            found = self._expectations[service] = Expectations(
                service=service,
                regions=frozenset(regions),
                dialect=Dialect.QUERY if service in _GLOBAL else Dialect.JSON,
            )
        return found

    def _waits(self, client: str) -> bool:
        bucket = self._failures.get(client)
        return bucket is not None and bucket.is_empty(self._clock.monotonic())

    def _failed(self, client: str) -> None:
        now = self._clock.monotonic()
        bucket = self._failures.pop(client, None) or Bucket.full(RATE, FAILURES, now)
        bucket.take(now)
        self._failures[client] = bucket
        if len(self._failures) > _CLIENTS:
            self._failures.popitem(last=False)


def _wait() -> Throttled:
    return Throttled(
        "too many requests from this address failed to prove who they are; "
        "wait, and check the credentials",
        retry_after=math.ceil(1 / RATE),
    )


def _invalid_token(cause: str, **evidence: object) -> Unauthenticated:
    # One answer for every cause: which one it was is the record's to know.
    return Unauthenticated(
        "the security token included in the request is invalid; check the access "
        "key and, if there is one, the session token",
        code="InvalidClientTokenId",
        evidence={"cause": cause, **evidence},
    )


def _unkeyed(error: RefusedKeyError) -> Refusal:
    if error.code == "Throttled":
        return Throttled("the keyholder is asked too often; try again", retry_after=1)
    if error.code == "ExpiredToken":
        return Unauthenticated(
            "the security token included in the request is expired; get a new session",
            code="ExpiredToken",
        )
    if error.code == "SignatureDoesNotMatch":
        return Unauthenticated(error.reason, code="SignatureDoesNotMatch")
    if error.code == "InvalidClientTokenId":
        return _invalid_token(error.reason)
    return Unavailable(
        "the keyholder does not answer, so nobody can be known; ask the operator",
        evidence={"cause": f"{error.code}: {error.reason}"},
    )


@lru_cache(maxsize=1024)
def _service(service: str, account: str) -> Principal:
    return Principal(
        kind=Kind.SERVICE, account=account, arn="", id=service, name=service
    )


def _acting(claim: Inside, acting: Acting) -> Principal:
    session = SessionClaims(
        account=claim.account,
        role_arn=acting.role_arn,
        role_id=acting.role_id,
        session_name=acting.session_name,
        issued_at=acting.issued_at,
    )
    return Principal(
        kind=Kind.SESSION,
        account=session.account,
        arn=session.arn,
        id=session.id,
        name=session.role_name,
        role_arn=session.role_arn,
        session_name=session.session_name,
        issued_at=session.issued_at,
    )


def _is(principal: Principal, user: AccessKey) -> bool:
    """Tell whether a principal is the user whom the directory names now."""
    return (principal.account, principal.arn, principal.id, principal.name) == (
        user.account,
        user.user_arn,
        user.user_id,
        user.user_name,
    )


def _user_principal(access_key_id: str, user: AccessKey) -> Principal:
    return Principal(
        kind=Kind.USER,
        account=user.account,
        arn=user.user_arn,
        id=user.user_id,
        name=user.user_name,
        access_key_id=access_key_id,
    )


def _session_principal(
    access_key_id: str, told: Mapping[str, object], expires_at: float
) -> Principal:
    try:
        claims = SessionClaims.from_json(told)
    except ClaimsError as error:
        raise _invalid_token(str(error)) from error
    return Principal(
        kind=Kind.SESSION,
        account=claims.account,
        arn=claims.arn,
        id=claims.id,
        name=claims.role_name,
        access_key_id=access_key_id,
        role_arn=claims.role_arn,
        session_name=claims.session_name,
        session_policies=claims.session_policies,
        issued_at=claims.issued_at,
        expires_at=expires_at,
        cell=claims.cell,
        tags=claims.tags,
    )
