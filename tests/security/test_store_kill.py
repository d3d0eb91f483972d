"""O7: killed at any moment, or refused by the disk, the store keeps its word."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import store_victim
from casemate.seal.chain import unpacked
from casemate.seal.verify import verify
from casemate.substrate.ports import SHARED
from casemate.substrate.sqlite import Store
from store_stand import ALICE, store_at
from store_victim import INSTANCE, record

KILLS = 22
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key()


@dataclass(slots=True)
class Acknowledged:
    """What the victims were told is done."""

    lanes: dict[str, int] = field(default_factory=dict)
    audit: int = 0
    sent: set[int] = field(default_factory=set)
    working: set[int] = field(default_factory=set)
    done: set[int] = field(default_factory=set)
    blobs: dict[int, str] = field(default_factory=dict)
    endings: list[str] = field(default_factory=list)

    def hear(self, line: str) -> None:
        match line.split():
            case ["record", lane, number]:
                self.lanes[lane] = int(number)
            case ["audit", position]:
                self.audit = int(position)
            case ["sent", number]:
                self.sent.add(int(number))
            case ["working", number]:
                self.working.add(int(number))
            case ["done", number]:
                self.done.add(int(number))
            case ["blob", number, digest]:
                self.blobs[int(number)] = digest
            case _:
                self.endings.append(line)


async def victim(
    folder: Path, heard: Acknowledged, *arguments: str, lines: int | None
) -> int:
    """Run a victim; after so many acknowledgements, kill it."""
    environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        store_victim.__file__,
        str(folder),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    rest = b""
    while data := await process.stdout.read(4096):
        whole = (rest + data).split(b"\n")
        rest = whole.pop()
        for line in whole:
            heard.hear(line.decode())
        if lines is not None and (lines := lines - len(whole)) <= 0:
            process.kill()
            lines = None
    return await process.wait()


async def kept(store: Store, heard: Acknowledged) -> None:
    """Hold the store against what was acknowledged."""
    for lane, number in heard.lanes.items():
        a = store.records.get(ALICE, "lane", f"{lane}/a")
        b = store.records.get(ALICE, "lane", f"{lane}/b")
        assert a is not None
        assert b is not None
        # All or none, and at least what was told; a change that was made and
        # not yet told is allowed.
        assert a.value == b.value
        assert number <= int(a.value.split(b":")[0]) <= number + 1
        assert a.value == record(int(a.value.split(b":")[0]))
        heard.lanes[lane] = int(a.value.split(b":")[0])
    entries = store.log.read(SHARED, "audit", limit=10**6)
    links = [unpacked(entry.position, entry.at, entry.data) for entry in entries]
    verdict = verify(links, (), KEY, instance=INSTANCE)
    assert verdict.sound, verdict.findings
    assert heard.audit <= verdict.count <= heard.audit + 1
    for number, digest in heard.blobs.items():
        assert await store.blobs.get(ALICE, digest) == record(number)
    heard.blobs.clear()


async def drained(store: Store) -> Sequence[int]:
    """Take every message that is left, those still under a lease too."""
    left: list[int] = []
    while any(store.queue.depth(ALICE, "q")):
        for message in await store.queue.claim(ALICE, "q", limit=100):
            left.append(int(message.body))
            await store.queue.acknowledge(ALICE, "q", message.lease)
    return left


def test_o7_killed_at_any_moment_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    """
    O7: over 20 kills under load, every acknowledged change is there.

    Records all or none, the audit chain whole, no message lost that was sent,
    none back that was acknowledged, every blob intact.
    """
    chance = random.Random(7)  # noqa: S311 — moments to kill at, not secrets

    async def law() -> None:
        heard = Acknowledged()
        for _ in range(KILLS):
            status = await victim(tmp_path, heard, lines=chance.randint(1, 400))
            assert status == -9
            async with store_at(tmp_path) as store:
                await kept(store, heard)
        async with store_at(tmp_path) as store:
            left = set(await drained(store))
        assert not left & heard.done
        # Only one whose acknowledgement was on its way at a kill may be gone.
        assert heard.sent - heard.done - left <= heard.working
        assert len(heard.working - heard.done) <= KILLS
        assert heard.audit > KILLS
        assert len(heard.sent) > KILLS

    asyncio.run(law())


def test_o7_a_disk_that_fails_stops_the_store(tmp_path: Path) -> None:
    """
    O7: after a write error nothing more is acknowledged, and nothing is lost.

    The kernel refuses to let the files grow (EFBIG, a real input/output error
    to SQLite); every caller is told, later ones by name.
    """

    async def law() -> None:
        heard = Acknowledged()
        status = await victim(tmp_path, heard, "700000", lines=None)
        assert status == 0
        refusals = [line for line in heard.endings if line.startswith("refused")]
        assert len(refusals) == 6
        assert all(line.startswith("refused yes") for line in refusals)
        assert heard.endings[-1] != "health None"
        async with store_at(tmp_path) as store:
            await kept(store, heard)
            assert store.health().failed is None

    asyncio.run(law())
