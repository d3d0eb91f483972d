"""
The witness: a file elsewhere that receives every signed checkpoint.

What is on this machine can be put back to an earlier day, the keyholder included;
a file on another mount, which is appended to and never read here, is not put back
with it.  One line of JSON is one checkpoint: `statement`, the bytes that were
signed, and `signature`, in hex.

A witness that cannot be written to stops nothing: what it has not received waits,
is tried again, and is told in status, in metrics and in the record.  The file is
never truncated, so a line that an ended write left half is closed by a line break
and counts for nothing.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, final

import orjson

MOST: Final = 1_000
"""Checkpoints that wait; past it the oldest goes, which later ones cover."""
RETRY: Final = 5.0
"""Seconds until a write that failed is tried again."""
PATIENCE: Final = 10.0
"""Seconds after which a write that does not end counts as a failure."""
_FAREWELL: Final = 3.0
"""Seconds that a stop waits for what has not been received."""

Told = Callable[[str], None]
"""Is told why the witness cannot be written to; empty when it can be again."""


@final
@dataclass(frozen=True, slots=True)
class _Line:
    count: int
    data: bytes


@final
class Witness:
    """The node's end of the file.  For one event loop."""

    def __init__(
        self, descriptor: int, *, retry: float = RETRY, patience: float = PATIENCE
    ) -> None:
        """descriptor: open for appending; taken over.  Times are seconds."""
        self._descriptor = descriptor
        self._retry = retry
        self._patience = patience
        self._waiting: deque[_Line] = deque(maxlen=MOST)
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()
        self._busy = False
        self._broken = True  # the life before may have left half a line
        self._task: asyncio.Task[None] | None = None
        self._told: Told | None = None
        self.count = 0
        """Records that the witness knows of, as far as this life has written."""
        self.failing = ""
        """Why it cannot be written to, or empty."""

    @property
    def waiting(self) -> int:
        """Checkpoints that it has not received."""
        return len(self._waiting)

    def start(self, told: Told) -> None:
        """Begin to write."""
        self._told = told
        self._task = asyncio.create_task(self._write(), name="witness")

    def hand(self, count: int, statement: bytes, signature: bytes) -> None:
        """Hand over a signed checkpoint of `count` records; does not wait."""
        line = {"statement": statement.decode(), "signature": signature.hex()}
        self._waiting.append(_Line(count, orjson.dumps(line) + b"\n"))
        self._settled.clear()
        self._wake.set()

    async def settled(self) -> None:
        """Wait until it has received everything, or cannot be written to."""
        await self._settled.wait()

    async def close(self) -> None:
        """Wait a little for what is not received yet, and let go of the file."""
        if self._task is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(_FAREWELL):
                    await self.settled()
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        if not self._busy:  # a thread that still writes must find no other file there
            os.close(self._descriptor)

    async def _write(self) -> None:
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            lines = list(self._waiting)
            head = b"\n" if self._broken else b""
            failed = await self._appended(head + b"".join(line.data for line in lines))
            self._broken = bool(failed)
            self._say(failed)
            if failed:
                await asyncio.sleep(self._retry)
                continue
            self.count = lines[-1].count
            while self._waiting and self._waiting[0].count <= self.count:
                self._waiting.popleft()
            if not self._waiting:
                self._settled.set()

    async def _appended(self, data: bytes) -> str:
        """Append durably, beside the loop; give why not, or empty."""
        work = asyncio.ensure_future(asyncio.to_thread(_append, self._descriptor, data))
        self._busy = True
        work.add_done_callback(self._is_free)
        try:
            done, _ = await asyncio.wait({work}, timeout=self._patience)
            if not done:
                self._say(f"no answer in {self._patience:g} s")
                await asyncio.wait({work})
            work.result()
        except OSError as error:
            return error.strerror or "the write failed"
        return ""

    def _is_free(self, _work: asyncio.Future[None]) -> None:
        self._busy = False

    def _say(self, failing: str) -> None:
        if failing:
            self._settled.set()  # a stop waits for nothing that does not come
        if failing != self.failing:
            self.failing = failing
            if self._told is not None:
                self._told(failing)


def _append(descriptor: int, data: bytes) -> None:
    """Write to the end, whole and durable.  Raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.fsync(descriptor)
