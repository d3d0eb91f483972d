"""Laws of blobs."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from casemate.substrate.ports import DamagedError
from casemate.substrate.sqlite import NoKeyError
from casemate.substrate.sqlite.blobs import CHUNK
from store_stand import ALICE, BOB, Keys, store_at


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "blobs").rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_blob_is_read_back_by_its_digest(tmp_path: Path, size: int) -> None:
    """Any length, at the borders of chunks as well; after deletion it is gone."""

    async def law() -> None:
        data = os.urandom(size)
        async with store_at(tmp_path) as store:
            digest = await store.blobs.put(ALICE, data)
            assert digest == hashlib.sha256(data).hexdigest()
            assert await store.blobs.put(ALICE, data) == digest
            assert await store.blobs.get(ALICE, digest) == data
            assert len(files(tmp_path)) == 1
            await store.blobs.delete(ALICE, digest)
            await store.blobs.delete(ALICE, digest)
            with pytest.raises(KeyError):
                await store.blobs.get(ALICE, digest)
            assert files(tmp_path) == []

    asyncio.run(law())


def test_another_accounts_blob_is_not_there(tmp_path: Path) -> None:
    """Knowing the digest of another's bytes tells nothing, not even that they exist."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            digest = await store.blobs.put(ALICE, b"package")
            with pytest.raises(KeyError):
                await store.blobs.get(BOB, digest)
            await store.blobs.delete(BOB, digest)
            assert await store.blobs.get(ALICE, digest) == b"package"

    asyncio.run(law())


def test_a_digest_is_never_a_path(tmp_path: Path) -> None:
    """What is not 64 hex digits is not there, and touches no file."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            for name in ("../../state.db", "", "a" * 63, "A" * 64, "a" * 64 + "\n"):
                with pytest.raises(KeyError):
                    await store.blobs.get(ALICE, name)
                await store.blobs.delete(ALICE, name)
            assert (tmp_path / "state.db").exists()

    asyncio.run(law())


def _cut(data: bytes) -> bytes:
    return data[: 4 + (4 + 45 + CHUNK)]


def _swapped(data: bytes) -> bytes:
    step = 4 + 45 + CHUNK
    return (
        data[:4]
        + data[4 + step : 4 + 2 * step]
        + data[4 : 4 + step]
        + data[4 + 2 * step :]
    )


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _swapped,
        lambda data: data[:-1],
        lambda data: data[: 4 + 2],
        lambda data: data + b"\0",
        lambda data: data[:0],
        lambda data: data[:1000] + bytes([data[1000] ^ 1]) + data[1001:],
        lambda data: b"XXXX" + data[4:],
    ],
    ids=["cut", "swapped", "short", "header", "longer", "empty", "flipped", "other"],
)
def test_a_damaged_blob_is_never_given(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    """Cut at a chunk, chunks swapped, a bit flipped: an error, and a put repairs it."""

    async def law() -> None:
        data = os.urandom(2 * CHUNK + 10)
        async with store_at(tmp_path) as store:
            digest = await store.blobs.put(ALICE, data)
            (path,) = files(tmp_path)
            path.write_bytes(damage(path.read_bytes()))
            with pytest.raises(DamagedError):
                await store.blobs.get(ALICE, digest)
            await store.blobs.put(ALICE, data)
            assert await store.blobs.get(ALICE, digest) == data

    asyncio.run(law())


def test_a_blob_put_in_the_place_of_another_is_refused(tmp_path: Path) -> None:
    """Whoever can write the folder cannot serve one package for another."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            await store.blobs.put(ALICE, b"good")
            (good,) = files(tmp_path)
            digest = await store.blobs.put(ALICE, b"other")
            (other,) = set(files(tmp_path)) - {good}
            other.write_bytes(good.read_bytes())
            with pytest.raises(DamagedError):
                await store.blobs.get(ALICE, digest)

    asyncio.run(law())


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    """A half-written blob is gone at the next start."""

    async def law() -> None:
        async with store_at(tmp_path):
            (tmp_path / "blobs" / "unfinished" / "left").write_bytes(b"half")
        async with store_at(tmp_path):
            assert files(tmp_path) == []

    asyncio.run(law())


def test_an_account_without_a_key_stores_nothing(tmp_path: Path) -> None:
    """Absence refuses."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            with pytest.raises(NoKeyError):
                await store.blobs.put(Keys().unknown, b"data")
            assert files(tmp_path) == []

    asyncio.run(law())
