"""
Runs: the log entries of one append, sealed and kept as one row.

Problem: a call leaves four lines and a record behind.  A seal, a nonce and a row
for each of them cost the writer 100 to 240 µs a call, most of it spent waiting for
the interpreter's lock; and each time it got the lock, the loop was held up.

A row's key is the position of its last entry; the time in its index is that of
its latest.  An entry that is alone in its append, or too large for company, is a
row by itself, as every entry was before version 4 of the schema.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, final

import msgspec

from casemate.substrate.ports import DamagedError, Entry, NewEntry
from casemate.substrate.sqlite.readers import Row
from casemate.substrate.sqlite.vault import Vault

RUN_BYTES: Final = 65_536
"""Bytes of data after which a run is full: whoever reads one entry opens them all."""
RUN_ENTRIES: Final = 1_000

_Packed = tuple[int, int, str, bytes]
"""Position, time, kind, data."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[_Packed]).decode


@final
class Run(NamedTuple):
    """
    A row of `entries`, as it is written.

    position: of the last entry.  at: of the latest one.  low: the earliest time of
    a run; None for an entry alone.  held: how many entries it has.
    """

    stream: int
    position: int
    at: int
    kind: str
    data: bytes
    low: int | None
    held: int


@final
class Runs:
    """Seals entries into rows, and opens rows into entries."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    def sealed(
        self, account: str, stream: str, number: int, entries: Sequence[Entry]
    ) -> list[Run]:
        """Give the rows of entries that have their positions, in their order."""
        return [self._row(account, stream, number, run) for run in _cut(list(entries))]

    def opened(
        self, account: str, stream: str, number: int, row: Row
    ) -> Sequence[Entry]:
        """Open (position, at, kind, data, low, held).  Raises DamagedError."""
        position, at, kind, data, low, held = row
        assert isinstance(position, int)  # noqa: S101 — STRICT tables hold these types
        assert isinstance(at, int)  # noqa: S101
        assert isinstance(kind, str)  # noqa: S101
        assert isinstance(data, bytes)  # noqa: S101
        assert isinstance(held, int)  # noqa: S101
        if low is None:
            place = ("entry", stream, number, position, at, kind)
            alone = self._vault.open(account, data, *place)
            return (Entry(position=position, at=at, kind=kind, data=alone),)
        assert isinstance(low, int)  # noqa: S101
        run = ("run", stream, number, position, at, low, held)
        try:
            found = _decode(self._vault.open(account, data, *run))
        except msgspec.DecodeError:
            raise DamagedError("stored bytes are no run of entries") from None
        return [Entry(position=p, at=a, kind=k, data=d) for p, a, k, d in found]

    def resealed(
        self, account: str, stream: str, number: int, last: int, left: Sequence[Entry]
    ) -> Run:
        """Give the row of a run that has lost some of its entries; it keeps its key."""
        return self._run(account, stream, number, last, left)

    def _row(
        self, account: str, stream: str, number: int, entries: Sequence[Entry]
    ) -> Run:
        last = entries[-1]
        if len(entries) > 1:
            return self._run(account, stream, number, last.position, entries)
        place = ("entry", stream, number, last.position, last.at, last.kind)
        data = self._vault.seal(account, last.data, *place)
        return Run(number, last.position, last.at, last.kind, data, None, 1)

    def _run(
        self,
        account: str,
        stream: str,
        number: int,
        position: int,
        entries: Sequence[Entry],
    ) -> Run:
        times = [entry.at for entry in entries]
        low, high, held = min(times), max(times), len(entries)
        packed = _encode([(e.position, e.at, e.kind, e.data) for e in entries])
        place = ("run", stream, number, position, high, low, held)
        data = self._vault.seal(account, packed, *place)
        return Run(number, position, high, "", data, low, held)


def numbered(after: int, entries: Sequence[NewEntry]) -> list[Entry]:
    """Give entries the positions that follow one."""
    return [
        Entry(position=position, at=new.at, kind=new.kind, data=new.data)
        for position, new in enumerate(entries, after + 1)
    ]


def _cut(entries: list[Entry]) -> Iterator[Sequence[Entry]]:
    """Cut an append into runs."""
    start = size = 0
    for index, entry in enumerate(entries):
        size += len(entry.data)
        full = size > RUN_BYTES or index - start >= RUN_ENTRIES
        if full and index > start:
            yield entries[start:index]
            start, size = index, len(entry.data)
    yield entries[start:]
