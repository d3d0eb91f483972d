"""
A process that uses a store until it is killed, or until the disk refuses.

    store_victim.py FOLDER [bytes a file may grow to]

It writes one line for each acknowledged change, after the acknowledgement:
`record N`, `audit N`, `sent N`, `done N`, `blob N DIGEST`; `working N` before it
acknowledges a message; and `refused NAME` for a failure.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from pathlib import Path

from casemate.seal.chain import link, packed, start
from casemate.substrate.ports import SHARED, NewEntry, Put, SubstrateError
from casemate.substrate.sqlite import Store
from store_stand import ALICE, opened

INSTANCE = "victim"


def told(line: str) -> None:
    os.write(1, line.encode() + b"\n")


def record(number: int) -> bytes:
    return b"%d:" % number + bytes([number % 251]) * (number * 37 % 3000)


async def records(store: Store, lane: int) -> None:
    """Count one record up, with a second one that must always be equal."""
    number = 0
    found = store.records.get(ALICE, "lane", f"{lane}/a")
    if found is not None:
        number = int(found.value.split(b":")[0])
    while True:
        number += 1
        value = record(number)
        await store.records.commit(
            Put(account=ALICE, table="lane", key=f"{lane}/a", value=value),
            Put(account=ALICE, table="lane", key=f"{lane}/b", value=value),
        )
        told(f"record {lane} {number}")


async def audit(store: Store) -> None:
    """Append to the chain."""
    position, head = 0, start(INSTANCE)
    for entry in store.log.read_back(SHARED, "audit", limit=1):
        position, head = entry.position, entry.data[:32]
    while True:
        position += 1
        data = b'{"n":%d}' % position
        head = link(head, position=position, at=position, data=data)
        new = NewEntry(at=position, kind="audit", data=packed(head, data))
        given = await store.log.append(SHARED, "audit", [new])
        assert given == position
        told(f"audit {position}")


async def queue(store: Store) -> None:
    """Send one, work one."""
    number = store.counters.read(ALICE, "sent") + 1_000_000 * os.getpid()
    while True:
        number += 1
        await store.queue.send(ALICE, "q", b"%d" % number)
        told(f"sent {number}")
        for message in await store.queue.claim(ALICE, "q", lease=0.2):
            told(f"working {int(message.body)}")
            if await store.queue.acknowledge(ALICE, "q", message.lease):
                told(f"done {int(message.body)}")


async def blobs(store: Store) -> None:
    """Store packages."""
    number = os.getpid() * 1000
    while True:
        number += 1
        digest = await store.blobs.put(ALICE, record(number))
        told(f"blob {number} {digest}")


async def run(folder: Path, limit: int) -> None:
    store = opened(folder)
    if limit:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    work = [audit(store), queue(store)]
    work += [records(store, lane) for lane in range(4)]
    if not limit:
        work.append(blobs(store))
    for ended in await asyncio.gather(*work, return_exceptions=True):
        kind = "yes" if isinstance(ended, SubstrateError) else "no"
        told(f"refused {kind} {type(ended).__name__}")
    told(f"health {store.health().failed}")


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0))
