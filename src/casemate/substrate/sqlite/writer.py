"""
The one writer: a thread that commits in groups.

It takes what is in its inbox, applies it in one transaction, commits (one
fsync), and tells all who wait with one call into their loop.  A group is
whatever came while the last one was being committed; nobody who waits is made
to wait for company.  Only what nobody waits for (`append_soon`, counters)
lingers, at most 5 ms.

What keeps one failure from the others:

- a job checks before it writes, and raises SubstrateError only while it has
  written nothing: it fails alone, the group goes on;
- any other failure rolls the group back, and each job is run again in a
  transaction of its own;
- the disk is full: reserved jobs are run again with space from the reserve,
  the others fail with FullError;
- the disk itself fails (or the file is damaged): everything fails, now and
  later, until a restart has looked at the file.

Dropped: a savepoint per job; it cost 9 µs each, for failures that are rare.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, final

import apsw

from casemate.substrate.ports import FullError, SubstrateError
from casemate.substrate.sqlite.file import is_fatal, is_full, turned
from casemate.substrate.sqlite.limits import ClosedError
from casemate.substrate.sqlite.reserve import Reserve

LINGER = 0.005
"""Seconds that work nobody waits for is held for company; the port allows 10 ms."""

_GROUP = 2000
_NUDGE: Final = object()
_CLOSE: Final = object()


@final
@dataclass(slots=True, kw_only=True)
class Job:
    """
    One change, all of it or none.

    apply: called within a transaction on the writer's thread, perhaps twice;
    it raises SubstrateError only before it has written anything.
    grows: takes space that a tenant may fill, so it gets none of the reserve.
    committed: called on the writer's thread once it is durable.
    heard: called on the loop, before the future is resolved.
    failed: called on the writer's thread, of work that nobody waits for.
    """

    apply: Callable[[apsw.Connection], Any]
    grows: bool = True
    committed: Callable[[Any], None] | None = None
    heard: Callable[[Any], None] | None = None
    failed: Callable[[Exception], None] | None = None
    future: asyncio.Future[Any] | None = None


class Memory(Protocol):
    """What a port remembers between jobs on the writer's thread."""

    def before_commit(self, connection: apsw.Connection) -> None:
        """Write what was kept back until the end of the transaction."""
        ...

    def rolled_back(self) -> None:
        """Forget everything that the transaction may have put into memory."""
        ...


class Lazy(Protocol):
    """What collects work that nobody waits for."""

    def take(self) -> Sequence[Job]:
        """Give the work collected so far, and forget it."""
        ...


@dataclass(frozen=True, slots=True)
class _Ending:
    job: Job
    result: Any = None
    error: Exception | None = None


@final
class Writer:
    """Owns the connection that writes."""

    def __init__(self, connection: apsw.Connection, reserve: Reserve) -> None:
        self._connection = connection
        self._reserve = reserve
        self._inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
        self._memories: list[Memory] = []
        self._lazies: list[Lazy] = []
        self._nudged = False
        self._closed = False
        self.failed: str | None = None
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(
        self, memories: Sequence[Memory] = (), lazies: Sequence[Lazy] = ()
    ) -> None:
        """Begin to work for these ports."""
        self._memories += memories
        self._lazies += lazies
        self._thread.start()

    async def run(self, job: Job) -> Any:
        """Have a job committed; give its result.  Raises SubstrateError."""
        if self._closed:
            raise ClosedError("the store is closed")
        job.future = asyncio.get_running_loop().create_future()
        self._inbox.put(job)
        return await job.future

    def nudge(self) -> None:
        """Say that a lazy port has work.  Raises ClosedError."""
        if self._closed:
            raise ClosedError("the store is closed")
        if not self._nudged:
            self._nudged = True
            self._inbox.put(_NUDGE)

    async def close(self) -> None:
        """Commit what is there, flush the log into the file, end the thread."""
        if not self._closed:
            self._closed = True
            self._inbox.put(_CLOSE)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join)

    def _run(self) -> None:
        closing = False
        while not closing:
            jobs, closing = self._gathered()
            try:
                self._deliver(self._group(jobs))
            except Exception as error:  # noqa: BLE001 — the thread's end would leave all waiting
                self.failed = f"the writer broke: {error!r}"
                self._deliver([_Ending(job, error=self._stopped()) for job in jobs])
        self._last_words()

    def _gathered(self) -> tuple[list[Job], bool]:
        """Wait for work; give all that is there, and whether to end after it."""
        jobs: list[Job] = []
        item = self._inbox.get()
        if item is _NUDGE:
            item = self._lingered()
        while len(jobs) < _GROUP and item is not None and item is not _CLOSE:
            if isinstance(item, Job):
                jobs.append(item)
            item = self._next()
        if isinstance(item, Job):
            jobs.append(item)
        # Cleared first: what is added from here on nudges again.  Taken last
        # and put first: what was appended without waiting, and then something
        # with waiting, keep their order.
        self._nudged = False
        lazy = [job for port in self._lazies for job in port.take()]
        return lazy + jobs, item is _CLOSE

    def _lingered(self) -> object | None:
        try:
            return self._inbox.get(timeout=LINGER)
        except queue.Empty:
            return None

    def _next(self) -> object | None:
        try:
            return self._inbox.get_nowait()
        except queue.Empty:
            return None

    def _group(self, jobs: Sequence[Job]) -> list[_Ending]:
        if not jobs:
            return []
        if self.failed is not None:
            return [_Ending(job, error=self._stopped()) for job in jobs]
        refused: list[_Ending] = []
        if not self._reserve.whole and not self._reserve.restore():
            full = FullError("the disk is full; only deletions are taken")
            refused = [_Ending(job, error=full) for job in jobs if job.grows]
            jobs = [job for job in jobs if not job.grows]
        try:
            endings = self._together(jobs) if jobs else []
        except Exception as error:  # noqa: BLE001 — whatever it was, each job meets it alone
            self._rollback()
            self._judged(error)
            endings = [self._alone(job) for job in jobs]
        if not self._reserve.whole:
            self._shrink()
        return refused + endings

    def _together(self, jobs: Sequence[Job]) -> list[_Ending]:
        """Run jobs in one transaction."""
        endings: list[_Ending] = []
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        for job in jobs:
            try:
                endings.append(_Ending(job, result=job.apply(connection)))
            except SubstrateError as error:
                endings.append(_Ending(job, error=error))
        for memory in self._memories:
            memory.before_commit(connection)
        connection.execute("COMMIT")
        return endings

    def _alone(self, job: Job) -> _Ending:
        """Run a job in its own transaction, with the reserve if it may."""
        while self.failed is None:
            try:
                return self._together([job])[0]
            except Exception as error:  # noqa: BLE001 — the job ends here, told why
                self._rollback()
                if is_full(error) and not job.grows and self._reserve.cut():
                    continue
                return _Ending(job, error=self._judged(error))
        return _Ending(job, error=self._stopped())

    def _judged(self, error: Exception) -> Exception:
        if not isinstance(error, apsw.Error):
            return error
        mine = turned(error)
        mine.__cause__ = error
        if is_fatal(error):
            self.failed = str(mine)
        return mine

    def _rollback(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            # What is in doubt is not written on.
            self.failed = f"a rollback failed: {error}"
        for memory in self._memories:
            memory.rolled_back()

    def _stopped(self) -> ClosedError:
        return ClosedError(f"the store has stopped writing: {self.failed}")

    def _shrink(self) -> None:
        """While space is short, give pages that deletions freed back to the disk."""
        try:
            if self._connection.pragma("freelist_count"):
                self._connection.pragma("incremental_vacuum")
            self._connection.pragma("wal_checkpoint", "truncate")
        except apsw.Error as error:
            if is_fatal(error):
                self.failed = str(turned(error))

    def _deliver(self, endings: Sequence[_Ending]) -> None:
        """Tell everybody, with one call for each loop (there is one)."""
        loops: dict[asyncio.AbstractEventLoop, list[_Ending]] = {}
        for ending in endings:
            if ending.error is None and ending.job.committed is not None:
                ending.job.committed(ending.result)
            future = ending.job.future
            if future is not None:
                loops.setdefault(future.get_loop(), []).append(ending)
            elif ending.error is not None and ending.job.failed is not None:
                ending.job.failed(ending.error)
        for loop, its in loops.items():
            try:
                loop.call_soon_threadsafe(_told, loop, its)
            except RuntimeError:
                # The loop is closed: nobody waits any more, and the work is done.
                continue

    def _last_words(self) -> None:
        """Fail what came too late, and leave one whole file."""
        late = []
        while (item := self._next()) is not None:
            if isinstance(item, Job):
                late.append(_Ending(item, error=ClosedError("the store is closed")))
        self._deliver(late)
        try:
            self._connection.pragma("wal_checkpoint", "truncate")
            self._connection.close()
        except apsw.Error as error:
            # Nothing is lost: the log is read at the next start.
            self.failed = self.failed or str(turned(error))


def _told(loop: asyncio.AbstractEventLoop, endings: Sequence[_Ending]) -> None:
    """Run the watchers first, so that whoever waits finds them up to date."""
    for ending in endings:
        if ending.error is None and ending.job.heard is not None:
            try:
                ending.job.heard(ending.result)
            except Exception as error:  # noqa: BLE001 — a watcher's failure is its own
                message = "a watcher of the store failed"
                loop.call_exception_handler({"message": message, "exception": error})
    for ending in endings:
        future = ending.job.future
        if future is None or future.done():
            continue
        if ending.error is not None:
            future.set_exception(ending.error)
        else:
            future.set_result(ending.result)
