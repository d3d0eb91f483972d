"""L1: what an insider with every key of the node can do to the audit log."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from casemate.seal.chain import Link, link, packed, start, unpacked
from casemate.seal.checkpoint import Checkpoint
from casemate.seal.verdict import Fault, Verdict
from casemate.seal.verify import verify
from casemate.substrate.ports import SHARED, NewEntry
from casemate.substrate.sqlite import Store
from store_stand import store_at

INSTANCE = "insider"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def signed(link_: Link) -> Checkpoint:
    said = {
        "at": link_.at / 1000,
        "count": link_.position,
        "head": link_.hash.hex(),
        "type": "casemate-checkpoint-1",
    }
    statement = json.dumps(said).encode()
    return Checkpoint(statement=statement, signature=SIGNER.sign(statement))


async def written(store: Store, count: int) -> None:
    """Go on with the chain, in the real log."""
    position, head = 0, start(INSTANCE)
    for entry in store.log.read_back(SHARED, "audit", limit=1):
        position, head = entry.position, entry.data[:32]
    for number in range(position + 1, position + count + 1):
        data = b'{"n":%d}' % number
        head = link(head, position=number, at=number, data=data)
        new = NewEntry(at=number, kind="audit", data=packed(head, data))
        await store.log.append(SHARED, "audit", [new])


def chain_of(store: Store) -> list[Link]:
    entries = store.log.read(SHARED, "audit")
    return [unpacked(entry.position, entry.at, entry.data) for entry in entries]


def judged(
    links: Sequence[Link],
    here: Sequence[Checkpoint] = (),
    witness: Sequence[Checkpoint] = (),
) -> Verdict:
    return verify(links, here, SIGNER.public_key(), witness, instance=INSTANCE)


def rewritten(links: list[Link]) -> list[Link]:
    """Write a history of one's own from the fifth entry on, every hash right."""
    forged = links[:4]
    for old in links[4:]:
        made = link(forged[-1].hash, position=old.position, at=old.at, data=b"mine")
        forged.append(replace(old, data=b"mine", hash=made))
    return forged


ATTACKS: list[tuple[Fault, Callable[[list[Link]], list[Link]]]] = [
    (Fault.REMOVED, lambda links: links[:4] + links[5:]),
    (Fault.REMOVED, lambda links: links[3:]),
    (
        Fault.ALTERED,
        lambda links: [*links[:4], replace(links[4], data=b"x"), *links[5:]],
    ),
    (Fault.REORDERED, lambda links: [*links[:4], links[5], links[4], *links[6:]]),
    (Fault.CUT, lambda links: links[:7]),
    (Fault.FORKED, rewritten),
]


@pytest.mark.parametrize(
    ("fault", "attack"), ATTACKS, ids=[str(fault) for fault, _ in ATTACKS]
)
def test_l1_what_is_done_to_the_log_is_named(
    tmp_path: Path, fault: Fault, attack: Callable[[list[Link]], list[Link]]
) -> None:
    """L1: deleted, edited, reordered, cut, written anew: each is told as what it is."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            await written(store, 10)
            links = chain_of(store)
        checkpoints = [signed(links[2]), signed(links[8])]
        assert judged(links, checkpoints).sound
        verdict = judged(attack(links), checkpoints)
        assert not verdict.sound
        assert fault in {finding.fault for finding in verdict.findings}

    asyncio.run(law())


def test_l1_a_data_folder_put_back_is_named_by_the_witness(tmp_path: Path) -> None:
    """L1: the whole disk of an hour ago, checkpoints included, has lost entries."""
    folder, snapshot = tmp_path / "node", tmp_path / "snapshot"

    async def grown(count: int) -> list[Link]:
        async with store_at(folder) as store:
            await written(store, count)
            return chain_of(store)

    before = asyncio.run(grown(6))
    shutil.copytree(folder, snapshot)
    after = asyncio.run(grown(6))
    shutil.rmtree(folder)
    snapshot.rename(folder)
    again = asyncio.run(grown(1))

    here, witness = [signed(before[5])], [signed(before[5]), signed(after[11])]
    assert judged(again, here).sound
    verdict = judged(again, here, witness)
    assert [finding.fault for finding in verdict.findings] == [Fault.ROLLED_BACK]
    assert (verdict.findings[0].first, verdict.findings[0].last) == (8, 12)


def test_l1_the_tail_that_nobody_has_seen_is_named(tmp_path: Path) -> None:
    """L1: what no checkpoint covers can be cut unseen, and the verdict says so."""

    async def law() -> None:
        async with store_at(tmp_path) as store:
            await written(store, 10)
            links = chain_of(store)
        verdict = judged(links, [signed(links[7])], [signed(links[5])])
        assert verdict.sound
        assert (verdict.unsigned, verdict.unwitnessed) == ((9, 10), (7, 10))

    asyncio.run(law())
