"""
Under which name a key is kept: a keyed hash of all that it is a key for.

Each part is framed, so no two functions, accounts or expressions have a name
in common, whatever they are called, and nobody without the node's key can find
out by trying which keys there were.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import Final, final

from casemate.seal.envelope import framed
from casemate.services.lambda_.idempotency.expression import canonical, is_missing
from casemate.services.lambda_.idempotency.policy import Plan

_KEY: Final = b"casemate idempotency key v1"
_PAYLOAD: Final = b"casemate idempotency payload v1"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """
    Whose key it is.

    account, region, name: of the function.  born: its own mark, so that one that
    is made anew under the same name has no past.  caller: the account that
    calls; what one account got is no other's to get.  tenant: the application's
    own tenant id, of a function that has such; empty otherwise.
    """

    account: str
    region: str
    name: str
    born: str
    caller: str
    tenant: str = ""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A key, and a digest of what must be the same under it.  Both in hex."""

    key: str
    payload: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Namer:
    """Names keys.  secret: 32 bytes that only the node has."""

    secret: bytes = field(repr=False)

    def name(self, plan: Plan, owner: Owner, event: object) -> Named | None:
        """Name the key of an event; None if it has none.  Raises EventError."""
        parts = plan.key.parts(event)
        if any(is_missing(part) for part in parts):
            return None
        key = self._digest(
            _KEY,
            owner.account.encode(),
            owner.region.encode(),
            owner.name.encode(),
            owner.born.encode(),
            owner.caller.encode(),
            owner.tenant.encode(),
            # A policy that looks elsewhere begins anew.
            plan.policy.key.encode(),
            plan.policy.compare.encode(),
            canonical(plan.key.value(parts)),
        )
        compared = event
        if plan.compare is not None:
            compared = plan.compare.value(plan.compare.parts(event))
        payload = self._digest(_PAYLOAD, key.encode(), canonical(compared))
        return Named(key=key, payload=payload)

    def _digest(self, *parts: bytes) -> str:
        return hmac.new(self.secret, framed(*parts), hashlib.sha256).hexdigest()
