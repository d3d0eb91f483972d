"""The client of the warden's verbs, over a real socket pair."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator

import pytest
import uvloop

from casemate.road.sandbox.warden import Warden, WardenError, WardenGoneError


@contextlib.contextmanager
def peer(act: Callable[[socket.socket], None]) -> Iterator[socket.socket]:
    """The other end, acting in a thread."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    thread = threading.Thread(target=act, args=(theirs,))
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join(10)
        theirs.close()


def run(
    act: Callable[[socket.socket], None], test: Callable[[Warden], Awaitable[None]]
) -> None:
    async def main(ours: socket.socket) -> None:
        warden = Warden(ours)
        warden.start()
        await asyncio.wait_for(test(warden), 10)
        warden.stop()

    with peer(act) as ours:
        uvloop.run(main(ours))


def heard(theirs: socket.socket) -> dict[str, object]:
    message: dict[str, object] = json.loads(theirs.recv(1 << 18))
    return message


def test_answers_out_of_order_with_descriptors() -> None:
    """Each answer finds its question, and its descriptors arrive whole."""

    def act(theirs: socket.socket) -> None:
        first, second = heard(theirs), heard(theirs)
        read, write = os.pipe()
        os.write(write, b"hi")
        said = json.dumps({"id": second["id"], "ok": {"n": 2, "fds": ["r"]}})
        socket.send_fds(theirs, [said.encode()], [read])
        theirs.send(json.dumps({"id": first["id"], "ok": {"n": 1}}).encode())
        os.close(read)
        os.close(write)

    async def test(warden: Warden) -> None:
        first, second = await asyncio.gather(warden.ask("a"), warden.ask("b"))
        assert (first.ok["n"], second.ok["n"]) == (1, 2)
        assert os.read(second.descriptors[0], 9) == b"hi"
        os.close(second.descriptors[0])

    run(act, test)


def test_refusal_is_an_error() -> None:
    """The warden's code and reason come through."""

    def act(theirs: socket.socket) -> None:
        error = {"code": "no_room", "reason": "full"}
        theirs.send(json.dumps({"id": heard(theirs)["id"], "error": error}).encode())

    async def test(warden: Warden) -> None:
        with pytest.raises(WardenError) as caught:
            await warden.ask("open")
        assert (caught.value.code, caught.value.reason) == ("no_room", "full")

    run(act, test)


def test_hang_up_fails_every_question() -> None:
    """Nobody waits for a warden that is gone."""

    def act(theirs: socket.socket) -> None:
        heard(theirs)
        theirs.close()

    async def test(warden: Warden) -> None:
        with pytest.raises(WardenGoneError):
            await warden.ask("open")
        with pytest.raises(WardenGoneError):
            await warden.ask("open")

    run(act, test)


def test_late_cell_is_closed_again() -> None:
    """A cell that comes after its question was given up does not stay."""
    closed = threading.Event()

    def act(theirs: socket.socket) -> None:
        late = heard(theirs)
        other = heard(theirs)
        read, write = os.pipe()
        said = json.dumps({"id": late["id"], "ok": {"cell": "c1", "fds": ["r"]}})
        socket.send_fds(theirs, [said.encode()], [read])
        os.close(read)
        closing = heard(theirs)
        assert (closing["verb"], closing["cell"]) == ("close", "c1")
        for message in (closing, other):
            theirs.send(json.dumps({"id": message["id"], "ok": {}}).encode())
        closed.set()
        os.close(write)

    async def test(warden: Warden) -> None:
        with pytest.raises(WardenGoneError):
            await warden.ask("open", seconds=0.05)
        await warden.ask("status")
        assert warden.late == 1

    run(act, test)
    assert closed.is_set()
