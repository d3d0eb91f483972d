"""
Cells ahead of demand, and cells to use again.

Per runtime, `pool` generic cells wait; a claim takes one and binds it for life.
A cell that is idle is taken again by its own function only, the latest first, so
that those not needed grow old; it is frozen after 50 ms and destroyed later.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Final, final

from casemate.core.clock import Clock
from casemate.core.errors import Unavailable
from casemate.core.function import FunctionVersion
from casemate.road.sandbox.cell import Cell, Key, key_of, opened
from casemate.road.sandbox.life import Stage
from casemate.road.sandbox.queue import WaitingRoom, crowded
from casemate.road.sandbox.settings import Settings
from casemate.road.sandbox.warden import Warden, WardenError, WardenGoneError

OPEN_SECONDS: Final = 20.0
START_SECONDS: Final = 0.02
"""How long a cell that was just taken has the processor to itself: its start
takes some milliseconds, and making the next cell meanwhile takes them from it."""

PARALLEL_OPENS: Final = 4
BACK_OFF_FIRST, BACK_OFF_LAST = 0.1, 5.0
OVERCOMMITTED_MB: Final = 512
"""Of each cell's `/tmp`: the default size, which few functions fill."""


def reserved_mb(function: FunctionVersion) -> int:
    """Give what a cell of the function is promised: memory, and `/tmp` past 512 MB."""
    return function.memory_mb + max(0, function.ephemeral_mb - OVERCOMMITTED_MB)


@final
@dataclass(slots=True)
class Counts:
    """What the pool has done since it started."""

    warm: int = 0
    cold: int = 0
    opened: int = 0
    closed: int = 0
    reaped: int = 0
    evicted: int = 0
    not_reused: int = 0
    refill_failures: int = 0
    close_failures: int = 0
    dropped_frames: int = 0
    dropped_lines: int = 0


@final
class Pool:
    """All cells of this node."""

    def __init__(self, warden: Warden, settings: Settings, clock: Clock) -> None:
        self._warden = warden
        self._settings = settings
        self._clock = clock
        self._cells: dict[str, Cell] = {}
        self._generic: dict[str, deque[Cell]] = {
            runtime: deque() for runtime in settings.runtimes
        }
        self._idle: dict[Key, list[Cell]] = {}
        self._opening: Counter[str] = Counter()
        """Generic cells that do not wait yet, by runtime: asked for, or booting."""
        self._asked = 0
        """Cells that the warden was asked for and has not given yet."""
        self._starting: asyncio.TimerHandle | None = None
        self._closing = 0
        self._committed_mb = 0
        self._room = WaitingRoom(settings.waiting_per_account)
        self._tasks: set[asyncio.Task[None]] = set()
        self._not_before: dict[str, float] = {}
        self._back_off: dict[str, float] = {}
        self._shut = False
        self.counts = Counts()

    def start(self) -> None:
        """Begin to fill."""
        self._refill()

    async def close(self) -> None:
        """Destroy every cell and wait until the warden has."""
        self._shut = True
        if self._starting is not None:
            self._starting.cancel()
        for waiting in self._generic.values():
            waiting.clear()
        for cell in tuple(self._cells.values()):
            self.destroy(cell)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def shut(self) -> None:
        """Take no more claims and open no more cells."""
        self._shut = True

    def take_idle(self, key: Key) -> Cell | None:
        """Take the idle cell of a function that was used last."""
        stack = self._idle.get(key)
        while stack:
            cell = stack.pop()
            if not stack:
                del self._idle[key]
            if self._is_fit(cell):
                self.counts.warm += 1
                return cell
            self.destroy(cell)
        return None

    async def claim(self, function: FunctionVersion, deadline: float) -> Cell:
        """
        Give an idle cell of the function, or a generic one to bind.

        deadline: monotonic seconds.  Raises Throttled, Unavailable.
        """
        self._check_possible(function)
        if not self._room and (cell := self._find(function)) is not None:
            return cell
        waiter = self._room.enter(function)
        self._make_room()
        self._refill()
        bound = min(deadline, self._clock.monotonic() + self._settings.claim)
        try:
            await asyncio.wait(
                (waiter.cell,), timeout=max(0.0, bound - self._clock.monotonic())
            )
        except BaseException:
            # The caller has left; a cell that came in the same turn goes back.
            if waiter.cell.done():
                self.release(waiter.cell.result())
            raise
        finally:
            self._room.leave(waiter)
        if not waiter.cell.done():
            waiter.cell.cancel()
            raise self._why_not(function.runtime)
        return waiter.cell.result()

    async def open_workshop(self, runtime: str) -> Cell:
        """Give a generic cell for a package.  Raises Throttled, Unavailable."""
        if self._shut or runtime not in self._generic:
            raise Unavailable("the platform has no workshop for packages now")
        waiting = self._generic[runtime]
        while waiting:
            cell = waiting.popleft()
            if cell.life.stage is Stage.WAITING:
                self._refill()
                return cell
        if self._total() >= self._settings.max_cells and not self._evict():
            raise crowded("every cell is in use")
        self._asked += 1
        cell = await self._open(runtime)
        self._generic[runtime].remove(cell)
        return cell

    def release(self, cell: Cell) -> None:
        """Take a cell back after an invocation, to be used again or destroyed."""
        if cell.key is None or not self._is_fit(cell) or self._shut:
            if cell.life.stage is Stage.IDLE and not cell.may_serve_again:
                self.counts.not_reused += 1
            self.destroy(cell)
            return
        self._idle.setdefault(cell.key, []).append(cell)
        if cell.key.tenant:
            self._bound_tenants(cell.key.arn)
        if self._room:
            self._room.serve(self._find)

    def retire(
        self, function_arn: str, *, version: str | None = None, keep: str | None = None
    ) -> None:
        """
        Let a function's cells go: idle ones now, busy ones when they are done.

        version: whose cells, None for those of all.  keep: the revision whose
        cells stay.
        """
        for cell in tuple(self._cells.values()):
            key = cell.key
            if key is None or key.arn != function_arn or key.revision == keep:
                continue
            if version is not None and key.version != version:
                continue
            cell.retired = True
            if cell.life.stage is Stage.IDLE:
                self._forget_idle(cell)
                self.destroy(cell)

    def destroy(self, cell: Cell) -> None:
        """Destroy a cell; what it runs is lost."""
        if self._cells.pop(cell.id, None) is None:
            return
        self.counts.dropped_frames += cell.life.dropped
        self.counts.dropped_lines += cell.log.dropped_lines
        self._committed_mb -= cell.reserved_mb
        cell.life.close()
        cell.let_go()
        self._closing += 1
        cell.closing = self._spawn(self._close(cell))

    async def finish(self, cell: Cell) -> None:
        """Destroy a cell, unless that has begun, and wait until nothing is left."""
        self.destroy(cell)
        if cell.closing is not None:
            await asyncio.shield(cell.closing)

    def function_of(self, cell_id: str) -> FunctionVersion | None:
        """Tell which function a live cell serves; None if it has none, or is gone."""
        cell = self._cells.get(cell_id)
        return cell.function if cell is not None else None

    def hops_of(self, cell_id: str) -> int | None:
        """Give the hops of a live cell's invocation; None if it is gone."""
        cell = self._cells.get(cell_id)
        return cell.hops if cell is not None else None

    def turn(self) -> None:
        """Do what falls due: freeze, reap, watch the pipes, refill."""
        now = self._clock.monotonic()
        for cell in tuple(self._cells.values()):
            cell.log.turn()
            if cell.life.stage is not Stage.IDLE or cell.key is None:
                continue
            rest = now - cell.used_at
            if rest > self._settings.idle or not self._is_fit(cell):
                self.counts.reaped += 1
                self._forget_idle(cell)
                self.destroy(cell)
            elif rest > self._settings.freeze and not cell.frozen:
                self._freeze(cell)
        self._refill()

    def hand_on(self) -> None:
        """Hand on what the cells' logs have gathered."""
        for cell in self._cells.values():
            cell.log.hand_on()

    def awake(self) -> list[Cell]:
        """List the cells whose code may be running, if only in the background."""
        stages = (Stage.INITIALISING, Stage.BUSY, Stage.IDLE)
        cells = self._cells.values()
        return [c for c in cells if c.life.stage in stages and not c.frozen]

    def facts(self) -> dict[str, object]:
        """Give the figures for metrics."""
        stages = Counter(str(cell.life.stage) for cell in self._cells.values())
        counts = self.counts
        return {
            "cells": dict(stages),
            "generic": {name: len(cells) for name, cells in self._generic.items()},
            "opening": self._opening.total(),
            "closing": self._closing,
            "waiting_calls": len(self._room),
            "committed_mb": self._committed_mb,
            **{name: getattr(counts, name) for name in Counts.__slots__},
        }

    def _find(self, function: FunctionVersion) -> Cell | None:
        idle = self.take_idle(key_of(function))
        if idle is not None:
            return idle
        if not self._fits(function):
            return None
        waiting = self._generic[function.runtime]
        while waiting:
            cell = waiting.popleft()
            if cell.life.stage is Stage.WAITING:
                cell.reserved_mb = reserved_mb(function)
                self._committed_mb += cell.reserved_mb
                self.counts.cold += 1
                self._let_start()
                return cell
        return None

    def _let_start(self) -> None:
        """
        Refill when the cell that was taken has had time to start.

        Making the next one at once would take the CPU that its start needs.
        Cold p50 over three interleaved runs, 30 claims each 250 ms apart, on 2
        busy cores: 3.7 to 6.4 ms when refilled at the claim, 2.6 to 2.9 when
        later.  Claims in a row share one pause, so that none starves the pool.
        """
        if self._starting is None:
            loop = asyncio.get_running_loop()
            self._starting = loop.call_later(START_SECONDS, self._started)

    def _started(self) -> None:
        self._starting = None
        self._refill()

    def _check_possible(self, function: FunctionVersion) -> None:
        if self._shut:
            raise Unavailable("the platform is shutting down")
        if function.runtime not in self._generic:
            have = ", ".join(f"`{name}`" for name in self._settings.runtimes)
            raise Unavailable(
                f"`{function.runtime}` is not on this node; it has {have}"
            )
        wanted = reserved_mb(function)
        if wanted > self._settings.memory_mb:
            raise Unavailable(
                f"`{wanted}` MB, memory and `/tmp` past {OVERCOMMITTED_MB} MB, is more "
                f"than this node has for functions, `{self._settings.memory_mb}` MB"
            )

    def _fits(self, function: FunctionVersion) -> bool:
        """Say whether the memory may be promised, after idle cells made way."""
        limit = self._settings.memory_mb
        while self._committed_mb + reserved_mb(function) > limit:
            if not self._evict():
                return False
        return True

    def _make_room(self) -> None:
        if self._total() >= self._settings.max_cells:
            self._evict()

    def _bound_tenants(self, arn: str) -> None:
        """Let the tenant ids go whose cells were used least recently, past a number."""
        while True:
            mine = [key for key in self._idle if key.arn == arn and key.tenant]
            if len({key.tenant for key in mine}) <= self._settings.idle_tenants:
                return
            self._destroy_oldest([cell for key in mine for cell in self._idle[key]])

    def _evict(self) -> bool:
        """Destroy the idle cell that was used least recently; False if none is."""
        idle = [cell for stack in self._idle.values() for cell in stack]
        if idle:
            self._destroy_oldest(idle)
        return bool(idle)

    def _destroy_oldest(self, idle: list[Cell]) -> None:
        oldest = min(idle, key=lambda cell: cell.used_at)
        self.counts.evicted += 1
        self._forget_idle(oldest)
        self.destroy(oldest)

    def _why_not(self, runtime: str) -> Exception:
        if self._back_off.get(runtime):
            return Unavailable("the platform cannot make cells now; retry later")
        return crowded("no cell became free in time")

    def _is_fit(self, cell: Cell) -> bool:
        age = self._clock.monotonic() - cell.born_at
        return (
            cell.life.stage is Stage.IDLE
            and not cell.retired
            and age < self._settings.life
            and cell.may_serve_again
        )

    def _freeze(self, cell: Cell) -> None:
        try:
            cell.freeze()
        except OSError:
            self._forget_idle(cell)
            self.destroy(cell)

    def _forget_idle(self, cell: Cell) -> None:
        if cell.key is None:
            return
        stack = self._idle.get(cell.key, [])
        if cell in stack:
            stack.remove(cell)
        if not stack:
            self._idle.pop(cell.key, None)

    def _total(self) -> int:
        return len(self._cells) + self._asked + self._closing

    def _wanted(self, runtime: str) -> int:
        return self._settings.pool + self._room.wants(runtime)

    def _refill(self) -> None:
        if self._shut:
            return
        now = self._clock.monotonic()
        for runtime, waiting in self._generic.items():
            if now < self._not_before.get(runtime, 0.0):
                continue
            wanted = self._wanted(runtime)
            if self._starting is not None:
                # While a cell starts, only calls that wait have others made.
                wanted = self._room.wants(runtime)
            while (
                len(waiting) + self._opening[runtime] < wanted
                and self._asked < PARALLEL_OPENS
                and self._total() < self._settings.max_cells
            ):
                self._opening[runtime] += 1
                self._asked += 1
                self._spawn(self._add(runtime))

    async def _add(self, runtime: str) -> None:
        """Open one generic cell; failures double the pause before the next try."""
        try:
            try:
                await self._open(runtime)
            finally:
                self._opening[runtime] -= 1
        except (WardenError, WardenGoneError):
            self.counts.refill_failures += 1
            pause = min(BACK_OFF_LAST, 2 * self._back_off.get(runtime, 0.0))
            pause = max(BACK_OFF_FIRST, pause)
            self._back_off[runtime] = pause
            self._not_before[runtime] = self._clock.monotonic() + pause
        else:
            self._back_off.pop(runtime, None)
            self._room.serve(self._find)
            self._trim(runtime)
        self._refill()

    def _trim(self, runtime: str) -> None:
        """Destroy what is one too many, when those who waited for it have left."""
        waiting = self._generic[runtime]
        while len(waiting) > self._wanted(runtime):
            self.destroy(waiting.popleft())

    async def _open(self, runtime: str) -> Cell:
        """Have a cell opened that was counted in `_asked`, and boot it."""
        try:
            answer = await self._warden.ask(
                "open", seconds=OPEN_SECONDS, runtime=runtime
            )
            cell = opened(answer, clock=self._clock, ended=self._ended)
            self._cells[cell.id] = cell
        finally:
            self._asked -= 1
        return await self._boot(cell)

    async def _boot(self, cell: Cell) -> Cell:
        """Have a new cell wait among the others.  Raises WardenGoneError."""
        try:
            await cell.boot(OPEN_SECONDS)
        except BaseException:
            self.destroy(cell)
            raise
        self.counts.opened += 1
        if self._shut:
            self.destroy(cell)
            raise WardenGoneError("the pool is closed")
        self._generic[cell.runtime].append(cell)
        return cell

    async def _close(self, cell: Cell) -> None:
        try:
            await self._warden.ask("close", cell=cell.id)
        except (WardenError, WardenGoneError):
            self.counts.close_failures += 1
        else:
            cell.life.end()
            self.counts.closed += 1
        finally:
            self._closing -= 1
        if self._room:
            self._room.serve(self._find)
        self._refill()

    def _ended(self, cell: Cell) -> None:
        """Hear that a cell ended while nobody awaited anything of it."""
        self._forget_idle(cell)
        waiting = self._generic.get(cell.runtime)
        if waiting is not None and cell in waiting:
            waiting.remove(cell)
        self.destroy(cell)

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
