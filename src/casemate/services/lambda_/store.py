"""
Lambda's keys in the substrate, and how it changes them.

    account  table             key                        value
    tenant   lambda.functions  REGION/NAME                Function
    tenant   lambda.packages   SHA256/REGION/NAME         bytes of the package
    SHARED   lambda.work       ACCOUNT/REGION/NAME/SHA256/TASK {}

A function is one record, so its code, policy and tags go and change as one.
`lambda.packages` says which functions hold on to which package; it changes in
the same commit as the function.  `lambda.work` is written before the first step
of anything that takes several (store a package, then the function; finish an
update; let go of a package) and removed after the last: what a crash left in
between is found there at the next start.

No part of a key can contain the `/` that separates it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Final
from weakref import WeakValueDictionary

import msgspec

from casemate.core.errors import Conflict, Refusal, Unavailable
from casemate.services.lambda_.model import Function
from casemate.services.lambda_.names import FunctionRef
from casemate.services.lambda_.refusals import busy, not_found
from casemate.substrate.ports import (
    SHARED,
    Blobs,
    Change,
    Delete,
    FullError,
    Put,
    Records,
    RevisionConflictError,
)

FUNCTIONS: Final = "lambda.functions"
PACKAGES: Final = "lambda.packages"
WORK: Final = "lambda.work"

TRIES: Final = 8
PAGE: Final = 500

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Function).decode


class Task(StrEnum):
    """What has been begun."""

    SETTLE = "settle"
    RELEASE = "release"


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Something begun: a task, a function, and the package that it is about."""

    task: Task
    ref: FunctionRef
    sha256: str

    @property
    def key(self) -> str:
        """Give the key of its record."""
        ref = self.ref
        return f"{ref.account}/{ref.region}/{ref.name}/{self.sha256}/{self.task}"


def settling(ref: FunctionRef, sha256: str) -> Work:
    """Name the work of bringing a creation or an update to its end."""
    return Work(task=Task.SETTLE, ref=ref, sha256=sha256)


def releasing(ref: FunctionRef, sha256: str) -> Work:
    """Name the work of letting go of a package."""
    return Work(task=Task.RELEASE, ref=ref, sha256=sha256)


def function_key(ref: FunctionRef) -> str:
    """Give the key of a function's record within its account."""
    return f"{ref.region}/{ref.name}"


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

    def sizes(self, account: str) -> Iterator[tuple[str, int]]:
        """Give each package that an account's functions hold, and its bytes."""
        after = ""
        while page := self._records.scan(account, PACKAGES, after=after, limit=PAGE):
            for record in page:
                yield record.key, msgspec.json.decode(record.value, type=int)
            after = page[-1].key

    async def create(self, function: Function) -> None:
        """Write a function that must not exist.  Raises Conflict, Unavailable."""
        with translated():
            try:
                await self._records.commit(
                    Put(
                        account=function.account,
                        table=FUNCTIONS,
                        key=function_key(function.ref),
                        value=_encode(function),
                        expected=0,
                    ),
                    *_packages(None, function),
                )
            except RevisionConflictError as lost:
                raise already(function.name) from lost

    async def change(
        self,
        ref: FunctionRef,
        edit: Callable[[Function], Function],
        *,
        begun: Sequence[Work] = (),
        ended: Sequence[Work] = (),
    ) -> tuple[Function, Function]:
        """
        Change a function as a whole; give it as it was and as it is.

        edit is a pure function, worked out again if another change came first.
        Packages that it no longer holds are marked as to be let go of.
        Raises NotFound, Conflict, Unavailable, and what `edit` raises.
        """
        for _ in range(TRIES):
            record = self._records.get(ref.account, FUNCTIONS, function_key(ref))
            if record is None:
                raise not_found(ref.arn)
            before = _decode(record.value)
            after = edit(before)
            put = Put(
                account=ref.account,
                table=FUNCTIONS,
                key=function_key(ref),
                value=_encode(after),
                expected=record.revision,
            )
            freed = [releasing(ref, sha) for sha in before.packages - after.packages]
            changes = (
                put,
                *_packages(before, after),
                *_work((*begun, *freed), ended),
            )
            if await self._commit(changes):
                return before, after
        raise busy(ref.arn)

    async def delete(self, ref: FunctionRef) -> Function:
        """
        Remove a function with all that is its own; give it as it was.

        Its packages are marked as to be let go of.  Raises NotFound, Conflict,
        Unavailable.
        """
        for _ in range(TRIES):
            record = self._records.get(ref.account, FUNCTIONS, function_key(ref))
            if record is None:
                raise not_found(ref.arn)
            before = _decode(record.value)
            gone = Delete(
                account=ref.account,
                table=FUNCTIONS,
                key=function_key(ref),
                expected=record.revision,
            )
            begun = [releasing(before.ref, sha) for sha in before.packages]
            if await self._commit((gone, *_packages(before, None), *_work(begun, ()))):
                return before
        raise busy(ref.arn)

    async def begin(self, work: Work) -> None:
        """Note work before its first step, durably."""
        with translated():
            await self._records.commit(*_work((work,), ()))

    async def end(self, work: Work) -> None:
        """Note that nothing of the work is left."""
        with translated():
            await self._records.commit(*_work((), (work,)))

    def begun(self) -> Sequence[Work]:
        """List the work that was begun and has not ended, of all accounts."""
        found: list[Work] = []
        after = ""
        while page := self._records.scan(SHARED, WORK, after=after, limit=PAGE):
            found.extend(_read_work(record.key) for record in page)
            after = page[-1].key
        return found

    @asynccontextmanager
    async def holding(self, account: str, sha256: str) -> AsyncIterator[None]:
        """Keep a package from being let go of while a function comes to hold it."""
        place = (account, sha256)
        lock = self._locks.get(place)
        if lock is None:
            lock = self._locks[place] = asyncio.Lock()
        async with lock:
            yield

    async def keep(self, account: str, package: bytes) -> None:
        """Store a package, durably.  Raises Unavailable."""
        with translated():
            await self._blobs.put(account, package)

    async def package(self, account: str, sha256: str) -> bytes:
        """Read a package.  Raises KeyError, DamagedError."""
        return await self._blobs.get(account, sha256)

    async def release(self, work: Work) -> None:
        """Let go of a package if no function holds it; then the work has ended."""
        account, sha256 = work.ref.account, work.sha256
        async with self.holding(account, sha256):
            held = self._records.scan(account, PACKAGES, prefix=f"{sha256}/", limit=1)
            if not held:
                await self._blobs.delete(account, sha256)
            await self.end(work)

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


def _packages(before: Function | None, after: Function | None) -> list[Change]:
    """Change which packages are held, from one state of a function to the next."""
    one = before or after
    if one is None:
        return []
    old = before.packages if before else frozenset()
    new = after.packages if after else frozenset()
    size = _encode(one.wanted.size if after is None else after.wanted.size)
    return [
        *(
            Delete(account=one.account, table=PACKAGES, key=_held(one, sha))
            for sha in sorted(old - new)
        ),
        *(
            Put(account=one.account, table=PACKAGES, key=_held(one, sha), value=size)
            for sha in sorted(new - old)
        ),
    ]


def _held(function: Function, sha256: str) -> str:
    return f"{sha256}/{function_key(function.ref)}"


def _work(begun: Sequence[Work], ended: Sequence[Work]) -> list[Change]:
    return [
        *(Put(account=SHARED, table=WORK, key=w.key, value=b"{}") for w in begun),
        *(Delete(account=SHARED, table=WORK, key=w.key) for w in ended),
    ]


def _read_work(key: str) -> Work:
    account, region, name, sha256, task = key.split("/")
    return Work(
        task=Task(task),
        ref=FunctionRef(account=account, region=region, name=name),
        sha256=sha256,
    )
