"""Laws of the writer: one job's failure is its own, whatever it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from casemate.substrate.ports import SubstrateError
from casemate.substrate.sqlite.file import connect, make_file
from casemate.substrate.sqlite.reserve import Reserve
from casemate.substrate.sqlite.writer import Job, Writer
from store_stand import FILE_KEY


@asynccontextmanager
async def writing(folder: Path) -> AsyncIterator[Writer]:
    path = folder / "state.db"
    make_file(path)
    connection = connect(path, FILE_KEY, writes=True)
    connection.execute("CREATE TABLE IF NOT EXISTS seen (n INTEGER PRIMARY KEY)")
    reserve = Reserve(folder / "reserve", 0)
    writer = Writer(connection, reserve)
    writer.start()
    yield writer
    await writer.close()
    reserve.close()


def inserting(number: int, failure: Exception | None = None) -> Job:
    def apply(connection: apsw.Connection) -> int:
        connection.execute("INSERT INTO seen VALUES (?)", (number,))
        if failure is not None:
            raise failure
        return number

    return Job(apply=apply)


def seen(folder: Path) -> list[int]:
    connection = connect(folder / "state.db", FILE_KEY, writes=False)
    rows = connection.execute("SELECT n FROM seen ORDER BY n").fetchall()
    connection.close()
    return [int(str(row[0])) for row in rows]


def test_a_job_that_breaks_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """Its rows are gone, everybody else's are there, and each once."""

    async def law() -> None:
        async with writing(tmp_path) as writer:
            jobs = [inserting(n) for n in range(20)]
            jobs.insert(7, inserting(100, ZeroDivisionError("mine")))
            jobs.insert(13, inserting(3))
            results = await asyncio.gather(
                *(writer.run(job) for job in jobs), return_exceptions=True
            )
            assert isinstance(results[7], ZeroDivisionError)
            assert isinstance(results[13], SubstrateError)
            assert seen(tmp_path) == list(range(20))
            assert writer.failed is None

    asyncio.run(law())


def test_a_callback_that_breaks_stops_the_writer_by_name(tmp_path: Path) -> None:
    """Nobody is left waiting for a thread that has died."""

    async def law() -> None:
        async with writing(tmp_path) as writer:

            def breaks(_result: object) -> None:
                raise RuntimeError("mine")

            job = inserting(1)
            job.committed = breaks
            with pytest.raises(SubstrateError, match="stopped"):
                await writer.run(job)
            with pytest.raises(SubstrateError, match="the writer broke"):
                await writer.run(inserting(2))
            assert seen(tmp_path) == [1]

    asyncio.run(law())
