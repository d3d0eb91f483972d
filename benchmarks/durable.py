"""
What takes small things durably elsewhere: SQLite's own group commit, a Redis stream.

Both are asked as Casemate is, with as many waiting at once, and each answer means
that an fsync has returned.  They do nothing else: no TLS, no signature, no policy,
no record, no encryption.
"""

from __future__ import annotations

import asyncio
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, cast, final

import uvloop
from benchmarks.client import HOST
from benchmarks.processes import SERVERS, on_cores

REDIS: Final = "/usr/bin/redis-check-rdb"
"""Debian's package redis-tools holds the server under this name, and no service."""
_PATIENCE: Final = 20.0


class NoRedisError(RuntimeError):
    """Redis is not installed, or does not answer."""


def sqlite_rate(folder: Path, body: bytes, waiting: int, seconds: float) -> float:
    """
    Give the rows a second of a bare writer that commits `waiting` rows at a time.

    WAL and synchronous=FULL: a group is one fsync, as in Casemate's own store.
    """
    file = folder / f"group-{time.monotonic_ns()}.db"
    with on_cores(SERVERS):
        base = sqlite3.connect(file, isolation_level=None)
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("PRAGMA synchronous = FULL")
        base.execute("CREATE TABLE event (id INTEGER PRIMARY KEY, body BLOB)")
        rows, begin = 0, time.perf_counter()
        while time.perf_counter() - begin < seconds:
            base.execute("BEGIN IMMEDIATE")
            base.executemany("INSERT INTO event (body) VALUES (?)", [(body,)] * waiting)
            base.execute("COMMIT")
            rows += waiting
        rate = rows / (time.perf_counter() - begin)
        base.close()
    return rate


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """Run a server that syncs its log before each answer; give its port."""
    if not Path(REDIS).exists():
        raise NoRedisError("redis is not installed: apt-get install redis-tools")
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = int(free.getsockname()[1])
    settings = {
        "bind": HOST,
        "port": str(port),
        "dir": str(folder),
        "save": "",
        "appendonly": "yes",
        "appendfsync": "always",
    }
    words = [word for name, value in settings.items() for word in (f"--{name}", value)]
    with on_cores(SERVERS):
        server = subprocess.Popen(
            ["redis-server", *words], executable=REDIS, stdout=subprocess.DEVNULL
        )
    try:
        _await(port)
        yield port
    finally:
        server.terminate()
        server.wait(_PATIENCE)


def redis_rate(port: int, body: bytes, connections: int, seconds: float) -> float:
    """Give the entries a second that connections add to a stream."""
    return uvloop.run(_redis_rate(port, body, connections, seconds))


def redis_version() -> str:
    """Say which server it is."""
    told = subprocess.run(
        ["redis-server", "--version"],
        executable=REDIS,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return told.partition("v=")[2].partition(" ")[0]


def _await(port: int) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            socket.create_connection((HOST, port), 1.0).close()
        except OSError as error:
            if time.monotonic() > end:
                raise NoRedisError("redis does not answer") from error
            time.sleep(0.02)
        else:
            return


@final
class _Adder(asyncio.Protocol):
    """One connection: the next entry leaves when the last one's id has come."""

    def __init__(self, entry: bytes) -> None:
        self._entry = entry
        self.added = 0
        self.failed = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._entry)

    def data_received(self, data: bytes) -> None:
        # An id is `$15\r\n1700000000000-0\r\n`, and comes in one piece.
        if not (data.startswith(b"$") and data.endswith(b"\r\n")):
            self.failed = data
            self._transport.close()
            return
        self.added += 1
        self._transport.write(self._entry)

    def close(self) -> None:
        """End."""
        self._transport.close()


async def _redis_rate(
    port: int, body: bytes, connections: int, seconds: float
) -> float:
    words = (b"XADD", b"events", b"*", b"body", body)
    parts = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    entry = b"*%d\r\n%b" % (len(words), parts)
    loop = asyncio.get_running_loop()
    adders = [
        (await loop.create_connection(lambda: _Adder(entry), HOST, port))[1]
        for _ in range(connections)
    ]
    await asyncio.sleep(min(0.3, seconds / 4))
    before, begin = sum(one.added for one in adders), time.perf_counter()
    await asyncio.sleep(seconds)
    added = sum(one.added for one in adders) - before
    elapsed = time.perf_counter() - begin
    for one in adders:
        one.close()
        if one.failed:
            raise NoRedisError(f"redis said {one.failed[:100]!r}")
    return added / elapsed
