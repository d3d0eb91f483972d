"""
The keys of what is at rest: one for the file, one for each account.

Each is random, wrapped by the keyholder under a context that names it, and
kept wrapped in the node's folder.  The node holds them open in memory; the
root key never reaches it.  Removing an account's wrapped key makes everything
that was sealed under it unreadable.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Final, Protocol, final

from casemate.core.arn import is_account
from casemate.substrate.ports import SHARED

FILE: Final = "file"
TOKENS: Final = "tokens"
ONCE: Final = "once"
_SHARED_NAME: Final = "shared"
_NAME: Final = re.compile(r"(?:file|tokens|once|shared|[0-9]{12})\Z")


class DataKey(Protocol):
    """A data key, open and wrapped."""

    @property
    def plaintext(self) -> bytes: ...
    @property
    def wrapped(self) -> bytes: ...


class Wrapper(Protocol):
    """Makes and opens data keys: the keyholder."""

    async def data_key_new(self, context: str) -> DataKey: ...
    async def data_key_open(self, context: str, wrapped: bytes) -> bytes: ...


@final
class KeyRing:
    """The open keys, by what they are for."""

    def __init__(self, folder: Path, wrapper: Wrapper) -> None:
        """Make an empty ring over a folder, which is made if it is missing."""
        folder.mkdir(mode=0o700, exist_ok=True)
        self._folder = folder
        self._wrapper = wrapper
        self._keys: dict[str, bytes] = {}
        self._making = asyncio.Lock()

    async def open(self) -> None:
        """Open every wrapped key, and make those that each node needs."""
        for path in sorted(self._folder.glob("*.key")):
            if _NAME.match(path.stem):
                wrapped = path.read_bytes()
                self._keys[path.stem] = await self._wrapper.data_key_open(
                    _context(path.stem), wrapped
                )
        for name in (FILE, TOKENS, ONCE, _SHARED_NAME):
            await self._ensure(name)

    async def add(self, account: str) -> None:
        """Make the key of an account, durably, if it has none."""
        if not is_account(account):
            raise ValueError("an account is twelve digits")
        await self._ensure(account)

    def key(self, account: str) -> bytes:
        """Give the key of an account, or of what belongs to none.  Raises KeyError."""
        return self._keys[_SHARED_NAME if account == SHARED else account]

    def named(self, name: str) -> bytes:
        """Give the key of the file, of tokens or of idempotency keys' names."""
        return self._keys[name]

    async def _ensure(self, name: str) -> None:
        async with self._making:
            if name in self._keys:
                return
            made = await self._wrapper.data_key_new(_context(name))
            _write_durably(self._folder, f"{name}.key", made.wrapped)
            self._keys[name] = made.plaintext


def _context(name: str) -> str:
    return f"casemate/data-key/{name}"


def _write_durably(folder: Path, name: str, data: bytes) -> None:
    scratch = folder / f".{name}.new"
    fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, data)
        os.fsync(fd)
    finally:
        os.close(fd)
    scratch.rename(folder / name)
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
