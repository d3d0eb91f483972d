"""Calls that wait for a cell are served fairly."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from casemate.core.errors import Throttled
from casemate.core.function import FunctionVersion
from casemate.road.sandbox.cell import Cell
from casemate.road.sandbox.queue import WaitingRoom
from unit.road.sandbox.function_version import FUNCTION

OTHER = replace(FUNCTION, account="444455556666")


def test_a_crowd_delays_only_its_own_account() -> None:
    """Q9: with one cell a round, accounts take turns."""

    async def run() -> list[str]:
        room = WaitingRoom(100)
        for _ in range(5):
            room.enter(FUNCTION)
        room.enter(OTHER)
        served: list[str] = []

        def find(function: FunctionVersion) -> Cell | None:
            if len(served) == 3:
                return None
            served.append(function.account)
            return cast("Cell", object())

        room.serve(find)
        return served

    crowd, other = FUNCTION.account, OTHER.account
    assert asyncio.run(run()) == [crowd, other, crowd]


def test_the_room_is_bounded_by_account() -> None:
    """A full queue is throttled with AWS's reason, and others still come in."""

    async def run() -> None:
        room = WaitingRoom(2)
        first = room.enter(FUNCTION)
        room.enter(FUNCTION)
        with pytest.raises(Throttled) as caught:
            room.enter(FUNCTION)
        assert caught.value.members["Reason"] == "ConcurrentInvocationLimitExceeded"
        assert caught.value.retry_after == 1
        room.enter(OTHER)
        room.leave(first)
        room.leave(first)
        room.enter(FUNCTION)
        assert len(room) == 3

    asyncio.run(run())
