"""What an account uses of its room for code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, final

from casemate.core.errors import Refusal
from casemate.services.lambda_.changes import PACKAGES
from casemate.services.lambda_.settings import FunctionSettings
from casemate.services.lambda_.store import Store
from casemate.substrate.ports import Records

_OF_A_LAYER: Final = 5
"""Fields in the key of a hold that a function has on a layer (`changes`)."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """
    Functions of an account, published versions of them and of layers, and bytes
    of packages.

    Each version counts with the whole of its package, as on AWS, and so does
    one that a function serves while it gets another.  What only functions hold,
    a layer whose version was deleted or is another account's, counts once.
    """

    functions: int
    versions: int
    bytes: int


@final
@dataclass(slots=True)
class _Package:
    """
    Who holds a package of an account.

    whole: those who count with all of it.  layered: functions that have it as a
    layer; together they count once, and only if nobody else does.
    """

    size: int = 0
    whole: int = 0
    layered: int = 0

    @property
    def bytes(self) -> int:
        """What it takes of the account's room; never nothing while it is held."""
        return self.size * (self.whole or min(self.layered, 1))


@final
@dataclass(slots=True)
class _Account:
    """The holds of an account, by key, the packages by digest, and their sums."""

    holds: set[str] = field(default_factory=set)
    packages: dict[str, _Package] = field(default_factory=dict)
    functions: Counter[str] = field(default_factory=Counter)
    versions: int = 0
    bytes: int = 0

    def set(self, key: str, size: int | None) -> None:
        """Note what a hold is now; None: it is let go of."""
        if (key in self.holds) == (size is not None):
            return  # a hold's package, and so its size, is in its key
        by = -1 if size is None else 1
        self.holds ^= {key}
        sha256, _, *name = key.split("/")
        package = self.packages.setdefault(sha256, _Package())
        self.bytes -= package.bytes
        package.size = max(package.size, size or 0)
        if len(name) + 2 == _OF_A_LAYER:
            package.layered += by
        else:
            package.whole += by
            self._count(*_named(key), by)
        self.bytes += package.bytes
        if not package.whole and not package.layered:
            del self.packages[sha256]

    def _count(self, name: str, is_version: bool, by: int) -> None:
        if is_version:
            self.versions += by
            return
        self.functions[name] += by
        if not self.functions[name]:
            del self.functions[name]


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Held:
    """What is on its way into an account."""

    functions: int
    versions: int
    bytes: int


class Usages:
    """
    Counts what accounts use.

    An account is counted once, when it is first asked about, and then followed
    commit by commit: an account of many versions would be read whole for each
    new one otherwise.
    """

    def __init__(
        self, records: Records, store: Store, settings: FunctionSettings
    ) -> None:
        self._store = store
        self._settings = settings
        self._accounts: dict[str, _Account] = {}
        self._held: dict[str, list[_Held]] = {}
        records.watch(PACKAGES, self._changed)

    def of(self, account: str) -> Usage:
        """Say what an account uses."""
        found = self._accounts.get(account)
        if found is None:
            found = _Account()
            for key, size in self._store.sizes(account):
                found.set(key, size)
            self._accounts[account] = found
        return Usage(
            functions=len(found.functions), versions=found.versions, bytes=found.bytes
        )

    def room_for(
        self, account: str, size: int, *, functions: int = 0, versions: int = 0
    ) -> None:
        """
        Refuse what an account has no room for.

        size: bytes of the packages that come in.  functions, versions: how many
        of them are to be made.
        """
        used, most = self._with_held(account), self._settings
        if size and used.bytes + size > most.total_code_bytes:
            raise _exceeded(
                f"Code storage limit exceeded: the account uses {used.bytes} of "
                f"{most.total_code_bytes} bytes; delete what is not needed"
            )
        if functions and used.functions + functions > most.functions:
            raise _exceeded(_full(used.functions, "functions"))
        if versions and used.versions + versions > most.versions:
            raise _exceeded(_full(used.versions, "published versions"))

    @contextmanager
    def room(
        self, account: str, size: int, *, functions: int = 0, versions: int = 0
    ) -> Iterator[None]:
        """
        Hold room from when it is asked for until what is made is counted.

        A package is read before it is written, so many that come at once would
        each find the room that is there for one.  Refuses as `room_for` does.
        """
        self.room_for(account, size, functions=functions, versions=versions)
        held = _Held(functions=functions, versions=versions, bytes=size)
        self._held.setdefault(account, []).append(held)
        try:
            yield
        finally:
            self._held[account].remove(held)
            if not self._held[account]:
                del self._held[account]

    def _with_held(self, account: str) -> Usage:
        used, held = self.of(account), self._held.get(account, ())
        return Usage(
            functions=used.functions + sum(one.functions for one in held),
            versions=used.versions + sum(one.versions for one in held),
            bytes=used.bytes + sum(one.bytes for one in held),
        )

    def _changed(self, account: str, key: str) -> None:
        if (found := self._accounts.get(account)) is not None:
            found.set(key, self._store.size(account, key))


def _named(key: str) -> tuple[str, bool]:
    """Give the function that a hold is for, and whether it is a version's."""
    _, region, name, *number = key.split("/")
    return f"{region}/{name}", bool(number)


def _full(count: int, what: str) -> str:
    return (
        f"the account has {count} {what}, which is the most that this platform's "
        "operator allows; delete what is not needed"
    )


def _exceeded(reason: str) -> Refusal:
    return Refusal(reason, code="CodeStorageExceededException")
