"""A taken-over egress process, against the node at the other end of its line."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import uvloop

from casemate.app.cells import CellDoor

CELL = "c0123456789abcdef"
Told = list[tuple[str, str, str, int]]


def with_door(attack: Callable[[socket.socket], None]) -> tuple[list[str], Told]:
    """Attack; give the cells that were adopted, and the refusals that were told."""
    adopted: list[str] = []
    told: Told = []

    def adopt(sock: socket.socket, cell: str) -> None:
        sock.close()
        adopted.append(cell)

    async def run() -> None:
        failures: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failures.append(context))
        node, egress = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with node, egress:
            door = CellDoor(node, adopt=adopt, refused=lambda *one: told.append(one))
            await loop.run_in_executor(None, attack, egress)
            await asyncio.sleep(0.05)
            door.close()
        assert not failures

    uvloop.run(run())
    return adopted, told


def send(line: socket.socket, message: dict[str, object], *fds: int) -> None:
    socket.send_fds(line, [json.dumps(message).encode()], list(fds))


def test_what_is_no_connection_is_closed() -> None:
    """Files, pipes and sockets of other kinds are neither adopted nor kept open."""

    def attack(line: socket.socket) -> None:
        message: dict[str, object] = {"verb": "connection", "cell": CELL}
        pipe = os.pipe()
        kinds = (
            (socket.AF_UNIX, socket.SOCK_STREAM),
            (socket.AF_INET, socket.SOCK_DGRAM),
        )
        others = [socket.socket(*kind) for kind in kinds]
        for _ in range(50):
            for descriptor in (*pipe, *(sock.fileno() for sock in others)):
                send(line, message, descriptor)
        with socket.socket() as right:
            send(line, message, right.fileno())
        for descriptor in pipe:
            os.close(descriptor)
        for sock in others:
            sock.close()

    def held() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    before = held()
    adopted, _ = with_door(attack)
    assert adopted == [CELL]
    assert held() <= before + 4  # the loop's own


def test_it_cannot_flood_the_record() -> None:
    """Past a rate, refusals are counted, and the count is bounded too (L, Q14)."""

    def attack(line: socket.socket) -> None:
        for untold in [10**400, -5, True, "x"] + [0] * 3_000:
            send(line, {"verb": "refused", "cell": CELL, "untold": untold})

    _, told = with_door(attack)
    assert 1_000 <= len(told) < 2_000
    assert told[0][3] < 1 << 32
    assert [0, 0, 0] == [one[3] for one in told[1:4]]
