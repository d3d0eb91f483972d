"""
What of an account's concurrency is set aside, for the admission of every call.

An account's reservations are read once and then followed commit by commit, so
that a call costs two look-ups.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

from casemate.services.lambda_.changes import RESERVED
from casemate.services.lambda_.model import Reserved
from casemate.services.lambda_.names import FunctionRef
from casemate.services.lambda_.store import Store
from casemate.substrate.ports import Records


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """
    Places that are a function's own: no other takes them, and it takes no more.

    name: the function's unqualified ARN.  most: how many.
    """

    name: str
    most: int


@final
@dataclass(slots=True)
class _Account:
    """The shares of an account by region and name, and how many places they are."""

    shares: dict[tuple[str, str], Reservation] = field(default_factory=dict)
    places: int = 0

    def set(self, place: tuple[str, str], reserved: Reserved | None) -> None:
        """Note what is reserved for a function now; None: nothing."""
        before = self.shares.pop(place, None)
        self.places -= before.most if before else 0
        if reserved is not None:
            self.shares[place] = Reservation(name=reserved.ref.arn, most=reserved.most)
            self.places += reserved.most


class Reservations:
    """Finds the shares of functions."""

    def __init__(self, records: Records, store: Store) -> None:
        self._store = store
        self._accounts: dict[str, _Account] = {}
        records.watch(RESERVED, self._changed)

    def share(self, ref: FunctionRef) -> Reservation | None:
        """Give a function's share, whatever the qualifier; None if it has none."""
        shares = self._of(ref.account).shares
        return shares.get((ref.region, ref.name)) if shares else None

    def places(self, account: str) -> int:
        """Count the places of an account that are set aside."""
        return self._of(account).places

    def _of(self, account: str) -> _Account:
        found = self._accounts.get(account)
        if found is None:
            found = _Account()
            for reserved in self._store.all_reserved(account):
                found.set((reserved.region, reserved.name), reserved)
            self._accounts[account] = found
        return found

    def _changed(self, account: str, key: str) -> None:
        found = self._accounts.get(account)
        if found is None:
            return
        region, _, name = key.partition("/")
        ref = FunctionRef(account=account, region=region, name=name)
        found.set((region, name), self._store.reserved(ref))
