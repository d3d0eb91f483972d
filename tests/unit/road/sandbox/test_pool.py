"""How many cells the pool has made, with a warden that makes empty ones."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import uvloop

from casemate.core.clock import SystemClock
from casemate.core.errors import Refusal
from casemate.road.sandbox.cell import _DESCRIPTORS
from casemate.road.sandbox.frames import CODES, SAID, Word
from casemate.road.sandbox.pool import START_SECONDS, Pool
from casemate.road.sandbox.settings import Settings
from casemate.road.sandbox.warden import Warden
from unit.road.sandbox.function_version import FUNCTION

RUNTIME = FUNCTION.runtime


@dataclass
class Host:
    """
    The warden's end.  Its cells are descriptors; each boots when it is told to.

    boots: whether cells wait as soon as they are opened.
    """

    line: socket.socket
    boots: bool = True
    opened: int = 0
    closed: int = 0
    waiting: list[socket.socket] = field(default_factory=list)
    held: list[int | socket.socket] = field(default_factory=list)

    def hear(self) -> None:
        question = json.loads(self.line.recv(1 << 18))
        if question["verb"] == "open":
            self._open(question["id"])
            return
        self.closed += question["verb"] == "close"
        self.line.send(json.dumps({"id": question["id"], "ok": {}}).encode())

    def _open(self, number: int) -> None:
        self.opened += 1
        ours, theirs = socket.socketpair()
        files = {name: os.open("/dev/null", os.O_RDWR) for name in _DESCRIPTORS}
        for name in ("stdout", "stderr"):
            os.close(files[name])
            files[name], kept = os.pipe()
            self.held.append(kept)
        os.close(files["control"])
        files["control"] = theirs.detach()
        ok = {"cell": f"c{self.opened:016x}", "runtime": RUNTIME, "fds": [*files]}
        answer = json.dumps({"id": number, "ok": ok}).encode()
        socket.send_fds(self.line, [answer], list(files.values()))
        for descriptor in files.values():
            os.close(descriptor)
        self.waiting.append(ours)
        if self.boots:
            self.boot()

    def boot(self) -> None:
        """Have every cell that was opened say that it waits."""
        for ours in self.waiting:
            ours.send(SAID.pack(CODES[Word.WAITING], 0, 0))
        self.held += self.waiting
        self.waiting.clear()

    def close(self) -> None:
        for one in (*self.held, *self.waiting):
            if isinstance(one, int):
                os.close(one)
            else:
                one.close()


@contextmanager
def _host(line: socket.socket, *, boots: bool) -> Iterator[Host]:
    host = Host(line, boots)
    loop = asyncio.get_running_loop()
    loop.add_reader(line, host.hear)
    try:
        yield host
    finally:
        loop.remove_reader(line)
        host.close()


def run(
    test: Callable[[Pool, Host], Awaitable[None]],
    *,
    pool: int,
    boots: bool = True,
    claim: float = 10.0,
) -> None:
    """Run a test on a pool and its host, and close both."""
    settings = Settings(region="us-east-1", runtimes=(RUNTIME,), pool=pool, claim=claim)

    async def main() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        warden = Warden(ours)
        warden.start()
        made = Pool(warden, settings, SystemClock())
        with theirs, _host(theirs, boots=boots) as host:
            async with asyncio.timeout(10):
                await test(made, host)
                await made.close()
            warden.stop()

    uvloop.run(main())


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds that has no event of its own."""
    while not holds():  # noqa: ASYNC110 — see above
        await asyncio.sleep(0.001)


async def settled(pool: Pool, seconds: float = 0.05) -> None:
    """Let turns pass, more often than they do; nothing may be left to be done."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        pool.turn()
        await asyncio.sleep(0.001)


def waiting(pool: Pool) -> object:
    found = pool.facts()["generic"]
    return found[RUNTIME] if isinstance(found, dict) else None


@pytest.mark.parametrize("wanted", [0, 1, 4, 6])
def test_the_pool_opens_as_many_as_it_keeps(wanted: int) -> None:
    """A cell that boots counts, however often the pool looks meanwhile."""

    async def test(pool: Pool, host: Host) -> None:
        pool.start()
        await settled(pool)
        assert wanted == host.opened
        for _ in range(2):
            host.boot()
            await settled(pool)
        assert (wanted, wanted) == (host.opened, waiting(pool))

    run(test, pool=wanted, boots=False)


def test_a_pool_of_none_opens_one_for_each_call() -> None:
    """`--pool 0`: a call has a cell made for it, and none is left over."""

    async def test(pool: Pool, host: Host) -> None:
        pool.start()
        claim = asyncio.ensure_future(pool.claim(FUNCTION, float("inf")))
        await settled(pool)
        host.boot()
        cell = await claim
        await settled(pool)
        assert (1, 0) == (host.opened, waiting(pool))
        pool.destroy(cell)

    run(test, pool=0, boots=False)


def test_what_a_call_no_longer_waits_for_is_destroyed() -> None:
    """A cell that comes too late is one too many, and goes again."""

    async def test(pool: Pool, host: Host) -> None:
        pool.start()
        with pytest.raises(Refusal):
            await pool.claim(FUNCTION, float("inf"))
        host.boot()
        await until(lambda: host.closed == 1)
        await settled(pool)
        assert (1, 0) == (host.opened, waiting(pool))

    run(test, pool=0, boots=False, claim=0.01)


def test_a_cell_that_starts_has_the_processor_first() -> None:
    """The next cell is made some time after a claim, whether or not a turn comes."""

    async def test(pool: Pool, host: Host) -> None:
        pool.start()
        await until(lambda: waiting(pool) == 2)
        cell = await pool.claim(FUNCTION, float("inf"))
        await settled(pool, START_SECONDS / 4)
        assert host.opened == 2
        await until(lambda: waiting(pool) == 2)
        assert host.opened == 3
        pool.destroy(cell)

    run(test, pool=2)


def test_a_call_that_waits_is_not_kept_waiting_by_a_start() -> None:
    """Where no cell waits, one is made at once, though another starts."""

    async def test(pool: Pool, host: Host) -> None:
        pool.start()
        await until(lambda: waiting(pool) == 1)
        first = await pool.claim(FUNCTION, float("inf"))
        assert pool._starting is not None
        second = await pool.claim(FUNCTION, float("inf"))
        assert pool._starting is not None
        assert host.opened == 2
        pool.destroy(first)
        pool.destroy(second)

    run(test, pool=1)
