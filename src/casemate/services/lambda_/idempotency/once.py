"""
Once for each key: the machine, driven over the records.

1. What is known of the key is judged.  An answer is given, a mismatch refused, a
   call under way waited for; that holds no cell.
2. Otherwise the key is taken, durably, before anything runs: an entry with an
   owner and a lease, written on the condition that nobody was quicker.
3. It runs.  If nothing ran, or the function said that it failed, the entry is
   removed, and the next call runs.
4. Entry and answer are durable before the answer is given.

What ends this process between (2) and (4) leaves the entry in progress until its
lease is over: until then nobody runs, and then the next call does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, final

from casemate.core.clock import Clock
from casemate.core.errors import Conflict, Invalid, Refusal, Throttled, Unavailable
from casemate.services.lambda_.idempotency import machine
from casemate.services.lambda_.idempotency.machine import Entry, Verdict
from casemate.services.lambda_.idempotency.names import Named
from casemate.services.lambda_.idempotency.store import OnceStore
from casemate.substrate.ports import FullError

MISMATCH: Final = "IdempotencyValidationException"
NO_KEY: Final = "IdempotencyKeyException"
SPENT: Final = "IdempotencyResponseException"
BUSY: Final = "IdempotencyInProgressException"

CODES: Final = (MISMATCH, NO_KEY, SPENT, BUSY)

_SLACK: Final = 1.0
"""Seconds that an answer must still live to be counted on a moment before."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OnceLimits:
    """
    Bounds of what is kept.

    answer: bytes of an answer that is kept; a larger one is not.  keys: live keys
    of an account.  bytes: of all the answers of an account.  turn: seconds after
    which a call that waits for another process looks again.
    """

    answer: int = 262_144
    keys: int = 100_000
    bytes: int = 1_073_741_824
    turn: float = 0.5


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """
    A call with a key.

    account: whose key it is.  owner: the call's id.  deadline: monotonic seconds
    until which it waits for another.  lease: the longest that it can run.  keep:
    how long its answer is kept.  Both in seconds.
    """

    account: str
    named: Named
    owner: str
    deadline: float
    lease: float
    keep: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """
    What came of a call.

    version: what ran.  error: the function's own, which is kept by nobody.
    owner: the id of the call whose answer this is, if it is an earlier one's.
    notes: for the record of the call that ran.
    """

    version: str
    payload: bytes
    error: str | None = None
    log_tail: bytes = b""
    owner: str = ""
    notes: Mapping[str, object] = field(default_factory=dict)


Run = Callable[[], Awaitable[Ran]]


@final
@dataclass(frozen=True, slots=True)
class _Running:
    """A call under way in this process."""

    entry: Entry
    over: asyncio.Event


class Once:
    """Runs what has a key once."""

    def __init__(self, store: OnceStore, clock: Clock, limits: OnceLimits) -> None:
        self._store = store
        self._clock = clock
        self._limits = limits
        self._running: dict[tuple[str, str], _Running] = {}

    def is_answered(self, account: str, named: Named) -> bool:
        """Tell whether a call would get an answer that is kept, and run nothing."""
        entry, _ = self._store.read(account, named.key)
        verdict = machine.judge(
            entry,
            payload=named.payload,
            now=self._clock.now() + _SLACK,
            is_running=False,
        )
        return verdict is Verdict.ANSWER

    async def answer(self, asked: Asked, run: Run) -> Ran:
        """
        Give the answer of a key: an earlier one, or that of running now.

        Raises what `run` raises, and a Refusal where there is no answer.
        """
        while True:
            running = self._running.get((asked.account, asked.named.key))
            entry, revision = self._store.read(asked.account, asked.named.key)
            verdict = machine.judge(
                running.entry if running else entry,
                payload=asked.named.payload,
                now=self._clock.now(),
                is_running=running is not None,
            )
            if verdict is Verdict.WAIT:
                await self._wait(asked, running)
            elif verdict is Verdict.RUN:
                ran = await self._first(asked, revision, run)
                if ran is not None:
                    return ran
            else:
                return self._told(asked, verdict, entry)

    def _told(self, asked: Asked, verdict: Verdict, entry: Entry | None) -> Ran:
        """Give what is known of a key without running anything.  (1)"""
        if verdict is Verdict.MISMATCH or entry is None:
            raise _mismatch()
        if verdict is Verdict.SPENT:
            raise _spent(entry.owner, self._limits.answer)
        payload = self._store.answer(asked.account, asked.named.key)
        if payload is None:
            raise Unavailable(
                "the answer that was kept for this idempotency key cannot be read",
                code="ServiceException",
            )
        return Ran(version=entry.version, payload=payload, owner=entry.owner)

    async def _wait(self, asked: Asked, running: _Running | None) -> None:
        """Wait for the call that has the key, until one's own deadline.  (1)"""
        left = asked.deadline - self._clock.monotonic()
        if left <= 0:
            raise _busy()
        if running is None:
            # It ran in a process that is gone: there is its lease to wait for.
            await asyncio.sleep(min(left, self._limits.turn))
            return
        try:
            async with asyncio.timeout(left):
                await running.over.wait()
        except TimeoutError as cause:
            raise _busy() from cause

    async def _first(self, asked: Asked, expected: int, run: Run) -> Ran | None:
        """Run, and keep what came of it; None if somebody else was quicker."""
        entry = machine.begun(
            owner=asked.owner,
            payload=asked.named.payload,
            now=self._clock.now(),
            lease=asked.lease,
        )
        place = (asked.account, asked.named.key)
        running = self._running[place] = _Running(entry, asyncio.Event())
        try:
            revision = await self._taken(asked, entry, expected)  # (2)
            if revision is None:
                return None
            return await self._ran(asked, entry, revision, run)
        finally:
            del self._running[place]
            running.over.set()

    async def _taken(self, asked: Asked, entry: Entry, expected: int) -> int | None:
        keys, size = await self._store.used(asked.account, self._clock.now())
        if keys >= self._limits.keys or size >= self._limits.bytes:
            raise _crowded(asked.account, self._limits)
        try:
            return await self._store.write(
                asked.account, asked.named.key, entry, expected=expected
            )
        except FullError as full:
            raise Unavailable(
                "the platform's disk is full, so the idempotency key cannot be kept "
                "and nothing was run; ask the operator for space and try again",
                code="ServiceException",
            ) from full

    async def _ran(self, asked: Asked, entry: Entry, revision: int, run: Run) -> Ran:
        try:
            ran = await run()  # (3)
        except Refusal:
            await self._forget(asked, revision)
            raise
        if ran.error is not None:
            await self._forget(asked, revision)
            return ran
        await self._keep(asked, entry, revision, ran)  # (4)
        return ran

    async def _forget(self, asked: Asked, revision: int) -> None:
        await self._store.forget(asked.account, asked.named.key, expected=revision)

    async def _keep(self, asked: Asked, entry: Entry, revision: int, ran: Ran) -> None:
        done = machine.ended(
            entry,
            version=ran.version,
            size=len(ran.payload),
            most=self._limits.answer,
            now=self._clock.now(),
            keep=asked.keep,
        )
        answer = ran.payload if done.is_kept else None
        # A clock that jumped has ended the lease, and the record with it: it was
        # under way here all the time, so nobody else has taken the key.
        for expected in (revision, 0):
            try:
                written = await self._store.write(
                    asked.account,
                    asked.named.key,
                    done,
                    expected=expected,
                    answer=answer,
                )
            except FullError as full:
                raise Unavailable(
                    "the function ran, but the platform's disk is full, so its answer "
                    "could not be kept; with the same idempotency key it may run again",
                    code="ServiceException",
                ) from full
            if written is not None:
                return
        raise Unavailable(
            "the function ran, but another call has taken its idempotency key; ask "
            "again for that call's answer",
            code="ServiceException",
        )


def no_key(expression: str) -> Invalid:
    """Say that an event has no key."""
    return Invalid(
        f"the event has nothing at `{expression}`, which is the function's idempotency "
        "key; send it, or have the policy run events without one",
        code=NO_KEY,
        members={"Type": "User"},
    )


def _mismatch() -> Invalid:
    return Invalid(
        "the event differs from the one that had this idempotency key first; send the "
        "same event, or another key",
        code=MISMATCH,
        members={"Type": "User"},
    )


def _spent(owner: str, most: int) -> Conflict:
    return Conflict(
        f"the function has run for this idempotency key (request `{owner}`), and its "
        f"answer was not kept: it has more than {most} bytes",
        code=SPENT,
        members={"Type": "User"},
    )


def _busy() -> Throttled:
    return Throttled(
        "a call with this idempotency key is still under way; ask again for its answer",
        code=BUSY,
        members={"Type": "User"},
        retry_after=1,
    )


def _crowded(account: str, limits: OnceLimits) -> Throttled:
    return Throttled(
        f"account `{account}` has as many idempotency keys as may be kept "
        f"({limits.keys} keys, {limits.bytes} bytes of answers), so nothing was run; "
        "wait for some to expire, or have policies keep them for a shorter time",
        retry_after=1,
    )
