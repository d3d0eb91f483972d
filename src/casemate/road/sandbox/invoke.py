"""
One invocation, from claim to result.

    claim ─> (cold: tree ─> assign ─> init) ─> invoke ─> log, result ─> reuse or end

Whatever ends otherwise than by an answer ends the cell with it: a timeout, an
exit, memory, a caller that leaves.  Lambda's rule for a slow init holds: after
10 s the cell is ended, and the init runs again inside the invocation, under the
function's timeout.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from secrets import token_hex
from typing import Final, Protocol, final

from casemate.core.clock import Clock
from casemate.core.errors import Invalid, Unavailable
from casemate.core.event import HOPS
from casemate.core.function import (
    Ending,
    FunctionVersion,
    Invocation,
    InvocationResult,
    Split,
)
from casemate.road.sandbox.cell import Cell, Lost, Reply, key_of
from casemate.road.sandbox.environment import environment
from casemate.road.sandbox.frames import Said, Word
from casemate.road.sandbox.inflow import Inflow
from casemate.road.sandbox.lines import Lines, PlatformLines
from casemate.road.sandbox.link import Event
from casemate.road.sandbox.pool import Pool
from casemate.road.sandbox.results import Finding, conclude, judge
from casemate.road.sandbox.settings import Settings
from casemate.road.sandbox.trees import Code, Held, Refused, Trees, Unpacked, invalid
from casemate.road.sandbox.warden import Warden, WardenError, WardenGoneError

TURN_SECONDS: Final = 0.05


class Started(Protocol):
    """Hears of every cold start, once its event has ended."""

    def __call__(self, split: Split, /) -> None: ...


class Credentials(Protocol):
    """
    Where a cell's session of the function's role comes from.

    Gives the variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
    AWS_SESSION_TOKEN; the session is good in that cell only, and outlasts the
    cell's `life`.
    """

    async def __call__(
        self, function: FunctionVersion, cell_id: str, /
    ) -> Mapping[str, str]: ...


@final
@dataclass(slots=True)
class _Started:
    """
    A cell on its way to an answer.  init: milliseconds, None when warm.

    split: of a cold start; the handler's part comes last.
    """

    cell: Cell
    reply: Reply | None
    init: float | None
    split: Split | None = None


@final
class Sandbox:
    """Where functions run."""

    def __init__(
        self,
        *,
        warden: Warden,
        settings: Settings,
        code: Code,
        credentials: Credentials,
        lines: Lines,
        started: Started,
        clock: Clock,
    ) -> None:
        self._started = started
        self._warden = warden
        self._settings = settings
        self._credentials = credentials
        self._lines = lines
        self._clock = clock
        self._pool = Pool(warden, settings, clock)
        self._trees = Trees(
            warden=warden, pool=self._pool, code=code, settings=settings
        )
        self._turns: asyncio.Task[None] | None = None
        self._running = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._endings: dict[Ending, int] = dict.fromkeys(Ending, 0)

    async def start(self) -> None:
        """Begin to fill the pool; returns at once."""
        self._warden.start()
        self._pool.start()
        self._turns = asyncio.get_running_loop().create_task(self._turn_for_ever())
        self._turns.add_done_callback(self._turns_ended)

    async def drain(self, grace: float) -> None:
        """Take nothing new; let what runs finish, for `grace` seconds at most."""
        self._pool.shut()
        try:
            async with asyncio.timeout(grace):
                await self._quiet.wait()
        except TimeoutError:
            return
        finally:
            self.hand_on()

    def hand_on(self) -> None:
        """Hand the lines that wait for the next turn on now."""
        self._pool.hand_on()

    async def close(self) -> None:
        """End every cell and let go of the warden."""
        if self._turns is not None:
            self._turns.cancel()
        await self._pool.close()
        self._warden.stop()

    def retire(
        self, function_arn: str, *, version: str | None = None, keep: str | None = None
    ) -> None:
        """
        Stop using a function's cells: it was changed or deleted.

        version: whose cells, None for those of all.  keep: the revision whose
        cells stay in use; None for none.
        """
        self._pool.retire(function_arn, version=version, keep=keep)

    def cell_function(self, cell_id: str) -> FunctionVersion | None:
        """Tell which function a live cell serves."""
        return self._pool.function_of(cell_id)

    def hops_of(self, cell_id: str) -> int:
        """
        Count the hops that led to what a cell runs.

        Of a cell that is gone they are used up: what it still asks for, nobody
        can count.
        """
        hops = self._pool.hops_of(cell_id)
        return HOPS if hops is None else hops

    def facts(self) -> dict[str, object]:
        """Give the figures for metrics."""
        endings = {str(ending): count for ending, count in self._endings.items()}
        return {
            **self._pool.facts(),
            **self._trees.facts(),
            "running": self._running,
            "endings": endings,
            "late_answers": self._warden.late,
        }

    async def check(
        self, account: str, archive: bytes, sha256: str, runtime: str = ""
    ) -> Unpacked:
        """
        Unpack a package before it is stored; keeps the tree for the first call.

        Raises Invalid with the reason, Throttled, Unavailable.
        """
        try:
            return await self._trees.check(account, runtime, sha256, archive)
        except Refused as refused:
            raise invalid(refused) from refused
        except (WardenError, WardenGoneError) as error:
            raise _no_cell(error) from error

    async def run(self, invocation: Invocation) -> InvocationResult:
        """
        Run one invocation to its end.

        Raises Throttled and Unavailable when there is no cell for it, and what
        the code and credentials ports raise; what the function does wrong is a
        result.  Raises Invalid for an event without a tenant id where each is of
        one, whoever its source is, and the other way round.
        """
        function = invocation.function
        if function.per_tenant is not bool(function.tenant):
            raise Invalid("the event and its function do not agree on a tenant id")
        self._running += 1
        self._quiet.clear()
        try:
            result = await self._run(invocation)
        finally:
            self._running -= 1
            if not self._running:
                self._quiet.set()
        self._endings[result.ending] += 1
        return result

    async def _run(self, invocation: Invocation) -> InvocationResult:
        function = invocation.function
        cell = self._pool.take_idle(key_of(function))
        if cell is not None:
            cell.take_up(invocation)
            return await self._invoke(_Started(cell, None, None), invocation, 0.0)
        started = await self._start(invocation, self._settings.init)
        spent = 0.0
        if started.reply is None and started.init is not None:
            # The init was too slow: once more, on the function's own time.
            self._tell_init(started, "timeout")
            self._pool.destroy(started.cell)
            before = time.perf_counter()
            started = await self._start(invocation, function.timeout)
            spent = time.perf_counter() - before
            if started.reply is None and started.init is not None:
                return self._end(started, invocation, None, spent, initialising=True)
        if started.init is not None and not _is(started.reply, Word.INITIALIZED):
            self._tell_init(started, "error")
            return self._end(started, invocation, started.reply, 0.0, initialising=True)
        return await self._invoke(started, invocation, spent)

    async def _start(self, invocation: Invocation, seconds: float) -> _Started:
        """Have a cell of the function: a warm one, or one started now."""
        function, marks = invocation.function, [self._clock.monotonic()]
        try:
            async with self._trees.hold(function) as held:
                marks.append(self._clock.monotonic())
                cell = await self._pool.claim(function, invocation.deadline)
                marks.append(self._clock.monotonic())
                cell.take_up(invocation)
                if cell.key is not None:
                    return _Started(cell, None, None)
                try:
                    return await self._start_cold(cell, function, held, seconds, marks)
                except BaseException:
                    self._pool.destroy(cell)
                    raise
        except Refused as refused:
            raise Unavailable(
                f"the function's package cannot be used: {refused}"
            ) from refused
        except (WardenError, WardenGoneError) as error:
            raise _no_cell(error) from error

    async def _start_cold(
        self,
        cell: Cell,
        function: FunctionVersion,
        held: Held,
        seconds: float,
        marks: list[float],
    ) -> _Started:
        """Make a cell the function's.  marks: the ends of what went before."""
        stream = self._stream_name(function)
        cell.bind(function, stream, self._lines)
        both = asyncio.gather(
            self._assign(cell, function, held), self._credentials(function, cell.id)
        )
        try:
            # Both are asked, and while they work the cell makes itself the function's.
            await asyncio.sleep(0)
            cell.assign(environment(function, {}, stream, self._settings))
            _assigned, credentials = await both
        except BaseException:
            both.cancel()
            raise
        marks.append(self._clock.monotonic())
        cell.begin(credentials)
        # Nothing of the cell's is heard before the next await, so the line is first.
        cell.log.platform(PlatformLines(function).init_start(self._clock.now()))
        reply = await cell.initialised(seconds)
        marks.append(self._clock.monotonic())
        package, queue, assign, init = (
            (end - start) * 1000 for start, end in pairwise(marks)
        )
        split = Split(package=package, queue=queue, assign=assign, init=init)
        return _Started(cell, reply, init, split)

    async def _assign(self, cell: Cell, function: FunctionVersion, held: Held) -> None:
        """Have code, `/tmp` and limits given to a cell, whatever fails meanwhile."""
        answer = await self._warden.ask(
            "assign",
            cell=cell.id,
            tree=held.code,
            layers=held.layers,
            memory_mb=function.memory_mb,
            ephemeral_mb=function.ephemeral_mb,
        )
        cell.assigned(answer)

    async def _invoke(
        self, started: _Started, invocation: Invocation, spent: float
    ) -> InvocationResult:
        """Run the event.  spent: seconds of the function's time that an init took."""
        cell, function = started.cell, invocation.function
        now, mono = self._clock.now(), self._clock.monotonic()
        allowed = min(function.timeout - spent, invocation.deadline - mono)
        platform = cell.platform or PlatformLines(function)
        cell.log.platform(platform.start(now, invocation.id))
        inflow = Inflow(invocation.sink, self._settings.stream, self._clock)
        event = Event(
            id=invocation.id,
            deadline_ms=int((now + max(0.0, allowed)) * 1000),
            arn=invocation.invoked_arn,
            trace=invocation.trace.amazon(),
            client_context=invocation.client_context,
            payload=invocation.payload,
            inflow=inflow,
            tenant=function.tenant,
        )
        before = time.perf_counter()
        try:
            reply = await cell.invoke(event, allowed)
        except BaseException:
            # The caller has left, or the cell cannot be thawed: what it runs is
            # nobody's any more.
            self._pool.destroy(cell)
            raise
        cell.retired = cell.retired or inflow.broken
        took = time.perf_counter() - before
        if started.split is not None:
            started.split = replace(started.split, handler=took * 1000)
        return self._end(started, invocation, reply, spent + took)

    def _end(
        self,
        started: _Started,
        invocation: Invocation,
        reply: Reply | None,
        seconds: float,
        *,
        initialising: bool = False,
    ) -> InvocationResult:
        """Conclude: the result, the closing lines, the cell's next use or its end."""
        cell = started.cell
        allowed = _allowed(invocation, seconds)
        if reply is None:
            # The loop's timers may fire a millisecond early; the rule is whole.
            seconds = max(seconds, allowed)
        finding = judge(
            reply,
            invocation.id,
            seconds=allowed,
            out_of_memory=self._out_of_memory(cell, reply),
            initialising=initialising,
        )
        result = conclude(
            cell,
            invocation,
            finding,
            now=self._clock.now(),
            duration=seconds * 1000,
            init=started.init,
            split=started.split,
        )
        if started.split is not None:
            self._started(started.split)
        self._part(cell, finding)
        return result

    def _part(self, cell: Cell, finding: Finding) -> None:
        if finding.ending in (Ending.SUCCESS, Ending.ERROR):
            cell.log.begin("", want_tail=False)
            self._pool.release(cell)
        else:
            self._pool.destroy(cell)

    def _tell_init(self, started: _Started, status: str) -> None:
        """Write that an init has failed."""
        cell = started.cell
        if cell.function is None or started.init is None:
            return
        cell.log.drain()
        line = PlatformLines(cell.function).init_report(
            self._clock.now(), started.init, status
        )
        cell.log.platform(line)

    def _out_of_memory(self, cell: Cell, reply: Reply | None) -> bool:
        killed = isinstance(reply, Lost) and cell.cgroup.kills() > 0
        return cell.over_memory or killed

    def _turns_ended(self, turns: asyncio.Task[None]) -> None:
        """Stop taking calls: without turns nobody watches memory (fails closed)."""
        self._pool.shut()
        if not turns.cancelled() and (cause := turns.exception()) is not None:
            turns.get_loop().call_exception_handler(
                {"message": "the sandbox's turns have failed", "exception": cause}
            )

    async def _turn_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TURN_SECONDS)
            # Those that this turn freezes have a last look while they stand still.
            awake = self._pool.awake()
            self._pool.turn()
            for cell in awake:
                cell.watch_memory()

    def _stream_name(self, function: FunctionVersion) -> str:
        day = datetime.fromtimestamp(self._clock.now(), UTC)
        return f"{day:%Y/%m/%d}/[{function.version}]{token_hex(16)}"


def _is(reply: Reply | None, word: Word) -> bool:
    return isinstance(reply, Said) and reply.word is word


def _allowed(invocation: Invocation, seconds: float) -> float:
    """Give the time that a timeout's text names: the function's, unless cut short."""
    timeout = float(invocation.function.timeout)
    return timeout if seconds > timeout - 1 else seconds


def _no_cell(error: Exception) -> Unavailable:
    return Unavailable(
        "the platform cannot make a cell now; retry later",
        evidence={"warden": str(error)},
    )
