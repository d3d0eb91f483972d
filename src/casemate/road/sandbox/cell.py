"""
One cell, from the node's side: its life, its link, its log and its cgroup.

A cell answers one question at a time: it starts, or it runs an event, or it
unpacks a package.  The answer is what it says, or `Lost` when it ends first.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, final

from casemate.core.clock import Clock
from casemate.core.function import FunctionVersion, Invocation, Residue
from casemate.core.line import Answer
from casemate.core.packets import close_all
from casemate.road.sandbox.cgroup import Cgroup
from casemate.road.sandbox.frames import Said
from casemate.road.sandbox.life import Life, Stage, WrongStageError
from casemate.road.sandbox.lines import Lines, PlatformLines
from casemate.road.sandbox.link import Event, FrameLink, Link, Start
from casemate.road.sandbox.logs import CellLog
from casemate.road.sandbox.settings import is_managed_python
from casemate.road.sandbox.shell import ShellLink
from casemate.road.sandbox.warden import WardenGoneError

NOISE_LIMIT: Final = 1000
"""Things said out of place before a cell is taken for hostile and ended."""

_MIB: Final = 1 << 20
_DESCRIPTORS: Final = (
    "control",
    "stdout",
    "stderr",
    "api",
    "memory_peak",
    "memory_now",
    "memory_stat",
    "memory_events",
    "freezer",
    "processes",
)


class Key(NamedTuple):
    """What a cell is bound to for life; another value is another cell (R9)."""

    account: str
    arn: str
    version: str
    revision: str
    role_id: str
    residue: Residue
    tenant: str


def key_of(function: FunctionVersion) -> Key:
    """Give the key of the cells that fit a function version."""
    return Key(
        function.account,
        function.arn,
        function.version,
        function.revision,
        function.role_id,
        function.residue,
        function.tenant,
    )


@final
@dataclass(frozen=True, slots=True)
class Lost:
    """The cell ended, or had to be ended, before it answered."""

    reason: str


Reply = Said | Lost


@final
class Cell:
    """
    A live cell.

    function: None until it is bound.  used_at: monotonic seconds of the last
    change between idle and busy.  frozen: its threads stand still.
    hops: those that led to the invocation it was last given to; they hold until the
    next, for what the code still does in between.
    retired: not to be used again once it is idle.  reserved_mb: what the pool
    has promised it.  over_memory: it was ended for having more than its size.
    closing: the destruction that is under way, or done.
    """

    def __init__(
        self,
        cell_id: str,
        runtime: str,
        files: Mapping[str, int],
        cgroup_version: int,
        *,
        clock: Clock,
        ended: Callable[[Cell], None],
    ) -> None:
        """Own the descriptors that the warden gave; ended: hears an early end."""
        self.id = cell_id
        self.runtime = runtime
        self.life = Life()
        self.function: FunctionVersion | None = None
        self.key: Key | None = None
        self.platform: PlatformLines | None = None
        self.log_stream = ""
        self.hops = 0
        self.born_at = self.used_at = clock.monotonic()
        self.frozen = False
        self.retired = False
        self.reserved_mb = 0
        self.over_memory = False
        self.closing: asyncio.Task[None] | None = None
        self._clock = clock
        self._ended = ended
        self._reply: asyncio.Future[Reply] | None = None
        self._lost: str | None = None
        self.cgroup = Cgroup(
            version=cgroup_version,
            memory_peak=files["memory_peak"],
            memory_now=files["memory_now"],
            memory_stat=files["memory_stat"],
            memory_events=files["memory_events"],
            freezer=files["freezer"],
            processes=files["processes"],
        )
        self.log = CellLog(
            files["stdout"], files["stderr"], clock=clock, ended=self._silent
        )
        self._frames: FrameLink | None = None
        self._shell: ShellLink | None = None
        if is_managed_python(runtime):
            # A managed cell has no Runtime API; connecting to it is refused.
            os.close(files["api"])
            self._frames = FrameLink(
                files["control"], heard=self._heard, lost=self.lose
            )
        else:
            self._shell = ShellLink(
                files["control"], files["api"], heard=self._heard, lost=self.lose
            )
        self._link: Link = self._frames or _given(self._shell)

    @property
    def may_serve_again(self) -> bool:
        """Say whether nothing is left in it that its function forbids."""
        match self.key and self.key.residue:
            case Residue.KEEP:
                return True
            case Residue.WIPE:
                return self.cgroup.is_clean()
            case _:
                return False

    def take_up(self, invocation: Invocation) -> None:
        """Belong to an invocation, before any code runs for it."""
        self.hops = invocation.trace.hops
        self.log.begin(invocation.id, want_tail=invocation.want_log_tail)

    async def boot(self, seconds: float) -> None:
        """Wait until the generic cell waits.  Raises WardenGoneError."""
        if self._shell is not None:
            await self._shell.serve()
            self.life.stage = Stage.WAITING
            return
        if self.life.stage is Stage.BOOTING:
            reply = await self._await(seconds)
            if not isinstance(reply, Said):
                reason = reply.reason if reply else f"not within {seconds:g} s"
                raise WardenGoneError(f"a new cell does not boot: {reason}")

    def bind(self, function: FunctionVersion, log_stream: str, lines: Lines) -> None:
        """Give the cell to a function, before any of its code is mounted."""
        self.life.assign()
        self.function = function
        self.key = key_of(function)
        self.log_stream = log_stream
        self.platform = PlatformLines(function)
        self.log.bind(function, log_stream, lines)

    def assign(self, environment: Mapping[str, str]) -> None:
        """Tell the waiting process whose it is, but for its credentials."""
        if self.function is None:
            raise WrongStageError("only a cell that is bound is assigned")
        start = Start(
            function=self.function,
            environment=environment,
            log_stream=self.log_stream,
        )
        self._link.assign(start)

    def begin(self, credentials: Mapping[str, str]) -> None:
        """Have the function's module loaded; `initialised` tells what came of it."""
        if self._lost is None:
            self.life.initialise()
            self._link.begin(credentials)

    async def initialised(self, seconds: float) -> Reply | None:
        """Await the module, or the end of a cell; None when the time is up."""
        return await self._await(seconds)

    async def invoke(self, event: Event, seconds: float) -> Reply | None:
        """Run one event; None when the time is up."""
        if self._lost is not None:  # it ended after its init had answered
            return Lost(self._lost)
        self.life.invoke(event.id)
        self.used_at = self._clock.monotonic()
        try:
            self.thaw()
        except OSError as error:
            return Lost(f"the cell cannot be thawed: {error.strerror}")
        self._link.send(event)
        reply = await self._await(seconds)
        self.used_at = self._clock.monotonic()
        return reply

    async def unpack(
        self, archive: int, limits: Mapping[str, object], seconds: float
    ) -> Reply | None:
        """Unpack a package in a workshop cell; None when the time is up."""
        if self._frames is None:
            return Lost("this runtime has no workshop")
        self.life.work()
        try:
            self._frames.unpack(archive, limits)
        except OSError as error:
            return Lost(f"the cell does not take the package: {error.strerror}")
        return await self._await(seconds)

    def lose(self, reason: str) -> None:
        """End what is under way: the cell will say nothing more."""
        if self._lost is not None:
            return
        self._lost = reason
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(Lost(reason))
        else:
            self._ended(self)

    def assigned(self, answer: Answer) -> None:
        """Own what the warden's `assign` gave.  Raises WardenGoneError."""
        if answer.ok.get("fds") != ["scratch"] or len(answer.descriptors) != 1:
            close_all(answer.descriptors)
            raise WardenGoneError("the warden assigned a cell without its descriptor")
        self.cgroup.weigh(answer.descriptors[0])

    def watch_memory(self) -> None:
        """
        End the cell if its own memory is past its function's size.

        The kernel's limit is that plus `/tmp`, so this one is ours to keep.
        """
        if self.function is None:
            return
        limit = self.function.memory_mb * _MIB
        # One number is cheap; the sum is made only when it may be over.
        if self.cgroup.charged() > limit and self.cgroup.own() > limit:
            self.over_memory = True
            self.lose("the function uses more memory than it has")

    def freeze(self) -> None:
        """Stop the cell's threads until it is used again."""
        if not self.frozen:
            self.cgroup.freeze()
            self.frozen = True

    def thaw(self) -> None:
        """Let the cell's threads run."""
        if self.frozen:
            self.cgroup.thaw()
            self.frozen = False

    def let_go(self) -> None:
        """Close every descriptor; the warden ends the cell itself."""
        self._lost = self._lost or "the platform closed the cell"
        if self._reply is not None and not self._reply.done():
            self._reply.set_result(Lost(self._lost))
        self._link.close()
        self.log.close()
        self.cgroup.close()

    async def _await(self, seconds: float) -> Reply | None:
        if self._lost is not None:
            return Lost(self._lost)
        loop = asyncio.get_running_loop()
        reply: asyncio.Future[Reply | None] = loop.create_future()
        self._reply = reply  # type: ignore[assignment] # wider by the timer's None
        # A timer and a future cost a third of asyncio.timeout's time here.
        timer = loop.call_later(max(0.0, seconds), _expire, reply)
        try:
            return await reply
        finally:
            timer.cancel()
            self._reply = None

    def _heard(self, said: Said) -> None:
        if self.life.hear(said):
            if self._reply is not None and not self._reply.done():
                self._reply.set_result(said)
        elif self.life.dropped > NOISE_LIMIT:
            self.lose("the cell says too much that nobody asked")

    def _silent(self) -> None:
        # Both pipes are at their end: no process holds them, so none is left
        # (or the code has closed its output for good, which ends it as well).
        self.lose("the cell has ended")


def opened(answer: Answer, *, clock: Clock, ended: Callable[[Cell], None]) -> Cell:
    """Make a cell of what the warden's `open` gave.  Raises WardenGoneError."""
    names = answer.ok.get("fds")
    given = tuple(names) if isinstance(names, list) else ()
    if given != _DESCRIPTORS or len(given) != len(answer.descriptors):
        close_all(answer.descriptors)
        raise WardenGoneError("the warden opened a cell without its descriptors")
    return Cell(
        str(answer.ok["cell"]),
        str(answer.ok["runtime"]),
        dict(zip(given, answer.descriptors, strict=True)),
        2 if answer.ok.get("cgroup") == 2 else 1,  # noqa: PLR2004 — cgroup v2
        clock=clock,
        ended=ended,
    )


def _expire(reply: asyncio.Future[Reply | None]) -> None:
    if not reply.done():
        reply.set_result(None)


def _given(link: ShellLink | None) -> ShellLink:
    if link is None:
        raise TypeError("a cell has one of two links")
    return link
