"""
Bringing what was acknowledged to its end.

A creation or an update is acknowledged once it is durable.  What is left is
done here, behind the caller's back: the package is read back from the store and
held against its digest, then the function serves it.  A crash in between leaves
a note in the store; `resume` picks it up at the next start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Final, TypeVar

from casemate.core.errors import NotFound, Refusal
from casemate.services.lambda_ import publishing, state
from casemate.services.lambda_.changes import Changed, Edit, Task, Work, settling
from casemate.services.lambda_.model import Function
from casemate.services.lambda_.names import LATEST
from casemate.services.lambda_.ports import Run
from casemate.services.lambda_.store import Store
from casemate.substrate.ports import DamagedError, SubstrateError

Made = TypeVar("Made")

RETRY: Final = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds between tries while the store cannot write; the last repeats."""


class Settler:
    """Owns the tasks that are under way."""

    def __init__(self, store: Store, run: Run) -> None:
        self._store = store
        self._run = run
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._carried: set[asyncio.Task[object]] = set()

    def start(self, work: Work) -> None:
        """Begin a piece of work that the store has a note of."""
        key = work.key
        task = asyncio.create_task(self._until_done(work, self._tasks.get(key)))
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._over(key, done))

    def release(self, changed: Changed) -> None:
        """Begin to let go of the packages that a change has freed."""
        for work in changed.freed:
            self.start(work)

    async def carry(self, change: Coroutine[None, None, Made]) -> Made:
        """
        Carry a change to its end, even if its caller leaves half way.

        Between a note, a package and a function there must be no gap that only
        the next start would close.
        """
        task = asyncio.create_task(change)
        self._carried.add(task)
        task.add_done_callback(self._carried.discard)
        return await asyncio.shield(task)

    def resume(self) -> int:
        """Begin everything that an earlier run of the platform left; count it."""
        begun = self._store.begun()
        for work in begun:
            self.start(work)
        return len(begun)

    async def wait(self, function: Function, seconds: float) -> None:
        """Wait until what is under way on a function has ended, or time is up."""
        task = self._tasks.get(settling(function.ref, function.wanted.sha256).key)
        if task is not None:
            await asyncio.wait({task}, timeout=max(0.0, seconds))

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.wait(set(self._tasks.values()))

    async def close(self) -> None:
        """Stop; what is not done stays noted in the store."""
        await asyncio.gather(*self._carried, return_exceptions=True)
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _over(self, key: str, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]

    async def _until_done(self, work: Work, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        for tried in range(1_000_000):
            try:
                await self._once(work)
            except NotFound:
                # Deleted while it was settled; look again, and let go.
                continue
            except (Refusal, SubstrateError):
                # Not lost: the note stays, the function stays busy, and it is
                # tried again until the store can write.
                await asyncio.sleep(RETRY[min(tried, len(RETRY) - 1)])
            else:
                return

    async def _once(self, work: Work) -> None:
        if work.task is Task.RELEASE:
            await self._store.release(work)
            return
        function = self._store.read(work.ref)
        if (
            function is None
            or not function.life.busy
            or (function.wanted.sha256 != work.sha256)
        ):
            # Nothing to settle: the note is older than what came after it, or
            # the function never came to be.  Then nobody may hold the package.
            await self._store.release(work)
            return
        await self._settle(work, function)

    async def _settle(self, work: Work, function: Function) -> None:
        fault = await self._fault(function)

        def end(now: Function) -> Edit:
            if not now.life.busy or now.wanted != function.wanted:
                return Edit(function=now)
            if fault is not None:
                life = state.broken(
                    now.life, code="InvalidZipFileException", reason=fault
                )
                return self._ended(replace(now, life=life))
            life = state.settled(now.life)
            return self._ended(replace(now, life=life, serving=now.wanted))

        changed = await self._store.change(work.ref, end, ended=(work,))
        self.release(changed)
        serving = changed.after.serving
        if serving is not None:
            await self._run.retire(work.ref.arn, version=LATEST, keep=serving.revision)

    def _ended(self, now: Function) -> Edit:
        """End with a function the version that was published of what is settled."""
        last = self._store.version(now.ref, str(now.published))
        if last is None or not last.life.busy:
            return Edit(function=now)
        return Edit(function=now, written=(publishing.ended(last, now),))

    async def _fault(self, function: Function) -> str | None:
        """Say why the wanted package cannot be served, or None."""
        serving = function.serving
        if serving is not None and serving.sha256 == function.wanted.sha256:
            return None
        try:
            package = await self._store.package(
                function.account, function.wanted.sha256
            )
        except KeyError:
            return "the package is not in the store; upload it again"
        except DamagedError:
            return "the stored package does not match its digest; upload it again"
        if len(package) != function.wanted.size:
            return "the stored package has not the size that was uploaded"
        return None
