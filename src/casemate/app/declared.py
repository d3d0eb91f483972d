"""
What the platform has, without running it.

The house is composed as the node composes it, on a folder that goes away and
under keys that are forgotten, and asked for its catalog: so what is listed is
what is served, and no second list has to be kept.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

from casemate.app.compose import Site, compose
from casemate.app.keyring import FILE, TOKENS, KeyRing
from casemate.app.settings import Settings
from casemate.core.clock import SystemClock
from casemate.core.operation import Operation
from casemate.road.sandbox.warden import Warden
from casemate.seal.envelope import Envelope
from casemate.seal.keyholder import DataKey, Keyholder, PublicKeys
from casemate.seal.token import Tokens
from casemate.substrate.sqlite import Store, open_store


@final
@dataclass(frozen=True, slots=True)
class Forgetful:
    """Wraps keys of a store that nobody opens again: nothing of them is kept."""

    async def data_key_new(self, _context: str) -> DataKey:
        return DataKey(plaintext=os.urandom(32), wrapped=b"")

    async def data_key_open(self, context: str, _wrapped: bytes) -> bytes:
        raise KeyError(context)


@asynccontextmanager
async def declared_operations() -> AsyncIterator[list[Operation]]:
    """List every operation, in order of service and name, while its store is open."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pairs = [socket.socketpair() for _ in range(2)]
        for ours, theirs in pairs:
            stack.enter_context(ours)
            stack.enter_context(theirs)
        keyholder = Keyholder(pairs[0][0])
        stack.callback(keyholder.close)
        keyring = KeyRing(folder / "keys", Forgetful())
        await keyring.open()
        store = _store(folder, keyring)
        try:
            site = _site(folder, keyholder, keyring, store, Warden(pairs[1][0]))
            yield compose(site).catalog.all()
        finally:
            await store.close()


def _store(folder: Path, keyring: KeyRing) -> Store:
    return open_store(
        folder,
        file_key=keyring.named(FILE),
        keyring=keyring,
        envelope=Envelope(os.urandom),
        clock=SystemClock(),
        randomness=os.urandom,
    )


def _site(
    folder: Path, keyholder: Keyholder, keyring: KeyRing, store: Store, warden: Warden
) -> Site:
    clock = SystemClock()
    return Site(
        settings=Settings(
            data=str(folder),
            region="us-east-1",
            host="127.0.0.1",
            port=0,
            instance="",
            pool=0,
            grace=0.0,
            cores=1,
            memory_mb=1,
            trees_mb=1,
            runtimes=(),
            ca="",
            names=(),
            accepted=(),
            lowered={},
            unsafe=(),
            replay="allow",
        ),
        clock=clock,
        keyholder=keyholder,
        public=PublicKeys(ca="", audit_key="", audit_key_id=""),
        keyring=keyring,
        store=store,
        tokens=Tokens(
            key=keyring.named(TOKENS), envelope=Envelope(os.urandom), clock=clock
        ),
        warden=warden,
    )
