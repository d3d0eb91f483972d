"""Judging the node's own audit chain, a page at a time."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, final

import orjson

from casemate.core.errors import Unavailable
from casemate.road.record.ledger import CHECKPOINTS, STREAM, Ledger
from casemate.seal import chain
from casemate.seal.chain import Link
from casemate.seal.checkpoint import Checkpoint, audit_key
from casemate.seal.verdict import Fault, Finding, Verdict
from casemate.seal.verify import verify
from casemate.substrate.ports import SHARED, DamagedError, Log

_PAGE: Final = 1000
_MALFORMED: Final = Checkpoint(statement=b"", signature=b"")


def links(log: Log) -> Iterator[Link]:
    """Read the chain, oldest first."""
    after = 0
    while page := log.read(SHARED, STREAM, after=after, limit=_PAGE):
        for entry in page:
            yield chain.unpacked(entry.position, entry.at, entry.data)
        after = page[-1].position


def checkpoints(log: Log) -> list[Checkpoint]:
    """Read the checkpoints; one that is not readable becomes one that fails."""
    found: list[Checkpoint] = []
    after = 0
    while page := log.read(SHARED, CHECKPOINTS, after=after, limit=_PAGE):
        found += [_checkpoint(entry.data) for entry in page]
        after = page[-1].position
    return found


def _checkpoint(data: bytes) -> Checkpoint:
    try:
        stored = orjson.loads(data)
        return Checkpoint(
            statement=stored["statement"].encode(),
            signature=bytes.fromhex(stored["signature"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return _MALFORMED


def judge(
    log: Log, key: str, instance: str, witness: Sequence[Checkpoint] = ()
) -> Verdict:
    """
    Judge the whole chain.

    key: the audit key, PEM.  witness: what a witness has received.  Raises
    DamagedError.
    """
    return verify(
        links(log), checkpoints(log), audit_key(key), witness, instance=instance
    )


def disowned(verdict: Verdict, why: str) -> Verdict:
    """Add that the keyholder does not sign the chain, and why."""
    finding = Finding(
        fault=Fault.ROLLED_BACK,
        first=verdict.count,
        last=verdict.count,
        says=f"the keyholder does not sign this chain: {why}",
    )
    return dataclasses.replace(verdict, findings=(*verdict.findings, finding))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Auditor:
    """Judges the chain of the running node, beside its work."""

    log: Log
    ledger: Ledger
    audit_key: str
    instance: str

    async def verify(self, witness: Sequence[Checkpoint] = ()) -> Verdict:
        """
        Sign the head, then judge the chain in a thread, so that calls go on.

        A keyholder that will not sign has signed a longer or another chain:
        that is a finding like any other.
        """
        await self.ledger.seal()
        try:
            verdict = await asyncio.to_thread(
                judge, self.log, self.audit_key, self.instance, witness
            )
        except DamagedError as error:
            raise Unavailable(
                "the audit log cannot be read: the stored bytes are damaged",
                evidence={"cause": str(error)},
            ) from error
        if self.ledger.unsigned is None:
            return verdict
        return disowned(verdict, self.ledger.unsigned)
