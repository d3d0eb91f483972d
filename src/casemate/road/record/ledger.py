"""
The ledger: the chain of audit records, written in groups.

One task links and writes.  It takes whatever waits, links it to the last
record that is durable, and appends it all at once; a group that cannot be
written leaves the chain as it was and fails those who wait for it.  Linking
before the write is known to be durable was dropped: one failed group would
have left a hole in the chain.

Records that nobody waits for are held for company, at most 4 ms, and come as
drafts that are written out with their group: neither the fsync nor the writing
out is on the way of a call that does not wait for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, final

import orjson

from casemate.core.clock import Clock
from casemate.core.errors import Unavailable
from casemate.seal import chain
from casemate.substrate.ports import SHARED, Log, NewEntry, SubstrateError

STREAM: Final = "audit"
CHECKPOINTS: Final = "audit-checkpoints"
_BACKLOG: Final = 100_000
_GROUP: Final = 500
"""Records of one append; to write out so many takes the loop some 10 ms."""
LINGER: Final = 0.004
"""
Seconds that records nobody waits for are held for company.

Less than the writer's own linger, so that one commit takes a call's lines and
its record; both together are less than the 10 ms that the record may take.
"""
_RETRY: Final = 0.25
"""Seconds between attempts while the log cannot be written."""


class LedgerFullError(Unavailable):
    """The audit log cannot be written, so nothing that needs it is done."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the durable chain: count of entries, and the last link."""

    count: int
    link: bytes


class UnsignedError(Exception):
    """
    The keyholder does not sign.

    disowned: it has signed a longer chain, or another one; not merely gone.
    """

    def __init__(self, reason: str, *, disowned: bool = False) -> None:
        super().__init__(reason)
        self.disowned = disowned


Sign = Callable[[int, bytes, float], Awaitable[tuple[bytes, bytes]]]
"""Gives the statement about (count, link, epoch seconds), and its signature."""


Draft = Callable[[], bytes]
"""Writes a record out; called once or more, and gives the same bytes."""


@final
@dataclass(frozen=True, slots=True)
class _Waiting:
    at: int
    data: bytes | Draft
    durable: asyncio.Future[int] | None

    def written(self) -> bytes:
        """Give the record's bytes."""
        return self.data if isinstance(self.data, bytes) else self.data()


@final
class Ledger:
    """The one writer of the audit chain."""

    def __init__(
        self,
        *,
        log: Log,
        instance: str,
        sign: Sign,
        clock: Clock,
        every: int = 1_000,
        seconds: float = 60.0,
    ) -> None:
        """
        Make a ledger over a log.

        instance: what the chain starts from, so that it fits no other platform.
        every, seconds: a checkpoint is signed after so many records, or so
        long after the last one if there were any.
        """
        self._log = log
        self._sign = sign
        self._clock = clock
        self._every = every
        self._seconds = seconds
        self._start = chain.start(instance)
        self._head = self._last_head()
        self._signed = -1
        self._signed_at = clock.monotonic()
        self._disowned = False
        self._waiting: list[_Waiting] = []
        self._settling: list[asyncio.Future[None]] = []
        self.unsigned: str | None = None
        """Why the last checkpoint was not signed, or None."""
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._signing = asyncio.Lock()
        self._failed: SubstrateError | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def head(self) -> Head:
        """The end of the chain as it is on disk."""
        return self._head

    @property
    def backlog(self) -> int:
        """Count the records that are not durable yet."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._write(), name="ledger")

    async def close(self) -> None:
        """Write what waits, sign a last checkpoint, and stop."""
        self._stopping = True
        self._wake.set()
        self._hurry.set()
        if self._task:
            await self._task
        self._settle()
        await self._checkpoint()

    async def seal(self) -> None:
        """Wait until all that was handed in is durable, and sign the head."""
        if self._waiting:
            settled = asyncio.get_running_loop().create_future()
            self._settling.append(settled)
            self._hurry.set()
            await settled
        await self._checkpoint()

    def check(self, *, durable: bool = True) -> None:
        """
        Raise LedgerFullError if a record could not be written.

        durable: now, because the call's answer waits for it; otherwise the
        record may wait, but not past the bound of the backlog.
        """
        failing = durable and self._failed is not None
        if failing or len(self._waiting) >= _BACKLOG:
            raise LedgerFullError(
                "the audit log cannot be written, so this call is refused; "
                "the operator must make room on the disk",
                evidence={"cause": str(self._failed or "backlog")},
            )

    async def append(self, at: int, data: bytes) -> int:
        """Append a record durably and give its position.  at: epoch milliseconds."""
        durable: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._enqueue(_Waiting(at, data, durable))
        self._hurry.set()
        return await durable

    def append_soon(self, at: int, data: bytes | Draft) -> None:
        """
        Append a record with the next group, without waiting.

        A draft holds on to its call until it is written out, so those past the
        next group are written out at once: while nothing can be appended, calls
        do not pile up in memory.
        """
        if len(self._waiting) >= _GROUP and not isinstance(data, bytes):
            data = data()
        self._enqueue(_Waiting(at, data, None))

    def _enqueue(self, waiting: _Waiting) -> None:
        self._waiting.append(waiting)
        self._wake.set()

    async def _write(self) -> None:
        # The head is signed as it was found, before anything is put on top: what
        # was cut off while nobody looked is not made good by new records.
        await self._checkpoint()
        while True:
            if not self._waiting:
                if self._stopping:
                    return
                self._wake.clear()
                await self._pause()
                continue
            await self._linger()
            group = self._waiting[:_GROUP]
            if await self._write_group(group):
                del self._waiting[: len(group)]
                self._settle()
            elif self._stopping:
                return
            else:
                await asyncio.sleep(_RETRY)
            await self._checkpoint_if_due()

    async def _linger(self) -> None:
        """Wait for company, until somebody waits for a record."""
        self._hurry.clear()
        waiting = self._waiting
        hurried = self._stopping or self._settling or len(waiting) >= _GROUP
        if hurried or any(one.durable for one in waiting):
            return
        try:
            async with asyncio.timeout(LINGER):
                await self._hurry.wait()
        except TimeoutError:
            return

    def _settle(self) -> None:
        if self._waiting:
            return
        for settled in self._settling:
            if not settled.done():
                settled.set_result(None)
        self._settling.clear()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._wake.wait()
        except TimeoutError:
            await self._checkpoint_if_due()

    async def _write_group(self, group: Sequence[_Waiting]) -> bool:
        """
        Write a group; tell whether it left the backlog.

        On failure those who wait are refused, and the records are kept: the
        calls were made, so their records are owed and tried again.
        """
        records = [waiting.written() for waiting in group]
        head, entries = self._linked(group, records)
        try:
            await self._log.append(SHARED, STREAM, entries)
        except SubstrateError as error:
            self._failed = error
            for n, waiting in enumerate(group):
                if waiting.durable and not waiting.durable.done():
                    waiting.durable.set_exception(
                        LedgerFullError(
                            "the audit record of this call could not be written",
                            evidence={"cause": str(error)},
                        )
                    )
                self._waiting[n] = _Waiting(waiting.at, records[n], None)
            return False
        self._failed = None
        first = self._head.count + 1
        self._head = head
        for position, waiting in enumerate(group, start=first):
            if waiting.durable and not waiting.durable.done():
                waiting.durable.set_result(position)
        return True

    def _linked(
        self, group: Sequence[_Waiting], records: Sequence[bytes]
    ) -> tuple[Head, list[NewEntry]]:
        """Link records to the head; give the head after them, and their entries."""
        count, link, entries = self._head.count, self._head.link, []
        for waiting, data in zip(group, records, strict=True):
            count += 1
            link = chain.link(link, position=count, at=waiting.at, data=data)
            packed = chain.packed(link, data)
            entries.append(NewEntry(at=waiting.at, kind="audit", data=packed))
        return Head(count=count, link=link), entries

    async def _checkpoint_if_due(self) -> None:
        fresh = self._head.count - self._signed
        late = self._clock.monotonic() - self._signed_at >= self._seconds
        if fresh >= self._every or (fresh and late):
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        # The writer and who seals may both want one; the second finds it done.
        async with self._signing:
            await self._sign_head()

    async def _sign_head(self) -> None:
        head = self._head
        if head.count == self._signed or self._disowned:
            return
        now = self._clock.now()
        try:
            statement, signature = await self._sign(head.count, head.link, now)
        except UnsignedError as error:
            # The record goes on without a signature, and says so when verified.
            self.unsigned = str(error)
            self._disowned = error.disowned
            self._signed_at = self._clock.monotonic()
            return
        self.unsigned = None
        data = orjson.dumps(
            {"statement": statement.decode(), "signature": signature.hex()}
        )
        entry = NewEntry(at=int(now * 1000), kind="checkpoint", data=data)
        self._signed_at = self._clock.monotonic()
        try:
            await self._log.append(SHARED, CHECKPOINTS, [entry])
        except SubstrateError:
            return  # The disk is full, say: the next one covers what this one did.
        self._signed = head.count

    def _last_head(self) -> Head:
        last = self._log.read_back(SHARED, STREAM, limit=1)
        if not last:
            return Head(count=0, link=self._start)
        entry = chain.unpacked(last[0].position, last[0].at, last[0].data)
        return Head(count=entry.position, link=entry.hash)
