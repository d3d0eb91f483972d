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
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Protocol, final

from casemate.core.errors import Invalid, Unavailable
from casemate.core.function import FunctionVersion
from casemate.road.sandbox.cell import Cell, Lost
from casemate.road.sandbox.frames import Said, Word
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


class Refused(Exception):
    """A package is not taken; the text is for its owner."""


@final
@dataclass(slots=True)
class _Tree:
    """A kept tree; uses: cells that are being started from it or have it."""

    unpacked: Unpacked
    uses: int = 0


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
        self._kept: OrderedDict[str, _Tree] = OrderedDict()
        self._making: dict[str, asyncio.Task[Unpacked]] = {}
        self.made = self.dropped = self.refused = 0

    def tree_id(self, account: str, runtime: str, sha256: str) -> str:
        """Name the tree of a package: 64 hex digits that tell nothing."""
        text = f"{account}\n{self._workshop(runtime)}\n{sha256}"
        return hashlib.sha256(text.encode()).hexdigest()

    @asynccontextmanager
    async def hold(self, function: FunctionVersion) -> AsyncIterator[str]:
        """
        Have a function's tree there, and keep it from being dropped meanwhile.

        Raises Refused, Unavailable, and what the code port raises.
        """
        runtime = function.runtime
        tree = self.tree_id(function.account, runtime, function.code_sha256)
        if tree not in self._kept:
            await self._make(
                tree, function.account, runtime, function.code_sha256, None
            )
        held = self._kept[tree]
        held.uses += 1
        self._kept.move_to_end(tree)
        try:
            yield tree
        finally:
            held.uses -= 1

    async def check(
        self, account: str, runtime: str, sha256: str, archive: bytes
    ) -> Unpacked:
        """Unpack a package that is not stored yet.  Raises Refused, Unavailable."""
        tree = self.tree_id(account, runtime, sha256)
        if tree in self._kept:
            return self._kept[tree].unpacked
        return await self._make(tree, account, runtime, sha256, archive)

    def facts(self) -> dict[str, object]:
        """Give the figures for metrics."""
        return {
            "trees": len(self._kept),
            "trees_bytes": sum(tree.unpacked.bytes for tree in self._kept.values()),
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
        await self._keep(tree, unpacked)
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

    async def _keep(self, tree: str, unpacked: Unpacked) -> None:
        try:
            await self._warden.ask("keep", tree=tree)
        except (WardenError, WardenGoneError) as error:
            raise Unavailable(
                "the package cannot be kept now; retry later",
                evidence={"warden": str(error)},
            ) from error
        self.made += 1
        self._kept[tree] = _Tree(unpacked)
        await self._drop_oldest()

    async def _drop_oldest(self) -> None:
        """Drop trees used least recently until they fit; the warden keeps used ones."""
        limit = self._settings.trees_mb << 20
        for tree in tuple(self._kept)[:-1]:
            if sum(one.unpacked.bytes for one in self._kept.values()) <= limit:
                return
            held = self._kept[tree]
            if held.uses:
                continue
            del self._kept[tree]
            try:
                await self._warden.ask("drop", tree=tree)
                self.dropped += 1
            except WardenError:
                self._kept[tree] = held
            except WardenGoneError:
                return


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
