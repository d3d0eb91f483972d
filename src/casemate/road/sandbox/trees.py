"""
Unpacked packages: each is read once, in a workshop cell, and mounted from then on.

The node never opens an archive.  A tree belongs to one account, one digest and
the interpreter that compiled its byte code.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol, final
from weakref import WeakValueDictionary

from casemate.core.errors import Invalid, Throttled, Unavailable
from casemate.core.function import FunctionVersion
from casemate.road.sandbox.cell import Cell, Lost
from casemate.road.sandbox.frames import Said, Word
from casemate.road.sandbox.kept import Kept, Tree
from casemate.road.sandbox.pool import Pool
from casemate.road.sandbox.settings import Settings, is_managed_python
from casemate.road.sandbox.warden import Warden, WardenError, WardenGoneError

UNPACK_SECONDS: Final = 45.0
UNPACKED_LIMIT: Final = 262_144_000
ENTRIES_LIMIT: Final = 50_000
_INLINE_HASH_BYTES: Final = 1 << 20


class Code(Protocol):
    """Where packages come from; checks what it reads against the digest."""

    async def __call__(self, account: str, sha256: str, /) -> bytes: ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """What a package holds; bytes as unpacked."""

    files: int
    bytes: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The trees of a function: its code, and its layers, the last on top."""

    code: str
    layers: list[str]


class Refused(Exception):
    """A package is not taken; the text is for its owner."""


@final
class Trees:
    """The trees that the warden keeps for this node."""

    def __init__(
        self, *, warden: Warden, pool: Pool, code: Code, settings: Settings
    ) -> None:
        self._warden = warden
        self._pool = pool
        self._code = code
        self._settings = settings
        self._kept = Kept(settings.trees_mb)
        self._workshops = asyncio.Semaphore(self._kept.workshops)
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._making: dict[str, asyncio.Task[Unpacked]] = {}
        self.made = self.dropped = self.refused = 0

    def tree_id(self, account: str, runtime: str, sha256: str) -> str:
        """Name the tree of a package: 64 hex digits that tell nothing."""
        text = f"{account}\n{self._workshop(runtime)}\n{sha256}"
        return hashlib.sha256(text.encode()).hexdigest()

    @asynccontextmanager
    async def hold(self, function: FunctionVersion) -> AsyncIterator[Held]:
        """
        Have a function's trees there, and keep them from being dropped meanwhile.

        Raises Refused, Unavailable, and what the code port raises.
        """
        async with AsyncExitStack() as stack:
            holding = (self._hold(function, sha) for sha in _packages(function))
            code, *layers = [await stack.enter_async_context(h) for h in holding]
            yield Held(code=code, layers=layers)

    @asynccontextmanager
    async def _hold(self, function: FunctionVersion, sha256: str) -> AsyncIterator[str]:
        runtime = function.runtime
        tree = self.tree_id(function.account, runtime, sha256)
        while (held := self._kept.find(tree)) is None:
            await self._make(tree, function.account, runtime, sha256, None)
        held.uses += 1
        try:
            yield tree
        finally:
            held.uses -= 1

    async def check(
        self, account: str, runtime: str, sha256: str, archive: bytes
    ) -> Unpacked:
        """Unpack a package that is not stored yet.  Raises Refused, Unavailable."""
        tree = self.tree_id(account, runtime, sha256)
        if held := self._kept.find(tree):
            return Unpacked(files=held.files, bytes=held.said)
        return await self._make(tree, account, runtime, sha256, archive)

    def facts(self) -> dict[str, object]:
        """Give the figures for metrics."""
        return {
            "trees": len(self._kept),
            "trees_bytes": self._kept.bytes,
            "trees_made": self.made,
            "trees_dropped": self.dropped,
            "packages_refused": self.refused,
        }

    def _workshop(self, runtime: str) -> str:
        """Choose who unpacks: the function's own interpreter, or any Python here."""
        if is_managed_python(runtime):
            return runtime
        for other in self._settings.runtimes:
            if is_managed_python(other):
                return other
        raise Unavailable("this node has no Python to unpack packages with")

    async def _make(
        self, tree: str, account: str, runtime: str, sha256: str, archive: bytes | None
    ) -> Unpacked:
        """Make a tree once, however many ask; one that leaves does not stop it."""
        task = self._making.get(tree)
        if task is None:
            work = self._unpack(tree, account, self._workshop(runtime), sha256, archive)
            task = asyncio.get_running_loop().create_task(work)
            self._making[tree] = task
            task.add_done_callback(self._made(tree))
        return await asyncio.shield(task)

    def _made(self, tree: str) -> Callable[[asyncio.Task[Unpacked]], None]:
        def done(task: asyncio.Task[Unpacked]) -> None:
            self._making.pop(tree, None)
            if not task.cancelled() and task.exception() is not None:
                self.refused += isinstance(task.exception(), Refused)

        return done

    async def _unpack(
        self, tree: str, account: str, runtime: str, sha256: str, archive: bytes | None
    ) -> Unpacked:
        content = await self._code(account, sha256) if archive is None else archive
        if await _digest(content) != sha256:
            raise Refused("the package is not the one that its digest names")
        share = max(1, self._kept.workshops // 2)
        turn = self._turns.setdefault(account, asyncio.Semaphore(share))
        async with turn, self._workshops:
            await self._make_room(account)
            unpacked = await self._fill(tree, runtime, sha256, content)
            await self._keep(tree, account, unpacked)
        return unpacked

    async def _fill(
        self, tree: str, runtime: str, sha256: str, content: bytes
    ) -> Unpacked:
        """Have a workshop cell unpack a package into a new tree."""
        cell = await self._pool.open_workshop(runtime)
        sealed = _sealed(content)
        whole = False
        try:
            unpacked = await self._work(cell, sealed, tree, sha256)
            whole = True
        finally:
            os.close(sealed)
            await self._pool.finish(cell)
            if not whole:
                await self._throw_away(tree)
        return unpacked

    async def _throw_away(self, tree: str) -> None:
        """Drop a tree that is not whole; there may be none yet."""
        with suppress(WardenError, WardenGoneError):
            await self._warden.ask("drop", tree=tree)

    async def _work(self, cell: Cell, sealed: int, tree: str, sha256: str) -> Unpacked:
        try:
            await self._warden.ask(
                "workshop",
                descriptors=(sealed,),
                cell=cell.id,
                tree=tree,
                digest=sha256,
            )
        except (WardenError, WardenGoneError) as error:
            raise Unavailable(
                "the package cannot be unpacked now; retry later",
                evidence={"warden": str(error)},
            ) from error
        limits = {"bytes": UNPACKED_LIMIT, "entries": ENTRIES_LIMIT, "compile": True}
        reply = await cell.unpack(sealed, limits, UNPACK_SECONDS)
        if reply is None:
            raise Refused(f"the package is not unpacked within {UNPACK_SECONDS:g} s")
        if isinstance(reply, Lost):
            raise Refused("the package cannot be unpacked within its memory")
        return _judge(reply)

    async def _keep(self, name: str, account: str, unpacked: Unpacked) -> None:
        try:
            answer = await self._warden.ask("keep", tree=name)
        except (WardenError, WardenGoneError) as error:
            raise Unavailable(
                "the package cannot be kept now; retry later",
                evidence={"warden": str(error)},
            ) from error
        self.made += 1
        tree = Tree(
            account=account,
            files=unpacked.files,
            said=unpacked.bytes,
            bytes=int(str(answer.ok["bytes"])),
        )
        self._kept.add(name, tree)
        tree.uses += 1  # whoever asked for it comes first
        try:
            await self._drop_while(self._kept.is_full)
        finally:
            tree.uses -= 1

    async def _make_room(self, account: str) -> None:
        """
        Drop what nobody runs until there is room for one more tree.

        Raises Throttled when an account takes more than its share, or all together
        take more than there is, by what they run.
        """

        def is_over() -> bool:
            return self._kept.is_over(account)

        def leaves_none() -> bool:
            return self._kept.is_full() or not self._kept.leaves_room(account)

        await self._drop_while(is_over, account)
        await self._drop_while(leaves_none)
        if is_over() or leaves_none():
            whose = "the account runs" if is_over() else "are running here"
            raise Throttled(
                f"the unpacked packages that {whose} leave no room for another; "
                "retry when fewer functions run",
                retry_after=1,
            )

    async def _drop_while(self, is_over: Callable[[], bool], account: str = "") -> None:
        """Drop trees that nobody uses; the warden keeps those that a cell reads."""
        for name in self._kept.idle(account):
            if not is_over():
                return
            tree = self._kept.take(name)
            try:
                await self._warden.ask("drop", tree=name)
                self.dropped += 1
            except WardenError:
                self._kept.add(name, tree)
            except WardenGoneError:
                return


def _packages(function: FunctionVersion) -> tuple[str, ...]:
    """Name the code and the layers; of two that are the same, the upper one counts."""
    layers = reversed(dict.fromkeys(reversed(function.layers)))
    return (function.code_sha256, *layers)


def _judge(said: Said) -> Unpacked:
    if said.word is Word.UNPACKED:
        return Unpacked(files=said.files, bytes=said.bytes)
    reason = said.body.decode("utf-8", "replace")
    printable = "".join(c for c in reason if c.isprintable())
    raise Refused(printable[:500] or "the package is refused")


async def _digest(content: bytes) -> str:
    if len(content) <= _INLINE_HASH_BYTES:
        return hashlib.sha256(content).hexdigest()
    digest = await asyncio.to_thread(hashlib.sha256, content)
    return digest.hexdigest()


def _sealed(content: bytes) -> int:
    """Put a package into a memory file that nobody can change any more."""
    descriptor = os.memfd_create("package", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals | fcntl.F_SEAL_SEAL)
    return descriptor


def invalid(refused: Refused) -> Invalid:
    """Say a refused package the way CreateFunction does."""
    return Invalid(
        f"{refused}; build the package again",
        code="InvalidParameterValueException",
    )
