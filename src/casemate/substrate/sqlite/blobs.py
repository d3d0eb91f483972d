"""
Bytes by their digest, one encrypted file each.

    blobs/ab/cd/<60 hex digits>, the name being
    HMAC-SHA256(key of names, account and digest)

A name tells neither the account nor the content, and two accounts with the
same bytes have two files: nobody learns what another has stored.
The file is "CMB1", then chunks of 1 MiB, each with its length (4 bytes) and
sealed under the account's key with the digest, its number and whether it is
the last: chunks that are cut off, swapped or taken from another file do not
open.  The SHA-256 of all is
checked at each read as well.

Written beside, fsynced, renamed, and the folders fsynced: a blob is whole or
not there.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar, final

from casemate.substrate.ports import DamagedError, FullError, SubstrateError
from casemate.substrate.sqlite.limits import ClosedError
from casemate.substrate.sqlite.reserve import FULL_ERRNOS, Reserve
from casemate.substrate.sqlite.vault import Vault

CHUNK = 1_048_576
_MAGIC = b"CMB1"
_LENGTH = struct.Struct(">I")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
_PURPOSE = b"casemate blob names v1"
_THREADS = 2
_T = TypeVar("_T")


@final
class FileBlobs:
    """The `Blobs` of one folder."""

    def __init__(
        self,
        folder: Path,
        *,
        file_key: bytes,
        vault: Vault,
        reserve: Reserve,
        randomness: Callable[[int], bytes],
    ) -> None:
        """Make the folder if need be, and sweep what a killed process left."""
        self._folder = folder
        self._names = hmac.digest(file_key, _PURPOSE, "sha256")
        self._vault = vault
        self._reserve = reserve
        self._randomness = randomness
        self._threads = ThreadPoolExecutor(_THREADS, "blobs")
        self._closed = False
        self._unfinished = folder / "unfinished"
        for made in (folder, self._unfinished):
            made.mkdir(mode=0o700, exist_ok=True)
            _synced(made.parent)
        for left in self._unfinished.iterdir():
            left.unlink()

    async def put(self, account: str, data: bytes) -> str:
        """Store durably; give the digest.  Raises FullError, NoKeyError."""
        self._vault.check(account)
        return await self._elsewhere(lambda: self._put(account, bytes(data)))

    async def get(self, account: str, digest: str) -> bytes:
        """Read, and check.  Raises KeyError, DamagedError, NoKeyError."""
        return await self._elsewhere(lambda: self._get(account, digest))

    async def delete(self, account: str, digest: str) -> None:
        """Remove; removing nothing is no error."""
        await self._elsewhere(lambda: self._delete(account, digest))

    async def close(self) -> None:
        """Finish what was begun."""
        self._closed = True
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self._threads.shutdown)

    async def _elsewhere(self, work: Callable[[], _T]) -> _T:
        """Run on a thread of our own: an fsync must not stop the loop."""
        if self._closed:
            raise ClosedError("the store is closed")
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, work)
        except OSError as error:
            if error.errno in FULL_ERRNOS:
                full = "the disk is full; nothing was written"
                raise FullError(full) from error
            raise SubstrateError(f"a blob failed: {error.strerror}") from error

    def _path(self, account: str, digest: str) -> Path:
        if not _DIGEST.match(digest):
            raise KeyError(digest)
        message = b"%d:%b%b" % (len(account), account.encode(), digest.encode())
        name = hmac.digest(self._names, message, "sha256").hex()
        return self._folder / name[:2] / name[2:4] / name[4:]

    def _put(self, account: str, data: bytes) -> str:
        if not self._reserve.whole:
            raise FullError("the disk is full; only deletions are taken")
        digest = hashlib.sha256(data).hexdigest()
        path = self._path(account, digest)
        beside = self._unfinished / self._randomness(16).hex()
        try:
            _written(beside, self._sealed(account, digest, data))
            _made(path.parent)
            beside.rename(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _synced(path.parent)
        return digest

    def _sealed(self, account: str, digest: str, data: bytes) -> Iterator[bytes]:
        yield _MAGIC
        last = max((len(data) - 1) // CHUNK, 0)
        for number in range(last + 1):
            chunk = data[number * CHUNK : (number + 1) * CHUNK]
            place = ("blob", digest, number, int(number == last))
            sealed = self._vault.seal(account, chunk, *place)
            yield _LENGTH.pack(len(sealed)) + sealed

    def _get(self, account: str, digest: str) -> bytes:
        path = self._path(account, digest)
        try:
            stored = memoryview(path.read_bytes())
        except FileNotFoundError:
            raise KeyError(digest) from None
        if stored[: len(_MAGIC)] != _MAGIC:
            raise DamagedError("a blob is not one: its first bytes are wrong")
        data = self._opened(account, digest, stored[len(_MAGIC) :])
        if hashlib.sha256(data).hexdigest() != digest:
            raise DamagedError("a blob does not match its digest")
        return data

    def _opened(self, account: str, digest: str, stored: memoryview) -> bytes:
        opened: list[bytes] = []
        while stored or not opened:
            if len(stored) < _LENGTH.size:
                raise DamagedError("a blob ends in the middle")
            end = _LENGTH.size + _LENGTH.unpack_from(stored)[0]
            sealed, stored = bytes(stored[_LENGTH.size : end]), stored[end:]
            place = ("blob", digest, len(opened), int(not stored))
            opened.append(self._vault.open(account, sealed, *place))
        return b"".join(opened)

    def _delete(self, account: str, digest: str) -> None:
        try:
            path = self._path(account, digest)
            path.unlink()
        except (KeyError, FileNotFoundError):
            return
        _synced(path.parent)


def _written(path: Path, pieces: Iterator[bytes]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(path, flags, 0o600)
    try:
        for piece in pieces:
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(file, rest) :]
        os.fsync(file)
    finally:
        os.close(file)


def _made(folder: Path) -> None:
    """Make the two levels of folders, each durable before the next."""
    for level in (folder.parent, folder):
        try:
            level.mkdir(mode=0o700)
        except FileExistsError:
            continue
        _synced(level.parent)


def _synced(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)
