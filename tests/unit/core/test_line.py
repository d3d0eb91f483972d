"""
Laws of the line to another process.

What both ends of the platform's lines do is tested where they are used, against
the real keyholder and the warden's client; here is what only a liar would do.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable

import pytest

from casemate.core.line import Answer, Line, Peer


class RefusedError(Exception):
    """It said no."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code


class GoneError(Exception):
    """It is gone."""


def against(
    say: Callable[[socket.socket, dict[str, object]], None], **peer: object
) -> tuple[object, list[Answer]]:
    """Ask once; give what came of it, and what came too late."""
    late: list[Answer] = []

    async def ask() -> object:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        line = Line(
            ours,
            Peer(
                name="the other",
                refused=RefusedError,
                gone=GoneError,
                late=late.append,
                **peer,  # type: ignore[arg-type]  # what a test sets
            ),
        )
        line.start()
        asked = asyncio.ensure_future(line.ask("verb", {}, seconds=0.5))
        loop = asyncio.get_running_loop()
        say(theirs, json.loads(await loop.sock_recv(theirs, 4096)))
        try:
            return await asked
        except (RefusedError, GoneError) as error:
            return error
        finally:
            line.end("done")
            theirs.close()

    return asyncio.run(ask()), late


@pytest.mark.parametrize(
    "said",
    [
        {"id": 7, "ok": {}},
        {"id": True, "ok": {}},
        {"id": 0},
        {"id": 0, "ok": None},
        {"id": 0, "ok": {}, "error": {}},
        {"id": 0, "error": "no"},
        {"ok": {}},
    ],
)
def test_an_answer_that_is_not_as_agreed_ends_the_line(said: object) -> None:
    """It is never believed in part."""

    def say(sock: socket.socket, _asked: dict[str, object]) -> None:
        sock.send(json.dumps(said).encode())

    answer, _ = against(say)

    if said == {"id": 0, "ok": {}, "error": {}}:
        assert isinstance(answer, RefusedError)
    else:
        assert isinstance(answer, GoneError)


def test_an_answer_comes_with_its_descriptors() -> None:
    """They are the asker's, and the other side's copy does not matter."""

    def say(sock: socket.socket, asked: dict[str, object]) -> None:
        read, write = os.pipe()
        os.write(write, b"hi")
        said = json.dumps({"id": asked["id"], "ok": {"n": 1}}).encode()
        socket.send_fds(sock, [said], [read])
        os.close(read)
        os.close(write)

    answer, late = against(say)

    assert isinstance(answer, Answer)
    assert ({"n": 1}, []) == (answer.ok, late)
    assert b"hi" == os.read(answer.descriptors[0], 9)
    os.close(answer.descriptors[0])


def test_descriptors_that_nobody_takes_end_the_line() -> None:
    """A peer that may bring none cannot fill this process with them."""

    def say(sock: socket.socket, asked: dict[str, object]) -> None:
        said = json.dumps({"id": asked["id"], "ok": {}}).encode()
        socket.send_fds(sock, [said], [0])

    answer, _ = against(say, descriptors=0)

    assert isinstance(answer, GoneError)


def test_too_many_questions_are_throttled_here() -> None:
    """A peer that does not answer does not fill this process's memory."""

    async def law() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        peer = Peer(name="it", refused=RefusedError, gone=GoneError, waiting=1)
        line = Line(ours, peer)
        line.start()
        first = asyncio.ensure_future(line.ask("verb", {}, seconds=5))
        await asyncio.sleep(0)
        with pytest.raises(RefusedError) as refused:
            await line.ask("verb", {}, seconds=5)
        assert "Throttled" == refused.value.code
        line.end("done")
        with pytest.raises(GoneError):
            await first
        theirs.close()

    asyncio.run(law())


def test_nobody_asks_on_a_line_that_nobody_hears() -> None:
    """Before it is started, and after its end, every question is refused."""

    async def law() -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        line = Line(ours, Peer(name="it", refused=RefusedError, gone=GoneError))
        with pytest.raises(GoneError):
            await line.ask("verb", {}, seconds=1)
        line.end("done")
        with pytest.raises(GoneError):
            await line.ask("verb", {}, seconds=1)
        theirs.close()

    asyncio.run(law())
