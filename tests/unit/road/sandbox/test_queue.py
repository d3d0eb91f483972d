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


def test_a_line_of_its_own_is_filled_by_no_other() -> None:
    """Q9: a crowd in the shared line keeps nobody out of a function's own."""

    async def run() -> None:
        room = WaitingRoom(2)
        own = replace(FUNCTION, name="own", line="own")
        for _ in range(2):
            room.enter(FUNCTION)
        with pytest.raises(Throttled, match="of the account"):
            room.enter(FUNCTION)
        waiters = [room.enter(own) for _ in range(2)]
        with pytest.raises(Throttled, match="of the function"):
            room.enter(own)
        assert 4 == len(room) == room.wants(FUNCTION.runtime)
        for waiter in waiters:
            room.leave(waiter)
            room.leave(waiter)
        assert 2 == len(room)

    asyncio.run(run())


def test_lines_of_an_account_take_turns_and_no_turn_of_another_account() -> None:
    """Each round serves one call an account, whatever it has reserved."""

    async def run() -> list[str]:
        room = WaitingRoom(100)
        for name in ("", "", "", "a", "a", "b"):
            room.enter(replace(FUNCTION, arn=name, line=name))
        for _ in range(3):
            room.enter(replace(OTHER, arn="other"))
        served: list[str] = []

        def find(function: FunctionVersion) -> Cell | None:
            served.append(function.arn)
            return cast("Cell", object())

        room.serve(find)
        assert 0 == len(room)
        return served

    served = asyncio.run(run())
    assert ["", "other", "a", "other", "b", "other", "", "a", ""] == served
