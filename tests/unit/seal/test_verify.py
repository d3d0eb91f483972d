"""Laws of the audit chain: what can be done to it, and what verifying says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import assume, given
from hypothesis import strategies as st

from casemate.seal.chain import Link, link, packed, start, unpacked
from casemate.seal.checkpoint import (
    Checkpoint,
    CheckpointError,
    audit_key,
    read_checkpoint,
)
from casemate.seal.verdict import Fault, Verdict
from casemate.seal.verify import verify

INSTANCE = "0123456789ab"
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SIGNER.public_key()


def chained(records: Sequence[bytes], previous: bytes | None = None) -> list[Link]:
    links, before = [], previous or start(INSTANCE)
    for position, data in enumerate(records, 1):
        before = link(before, position=position, at=1000 + position, data=data)
        links.append(
            Link(position=position, at=1000 + position, data=data, hash=before)
        )
    return links


def signed(links: Sequence[Link], count: int, at: float = 1.0) -> Checkpoint:
    head = links[count - 1].hash if count else start(INSTANCE)
    said = {
        "at": at,
        "count": count,
        "head": head.hex(),
        "type": "casemate-checkpoint-1",
    }
    statement = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    return Checkpoint(statement=statement, signature=SIGNER.sign(statement))


def judged(
    links: Sequence[Link],
    checkpoints: Sequence[Checkpoint] = (),
    witness: Sequence[Checkpoint] = (),
) -> Verdict:
    return verify(links, checkpoints, PUBLIC, witness, instance=INSTANCE)


def faults(verdict: Verdict) -> set[Fault]:
    return {finding.fault for finding in verdict.findings}


TEN = chained([b'{"n":%d}' % n for n in range(10)])


def test_a_whole_chain_is_sound() -> None:
    """Nothing is found in a chain that nobody touched; its tail is named."""
    verdict = judged(TEN, [signed(TEN, 4), signed(TEN, 8)], [signed(TEN, 6)])

    assert verdict.sound
    assert not verdict.findings
    assert (verdict.count, verdict.checkpointed, verdict.witnessed) == (10, 8, 6)
    assert verdict.unwitnessed == (7, 10)
    assert verdict.unsigned == (9, 10)


def test_an_empty_chain_is_sound() -> None:
    """A platform that has done nothing yet has nothing to hide."""
    assert judged([]).sound
    assert judged([]).unwitnessed is None


@given(
    records=st.lists(st.binary(max_size=40), min_size=1, max_size=20),
    which=st.integers(0),
    field=st.sampled_from(["data", "at", "hash", "position"]),
    flip=st.integers(1, 255),
    place=st.integers(0),
)
def test_any_change_of_any_entry_is_found(
    records: list[bytes], which: int, field: str, flip: int, place: int
) -> None:
    """One changed byte, time, hash or position anywhere breaks the chain."""
    links = chained(records)
    index = which % len(links)
    entry = links[index]
    changes: dict[str, Link] = {
        "at": replace(entry, at=entry.at + flip),
        "position": replace(entry, position=entry.position + flip),
        "hash": replace(entry, hash=_flipped(entry.hash, place, flip)),
        "data": replace(entry, data=_flipped(entry.data, place, flip)),
    }
    links[index] = changes[field]

    assert not judged(links, [signed(chained(records), len(records))]).sound


def _flipped(data: bytes, place: int, flip: int) -> bytes:
    if not data:
        return bytes([flip])
    changed = bytearray(data)
    changed[place % len(data)] ^= flip
    return bytes(changed)


@given(first=st.integers(1, 9), length=st.integers(1, 9))
def test_a_removed_run_is_named(first: int, length: int) -> None:
    """Entries taken out of the middle or the beginning are named by position."""
    last = min(first + length - 1, 9)
    kept = [entry for entry in TEN if not first <= entry.position <= last]

    verdict = judged(kept)

    assert faults(verdict) == {Fault.REMOVED}
    assert (verdict.findings[0].first, verdict.findings[0].last) == (first, last)


def test_an_altered_record_is_named() -> None:
    """The verdict points to the entry, not to all that follow it."""
    links = list(TEN)
    links[4] = replace(links[4], data=b'{"n":666}')

    assert [(f.fault, f.first) for f in judged(links).findings] == [(Fault.ALTERED, 5)]


@given(a=st.integers(0, 9), b=st.integers(0, 9))
def test_swapped_entries_are_told(a: int, b: int) -> None:
    """Entries in another order, with their old positions, are reordered."""
    assume(a != b)
    links = list(TEN)
    links[a], links[b] = links[b], links[a]

    verdict = judged(links)

    assert Fault.REORDERED in faults(verdict)
    assert not verdict.sound


def test_entries_swapped_with_new_positions_are_told() -> None:
    """Writing the positions anew does not make a moved entry hold."""
    links = list(TEN)
    links[2], links[6] = (
        replace(TEN[6], position=3, at=TEN[2].at),
        replace(TEN[2], position=7, at=TEN[6].at),
    )
    assert not judged(links).sound
    links[2], links[6] = replace(TEN[6], position=3), replace(TEN[2], position=7)
    assert Fault.REORDERED in faults(judged(links))


def test_an_inserted_entry_is_found() -> None:
    """A record that was never written cannot be put between two that were."""
    extra = Link(
        position=5,
        at=TEN[3].at,
        data=b"new",
        hash=link(TEN[3].hash, position=5, at=TEN[3].at, data=b"new"),
    )
    later = [replace(entry, position=entry.position + 1) for entry in TEN[4:]]

    assert not judged([*TEN[:4], extra, *later]).sound


@given(kept=st.integers(0, 9))
def test_a_tail_cut_below_a_checkpoint_is_named(kept: int) -> None:
    """What a checkpoint covers cannot disappear."""
    verdict = judged(TEN[:kept], [signed(TEN, 10)])

    assert faults(verdict) == {Fault.CUT}
    assert (verdict.findings[0].first, verdict.findings[0].last) == (kept + 1, 10)


def test_a_tail_cut_above_all_checkpoints_is_only_unwitnessed() -> None:
    """What nobody has seen leaves no trace: the verdict names how far it is sure."""
    verdict = judged(TEN[:8], [signed(TEN, 7)], [signed(TEN, 7)])

    assert verdict.sound
    assert verdict.unwitnessed == (8, 8)


def test_an_earlier_snapshot_is_told_by_the_witness() -> None:
    """A disk put back, checkpoints and all, has less than the witness saw."""
    snapshot, its_checkpoints = TEN[:6], [signed(TEN, 5)]

    assert judged(snapshot, its_checkpoints).sound
    verdict = judged(snapshot, its_checkpoints, [signed(TEN, 5), signed(TEN, 9)])
    assert faults(verdict) == {Fault.ROLLED_BACK}


def test_a_history_written_anew_is_told() -> None:
    """A second history with all of its hashes right fails at the checkpoint."""
    other = chained([b'{"n":%d}' % n for n in (0, 1, 2, 666, 4, 5, 6, 7, 8, 9)])

    assert judged(other).sound
    verdict = judged(other, [signed(TEN, 3), signed(TEN, 8)])
    assert [(f.fault, f.first, f.last) for f in verdict.findings] == [
        (Fault.FORKED, 4, 8)
    ]


def test_two_signed_histories_are_told() -> None:
    """Two heads for one count, here and at the witness, are a fork."""
    other = chained([b"x"] * 10)

    assert Fault.FORKED in faults(judged(TEN, [signed(TEN, 8)], [signed(other, 8)]))


def test_another_platforms_chain_is_not_this_ones() -> None:
    """The first hash binds the chain to its instance."""
    verdict = verify(TEN, [signed(TEN, 10)], PUBLIC, instance="another")

    assert not verdict.sound


def test_a_forged_checkpoint_is_named_and_not_believed() -> None:
    """What the audit key has not signed counts for nothing."""
    stranger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    real = signed(TEN, 10)
    forged = replace(real, signature=stranger.sign(real.statement))

    verdict = judged(TEN, [forged])

    assert faults(verdict) == {Fault.FORGED_CHECKPOINT}
    assert verdict.checkpointed == 0


def test_a_clock_that_goes_back_is_reported_and_breaks_nothing() -> None:
    """The record stays good; the reader is told not to trust its times."""
    first = TEN[0]
    at = first.at - 3_600_000
    after = link(first.hash, position=2, at=at, data=b"{}")
    links = [first, Link(position=2, at=at, data=b"{}", hash=after)]

    verdict = judged(links)

    assert verdict.sound
    assert faults(verdict) == {Fault.CLOCK_BACKWARD}
    early = judged(TEN, [signed(TEN, 3, at=9.0), signed(TEN, 5, at=2.0)])
    assert faults(early) == {Fault.CLOCK_BACKWARD}


def test_retention_leaves_a_chain_that_hangs_on_a_checkpoint() -> None:
    """What was trimmed at a checkpoint is verified from there; elsewhere it fails."""
    cut = TEN[4:]
    checkpoint = [signed(TEN, 4)]

    assert verify(cut, checkpoint, PUBLIC, instance=INSTANCE, kept_from=5).sound
    free = verify(cut, (), PUBLIC, instance=INSTANCE, kept_from=5)
    assert faults(free) == {Fault.UNANCHORED}
    assert faults(judged(cut, checkpoint)) == {Fault.REMOVED}
    altered = [replace(cut[0], data=b"x"), *cut[1:]]
    assert not verify(altered, checkpoint, PUBLIC, instance=INSTANCE, kept_from=5).sound


@given(
    entries=st.lists(
        st.builds(
            Link,
            position=st.integers(-5, 2**70),
            at=st.integers(-(2**70), 2**70),
            data=st.binary(max_size=5),
            hash=st.binary(max_size=33),
        ),
        max_size=30,
    )
)
def test_noise_is_judged_without_failing(entries: list[Link]) -> None:
    """Whatever stands in the log, verifying ends and says no."""
    assert judged(entries).sound == (not entries)


def test_findings_are_bounded() -> None:
    """A chain of nothing but faults fills no memory, and is not sound."""
    noise = [replace(e, data=b"x") for e in chained([b""] * 1500)]

    verdict = judged(noise)

    assert (len(verdict.findings), verdict.more) == (1000, 500)


def test_an_entry_is_packed_and_unpacked() -> None:
    """Hash and record survive the log's bytes."""
    entry = TEN[2]

    assert unpacked(3, entry.at, packed(entry.hash, entry.data)) == entry
    assert not judged([unpacked(1, 0, b"short")]).sound


@pytest.mark.parametrize(
    "statement",
    [
        b"",
        b"[]",
        b"{}",
        b"[" * 3000,
        b'{"type":"casemate-checkpoint-1","count":true,"head":"","at":1}',
        b'{"type":"casemate-checkpoint-1","count":1,"head":"zz","at":1}',
        b'{"type":"casemate-checkpoint-1","count":1,"head":"%s","at":NaN}'
        % (b"00" * 32),
        b'{"type":"other","count":1,"head":"%s","at":1}' % (b"00" * 32),
    ],
)
def test_a_signed_statement_of_another_kind_is_refused(statement: bytes) -> None:
    """The key may sign other things; none of them is a checkpoint."""
    odd = Checkpoint(statement=statement, signature=SIGNER.sign(statement))

    with pytest.raises(CheckpointError):
        read_checkpoint(odd, PUBLIC)


def test_the_audit_key_is_read_from_its_pem() -> None:
    """The public key comes as the keyholder gives it."""
    pem = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    assert audit_key(pem) == PUBLIC
