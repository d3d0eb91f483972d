"""What one store holds at most, so that no tenant can fill it for the others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from casemate.substrate.ports import SubstrateError, TooLargeError

_MIB = 1_048_576


class NoKeyError(SubstrateError):
    """The key ring has no key for this account."""


class ClosedError(SubstrateError):
    """The store is closed, or has stopped after the disk failed."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Bounds of a store.

    name_bytes: of an account, table, key, stream, queue, counter or kind, as
    UTF-8 (S3's keys, the longest of AWS's names, have 1,024).
    value_bytes: of one record; entry_bytes: of one log entry.
    letter_bytes: of a message with its attributes; the largest is an asynchronous
    event of 1 MB with its function's answer of 6 MB, kept as they are.
    backlog_bytes, backlog_entries: what `append_soon` may leave waiting; one
    account may use a quarter of it.
    stream_bytes: of one stream of a tenant; past it the oldest entries go.
    streams, counters: per account.  messages: per queue; message_bytes: of all
    messages of an account, sealed.
    cache_bytes: of records kept in memory.
    reserve_bytes: of disk that only what is reserved may use once it is full.
    """

    name_bytes: int = 2048
    value_bytes: int = 16 * _MIB
    entry_bytes: int = 4 * _MIB
    letter_bytes: int = 8 * _MIB
    backlog_bytes: int = 32 * _MIB
    backlog_entries: int = 100_000
    stream_bytes: int = 1024 * _MIB
    streams: int = 100_000
    counters: int = 10_000
    messages: int = 1_000_000
    message_bytes: int = 4096 * _MIB
    cache_bytes: int = 64 * _MIB
    reserve_bytes: int = 64 * _MIB

    def check_names(self, *names: str) -> None:
        """
        Refuse names that are too long, or that UTF-8 cannot say.

        Raises TooLargeError, ValueError (a lone surrogate, a zero byte).
        """
        for name in names:
            # A zero byte ends a text for some of SQLite's functions.
            if "\0" in name:
                raise ValueError("a name has no zero byte")
            if len(name.encode()) > self.name_bytes:
                raise TooLargeError(f"a name has at most {self.name_bytes} bytes")
