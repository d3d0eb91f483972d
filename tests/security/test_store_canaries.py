"""No byte of the data folder tells what is in it."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from casemate.substrate.ports import NewEntry, Put
from store_stand import store_at

CANARY = b"CANARYxq7"
ACCOUNT = "acct-CANARYxq7"
NAME = "name/CANARYxq7"


def sightings(folder: Path) -> list[str]:
    """Look for the canary in every byte and every name, in common disguises too."""
    forms = (CANARY, CANARY.hex().encode(), base64.b64encode(CANARY)[:-3])
    seen = []
    for path in folder.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        if any(form in data or form in str(path).encode() for form in forms):
            seen.append(str(path))
    return seen


def named(folder: Path, word: str) -> list[Path]:
    return [path for path in folder.rglob("*") if word in str(path)]


def test_no_canary_in_any_file_in_flight_or_at_rest(tmp_path: Path) -> None:
    """Planted in values, keys, tables, streams, queues, accounts, kinds and blobs."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            for n in range(300):
                change = Put(
                    account=ACCOUNT,
                    table=NAME,
                    key=f"{NAME}{n}",
                    value=CANARY * 50,
                    expires_at=1.0 if n % 3 == 0 else None,
                )
                await store.records.commit(change)
                entry = NewEntry(at=n, kind=NAME, data=CANARY * 20)
                store.log.append_soon(ACCOUNT, NAME, [entry])
                store.counters.add(ACCOUNT, NAME)
                attributes = {NAME: NAME}
                await store.queue.send(ACCOUNT, NAME, CANARY, attributes=attributes)
            await store.queue.claim(ACCOUNT, NAME, limit=50)
            digest = await store.blobs.put(ACCOUNT, CANARY * 300_000)
            assert (tmp_path / "state.db-wal").stat().st_size > 0
            assert (tmp_path / "state.db-shm").exists()
            assert sightings(tmp_path) == []
            await store.sweep()
            await store.log.drop(ACCOUNT, NAME)
            assert await store.blobs.get(ACCOUNT, digest)
            assert not named(tmp_path, digest)
            assert sightings(tmp_path) == []
        assert sightings(tmp_path) == []
        (tmp_path / "planted").write_bytes(CANARY)
        assert sightings(tmp_path) == [str(tmp_path / "planted")]

    asyncio.run(law())
