"""The witness: every checkpoint is appended, and what does not arrive is told."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from casemate.app.witness import MOST, Witness
from casemate.cli.witness import LINES, WitnessError, read

SIGNATURE = bytes(64)


def opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def said(path: Path) -> list[str]:
    return [one["Statement"] for one in read(path)]


@contextmanager
def files_of(size: int) -> Iterator[None]:
    """Let no file of this process grow past a size, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_every_checkpoint_is_appended(tmp_path: Path) -> None:
    """In order, across lives; nothing that was there goes."""
    path = tmp_path / "witness"

    async def live(first: int) -> None:
        witness = Witness(opened(path))
        witness.start(lambda _: None)
        for count in range(first, first + 3):
            witness.hand(count, b"%d" % count, SIGNATURE)
        await witness.settled()
        assert first + 2 == witness.count
        await witness.close()

    for first in (1, 4):
        asyncio.run(live(first))

    assert list("123456") == said(path)


def test_a_stop_waits_for_the_last_one(tmp_path: Path) -> None:
    """What is signed at the stop is witnessed before the file is let go."""
    path = tmp_path / "witness"

    async def live() -> None:
        witness = Witness(opened(path))
        witness.start(lambda _: None)
        witness.hand(1, b"1", SIGNATURE)
        await witness.close()

    asyncio.run(live())

    assert ["1"] == said(path)


def test_an_unreachable_witness_is_told_and_tried_again(tmp_path: Path) -> None:
    """Once when it begins and once when it ends; half a line spoils no other."""
    path = tmp_path / "witness"
    told: list[str] = []

    async def live() -> None:
        witness = Witness(opened(path), retry=0.0)
        witness.start(told.append)
        witness.hand(1, b"1", SIGNATURE)
        await witness.settled()
        with files_of(path.stat().st_size + 20):
            witness.hand(2, b"2", SIGNATURE)
            witness.hand(3, b"3", SIGNATURE)
            await witness.settled()
            assert 2 == witness.waiting
            assert os.strerror(errno.EFBIG) == witness.failing
        witness.hand(4, b"4", SIGNATURE)
        await witness.settled()
        assert not witness.failing
        assert 4 == witness.count
        await witness.close()

    asyncio.run(live())

    assert [os.strerror(errno.EFBIG), ""] == told
    assert list("1234") == said(path)


def test_what_waits_is_bounded(tmp_path: Path) -> None:
    """A witness that is gone for long fills no memory; the last ones are kept."""

    async def live() -> None:
        descriptor = os.open("/dev/full", os.O_WRONLY)
        witness = Witness(descriptor)
        witness.start(lambda _: None)
        for count in range(MOST + 50):
            witness.hand(count, b"%d" % count, SIGNATURE)
        assert MOST == witness.waiting
        await witness.close()

    asyncio.run(live())
    assert not list(tmp_path.iterdir())


def test_only_the_end_of_a_long_file_is_read(tmp_path: Path) -> None:
    """The last checkpoints vouch for all before them."""
    path = tmp_path / "witness"
    lines = [
        json.dumps({"statement": str(n).zfill(300), "signature": SIGNATURE.hex()})
        for n in range(5 * LINES)
    ]
    path.write_text("\n".join(lines))
    found = said(path)

    assert LINES == len(found)
    assert str(5 * LINES - 1).zfill(300) == found[-1]


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", '{"statement":"x"}', '{"statement":1,"signature":2}', "[" * 9999],
)
def test_what_is_no_checkpoint_vouches_for_nothing(tmp_path: Path, line: str) -> None:
    """It is passed over, and a file without any is refused by name."""
    path = tmp_path / "witness"
    path.write_text(line)
    with pytest.raises(WitnessError, match="there is no checkpoint in it"):
        read(path)
    good = json.dumps({"statement": "1", "signature": SIGNATURE.hex()})
    path.write_text(f"{line}\n{good}\n")

    assert ["1"] == said(path)


def test_a_witness_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    """In one line."""
    with pytest.raises(WitnessError, match="No such file"):
        read(tmp_path / "none")
