"""What tests of the store need: keys, a clock that they set, a store that closes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from casemate.core.clock import Clock, SystemClock
from casemate.seal.envelope import Envelope
from casemate.substrate.sqlite import Limits, Store, open_store

FILE_KEY = bytes(range(32))
SMALL = Limits(reserve_bytes=0, cache_bytes=400_000)
ALICE = "111111111111"
BOB = "222222222222"


@dataclass(slots=True)
class Keys:
    """A key ring of every account but `unknown`, the same in every process."""

    unknown: str = "999999999999"

    def key(self, account: str) -> bytes:
        if account == self.unknown:
            raise KeyError(account)
        return hashlib.sha256(b"test key of " + account.encode()).digest()


@dataclass(slots=True)
class SetClock:
    """A clock that stands until it is set."""

    wall: float = 1_700_000_000.0
    running: float = 1000.0

    def now(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.running

    def forward(self, seconds: float) -> None:
        self.wall += seconds
        self.running += seconds


def opened(
    folder: Path, *, clock: Clock | None = None, limits: Limits = SMALL
) -> Store:
    """Open a store with the tests' keys."""
    return open_store(
        folder,
        file_key=FILE_KEY,
        keyring=Keys(),
        envelope=Envelope(os.urandom),
        clock=clock or SystemClock(),
        randomness=os.urandom,
        limits=limits,
    )


@asynccontextmanager
async def store_at(
    folder: Path, *, clock: Clock | None = None, limits: Limits = SMALL
) -> AsyncIterator[Store]:
    """Open a store for a block."""
    store = opened(folder, clock=clock, limits=limits)
    try:
        yield store
    finally:
        await store.close()
