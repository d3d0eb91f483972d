"""
Accounts: the tenants of the platform.

    account  table           key         value
    SHARED   accounts        account id  Account
    SHARED   accounts.first  "first"     First

The first start makes one account, which is the operator's.  An account's key
is made before anything of it is written, and its administrator role with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from casemate.core.clock import Clock
from casemate.core.errors import Conflict, Unavailable
from casemate.services.casemate_.ports import Administrators, KeyRing
from casemate.substrate.ports import (
    SHARED,
    FullError,
    Put,
    Records,
    RevisionConflictError,
)

ACCOUNTS = "accounts"
FIRST = "accounts.first"
_FIRST_KEY = "first"
_TRIES = 8
_DIGITS = 12

Entropy = Callable[[int], bytes]


class Account(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tenant.  created: seconds since the epoch.  name: for people."""

    id: str
    created: float
    name: str = ""


class First(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which account is the operator's."""

    id: str


class Accounts:
    """Makes, finds and lists accounts."""

    def __init__(
        self,
        *,
        records: Records,
        keyring: KeyRing,
        administrators: Administrators,
        entropy: Entropy,
        clock: Clock,
    ) -> None:
        """Compose.  entropy: gives unguessable bytes."""
        self._records = records
        self._keyring = keyring
        self._administrators = administrators
        self._entropy = entropy
        self._clock = clock
        self._first: str | None = None

    def find(self, account: str) -> Account | None:
        """Find an account, or None."""
        record = self._records.get(SHARED, ACCOUNTS, account)
        return msgspec.json.decode(record.value, type=Account) if record else None

    def page(self, *, after: str = "", limit: int) -> Sequence[Account]:
        """List accounts in the order of their ids, from past one."""
        records = self._records.scan(SHARED, ACCOUNTS, after=after, limit=limit)
        return [msgspec.json.decode(r.value, type=Account) for r in records]

    def operator(self) -> str:
        """Give the operator's account id.  LookupError before the first start."""
        if self._first is None:
            record = self._records.get(SHARED, FIRST, _FIRST_KEY)
            if record is None:
                raise LookupError("the first account is not made yet")
            self._first = msgspec.json.decode(record.value, type=First).id
        return self._first

    async def ensure_first(self) -> str:
        """Give the operator's account id; the first start makes the account."""
        if self._records.get(SHARED, FIRST, _FIRST_KEY) is None:
            made = await self._make("operator", first=True)
            if made is not None:
                await self._administrators.ensure_administrator(
                    made.id, now=made.created
                )
        return self.operator()

    async def create(self, name: str) -> Account:
        """Make an account.  Raises Conflict, Unavailable."""
        made = await self._make(name, first=False)
        if made is None:
            raise Conflict(
                "no free account id was found; try again", code="ConflictException"
            )
        await self._administrators.ensure_administrator(made.id, now=made.created)
        return made

    async def _make(self, name: str, *, first: bool) -> Account | None:
        for _ in range(_TRIES):
            account = Account(
                id=_digits(self._entropy), created=self._clock.now(), name=name
            )
            if self.find(account.id) is not None:
                continue
            await self._keyring.add(account.id)
            if await self._write(account, first=first):
                return account
            if first and self._records.get(SHARED, FIRST, _FIRST_KEY):
                return None
        return None

    async def _write(self, account: Account, *, first: bool) -> bool:
        puts = [_put(ACCOUNTS, account.id, account)]
        if first:
            puts.append(_put(FIRST, _FIRST_KEY, First(id=account.id)))
        try:
            await self._records.commit(*puts)
        except RevisionConflictError:
            return False
        except FullError as cause:
            raise Unavailable(
                "the platform's disk is full; no account was made",
                code="ServiceUnavailableException",
            ) from cause
        return True


def _put(table: str, key: str, value: msgspec.Struct) -> Put:
    data = msgspec.json.encode(value)
    return Put(account=SHARED, table=table, key=key, value=data, expected=0)


def _digits(entropy: Entropy) -> str:
    """
    Make an account id: twelve digits, every one equally likely.

    The first is not 0: YAML and spreadsheets take such an id for a number.
    """
    digits = ""
    while len(digits) < _DIGITS:
        # 250 is the last multiple of 10 in a byte.
        fair = "".join(str(b % 10) for b in entropy(_DIGITS * 2) if b < 250)  # noqa: PLR2004 — said above
        digits = (digits + fair).lstrip("0")
    return digits[:_DIGITS]
