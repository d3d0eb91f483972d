"""
Functions, their versions, aliases and packages, as kept.

What is written under which key is told in `changes`; here it is read and
committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from casemate.core.errors import Conflict, Refusal, Unavailable
from casemate.services.lambda_.changes import (
    ALIASES,
    EVENTS,
    FUNCTIONS,
    PACKAGES,
    RESERVED,
    RESIDUE,
    VERSIONS,
    WORK,
    Changed,
    Edit,
    Part,
    Work,
    encode,
    freed_by,
    function_key,
    package_changes,
    part_changes,
    read_work,
    releasing,
    version_key,
    work_changes,
)
from casemate.services.lambda_.model import (
    Alias,
    Function,
    Reserved,
    Residual,
    Version,
    is_number,
)
from casemate.services.lambda_.names import FunctionRef
from casemate.services.lambda_.refusals import busy, not_found
from casemate.substrate.ports import (
    SHARED,
    Blobs,
    Change,
    Delete,
    FullError,
    Put,
    Record,
    Records,
    RevisionConflictError,
)

TRIES: Final = 8
PAGE: Final = 500

_decode = msgspec.json.Decoder(Function).decode
_decode_version = msgspec.json.Decoder(Version).decode
_decode_reserved = msgspec.json.Decoder(Reserved).decode
_decode_residual = msgspec.json.Decoder(Residual).decode
_decode_alias = msgspec.json.Decoder(Alias).decode


class Store:
    """Functions and their packages, as kept."""

    def __init__(self, records: Records, blobs: Blobs) -> None:
        self._records = records
        self._blobs = blobs
        self._locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = (
            WeakValueDictionary()
        )

    def read(self, ref: FunctionRef) -> Function | None:
        """Read a function."""
        record = self._records.get(ref.account, FUNCTIONS, function_key(ref))
        return _decode(record.value) if record else None

    def version(self, ref: FunctionRef, number: str) -> Version | None:
        """Read a published version of a function."""
        if not is_number(number):
            return None
        record = self._records.get(ref.account, VERSIONS, version_key(ref, number))
        return _decode_version(record.value) if record else None

    def versions(
        self, ref: FunctionRef, *, after: str = "", limit: int = PAGE
    ) -> Sequence[Version]:
        """Read the versions of a function past a number, in their order."""
        records = self._records.scan(
            ref.account,
            VERSIONS,
            prefix=f"{function_key(ref)}/",
            after=version_key(ref, after) if after else "",
            limit=limit,
        )
        return [_decode_version(record.value) for record in records]

    def alias(self, ref: FunctionRef, alias: str) -> Alias | None:
        """Read an alias of a function."""
        key = f"{function_key(ref)}/{alias}"
        record = self._records.get(ref.account, ALIASES, key)
        return _decode_alias(record.value) if record else None

    def aliases(
        self, ref: FunctionRef, *, after: str = "", limit: int = PAGE
    ) -> Sequence[Alias]:
        """Read the aliases of a function past a name, in the order of names."""
        prefix = f"{function_key(ref)}/"
        records = self._records.scan(
            ref.account,
            ALIASES,
            prefix=prefix,
            after=prefix + after if after else "",
            limit=limit,
        )
        return [_decode_alias(record.value) for record in records]

    def scan(
        self, account: str, region: str, *, after: str = "", limit: int = PAGE
    ) -> Sequence[Function]:
        """Read the functions of an account in the order of their names."""
        prefix = f"{region}/"
        records = self._records.scan(
            account,
            FUNCTIONS,
            prefix=prefix,
            after=prefix + after if after else "",
            limit=limit,
        )
        return [_decode(record.value) for record in records]

    def residual(self, ref: FunctionRef) -> Residual | None:
        """Read the residue policy of a function, if it has one."""
        record = self._records.get(ref.account, RESIDUE, function_key(ref))
        return _decode_residual(record.value) if record else None

    def reserved(self, ref: FunctionRef) -> Reserved | None:
        """Read what is reserved for a function."""
        record = self._records.get(ref.account, RESERVED, function_key(ref))
        return _decode_reserved(record.value) if record else None

    def all_reserved(self, account: str) -> Iterator[Reserved]:
        """Read all that is reserved in an account."""
        after = ""
        while page := self._records.scan(account, RESERVED, after=after, limit=PAGE):
            yield from (_decode_reserved(record.value) for record in page)
            after = page[-1].key

    def sizes(self, account: str) -> Iterator[tuple[str, int]]:
        """Give each hold of an account's functions on a package, and its bytes."""
        after = ""
        while page := self._records.scan(account, PACKAGES, after=after, limit=PAGE):
            for record in page:
                yield record.key, _size(record)
            after = page[-1].key

    def size(self, account: str, key: str) -> int | None:
        """Give the bytes that a hold is for; None if it is let go of."""
        record = self._records.get(account, PACKAGES, key)
        return _size(record) if record else None

    async def create(self, function: Function, *parts: Part) -> None:
        """
        Write a function that must not exist, and its first parts.

        Raises Conflict, Unavailable.
        """
        with translated():
            try:
                await self._records.commit(
                    Put(
                        account=function.account,
                        table=FUNCTIONS,
                        key=function_key(function.ref),
                        value=encode(function),
                        expected=0,
                    ),
                    *package_changes(None, function),
                    *part_changes(parts, ()),
                )
            except RevisionConflictError as lost:
                raise already(function.name) from lost

    async def change(
        self,
        ref: FunctionRef,
        edit: Callable[[Function], Function | Edit],
        *,
        begun: Sequence[Work] = (),
        ended: Sequence[Work] = (),
    ) -> Changed:
        """
        Change a function as a whole; say how it was and how it is.

        edit writes nothing, and is worked out again if another change came
        first; what it reads of the function's parts cannot change meanwhile.
        Packages that are no longer held are marked as to be let go of.
        Raises NotFound, Conflict, Unavailable, and what `edit` raises.
        """
        for _ in range(TRIES):
            record = self._records.get(ref.account, FUNCTIONS, function_key(ref))
            if record is None:
                raise not_found(ref.arn)
            before = _decode(record.value)
            made = edit(before)
            made = made if isinstance(made, Edit) else Edit(function=made)
            freed = freed_by(before, made)
            changes = (
                Put(
                    account=ref.account,
                    table=FUNCTIONS,
                    key=function_key(ref),
                    value=encode(made.function),
                    expected=record.revision,
                ),
                *package_changes(before, made.function),
                *part_changes(made.written, made.removed),
                *work_changes((*begun, *freed), ended),
            )
            if await self._commit(changes):
                return Changed(
                    before=before,
                    after=made.function,
                    written=made.written,
                    freed=freed,
                )
        raise busy(ref.arn)

    async def delete(self, ref: FunctionRef) -> Changed:
        """
        Remove a function with all that is its own; say how it was.

        Its packages are marked as to be let go of.  Raises NotFound, Conflict,
        Unavailable.
        """
        for _ in range(TRIES):
            record = self._records.get(ref.account, FUNCTIONS, function_key(ref))
            if record is None:
                raise not_found(ref.arn)
            before = _decode(record.value)
            parts = await self._parts_of(ref)
            digests = before.packages
            for part in parts:
                if isinstance(part, Version):
                    digests |= part.build.packages
            freed = tuple(releasing(before.ref, sha) for sha in sorted(digests))
            gone = Delete(
                account=ref.account,
                table=FUNCTIONS,
                key=function_key(ref),
                expected=record.revision,
            )
            changes = (
                gone,
                *package_changes(before, None),
                *part_changes((), parts),
                *self._configs(ref),
                *work_changes(freed, ()),
            )
            if await self._commit(changes):
                return Changed(before=before, after=before, freed=freed)
        raise busy(ref.arn)

    async def _parts_of(self, ref: FunctionRef) -> list[Part]:
        """Read all parts of a function; others have their turn between the pages."""
        parts: list[Part] = []
        if reserved := self.reserved(ref):
            parts.append(reserved)
        if residual := self.residual(ref):
            parts.append(residual)
        number = name = ""
        while versions := self.versions(ref, after=number):
            parts += versions
            number = versions[-1].number
            await asyncio.sleep(0)
        while aliases := self.aliases(ref, after=name):
            parts += aliases
            name = aliases[-1].alias
            await asyncio.sleep(0)
        return parts

    async def begin(self, work: Work) -> None:
        """Note work before its first step, durably."""
        with translated():
            await self._records.commit(*work_changes((work,), ()))

    async def end(self, work: Work) -> None:
        """Note that nothing of the work is left."""
        with translated():
            await self._records.commit(*work_changes((), (work,)))

    def begun(self) -> Sequence[Work]:
        """List the work that was begun and has not ended, of all accounts."""
        found: list[Work] = []
        after = ""
        while page := self._records.scan(SHARED, WORK, after=after, limit=PAGE):
            found.extend(read_work(record.key) for record in page)
            after = page[-1].key
        return found

    @asynccontextmanager
    async def holding(self, account: str, *sha256: str) -> AsyncIterator[None]:
        """
        Keep packages from being let go of while somebody comes to hold them.

        Many are taken in one order by all, so that nobody waits in a circle.
        """
        async with AsyncExitStack() as stack:
            for one in sorted(set(sha256)):
                place = (account, one)
                lock = self._locks.get(place)
                if lock is None:
                    lock = self._locks[place] = asyncio.Lock()
                await stack.enter_async_context(lock)
            yield

    async def keep(self, account: str, package: bytes) -> None:
        """Store a package, durably.  Raises Unavailable."""
        with translated():
            await self._blobs.put(account, package)

    async def package(self, account: str, sha256: str) -> bytes:
        """Read a package.  Raises KeyError, DamagedError."""
        return await self._blobs.get(account, sha256)

    def is_held(self, account: str, sha256: str) -> bool:
        """Tell whether anything of an account holds a package."""
        prefix = f"{sha256}/"
        return bool(self._records.scan(account, PACKAGES, prefix=prefix, limit=1))

    async def release(self, work: Work) -> None:
        """Let go of a package if no function holds it; then the work has ended."""
        account, sha256 = work.ref.account, work.sha256
        async with self.holding(account, sha256):
            if not self.is_held(account, sha256):
                await self._blobs.delete(account, sha256)
            await self.end(work)

    def _configs(self, ref: FunctionRef) -> list[Change]:
        """Delete how a function's events were treated, of every qualifier."""
        prefix = f"{function_key(ref)}/"
        found: list[Change] = []
        after = ""
        while page := self._records.scan(
            ref.account, EVENTS, prefix=prefix, after=after, limit=PAGE
        ):
            found += [
                Delete(account=ref.account, table=EVENTS, key=r.key) for r in page
            ]
            after = page[-1].key
        return found

    async def _commit(self, changes: Sequence[Change]) -> bool:
        with translated():
            try:
                await self._records.commit(*changes)
            except RevisionConflictError:
                return False
        return True


def already(name: str) -> Conflict:
    """Say that a function is there already."""
    return Conflict(f"Function already exist: {name}", members={"Type": "User"})


@contextmanager
def translated() -> Iterator[None]:
    """Turn a full disk into AWS's words."""
    try:
        yield
    except FullError as full:
        raise _full() from full


def _full() -> Refusal:
    return Unavailable(
        "the platform's disk is full, so nothing was changed; ask the operator for "
        "space and try again",
        code="ServiceException",
    )


def _size(record: Record) -> int:
    return msgspec.json.decode(record.value, type=int)
