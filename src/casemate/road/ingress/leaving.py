"""A call that goes on though its caller has left, and how the door hears of it."""

from __future__ import annotations

import asyncio
from typing import TypeVar, final

T = TypeVar("T")


@final
class CallGoesOnError(asyncio.CancelledError):
    """
    Who waited for a call was cancelled, and the call was not.

    call: done when nothing of the call is left, its body neither.
    """

    def __init__(self, call: asyncio.Future[object]) -> None:
        super().__init__("the caller has left; its call goes on")
        self.call = call


async def outlive(call: asyncio.Future[T]) -> T:
    """Await a call without ending it.  Raises CallGoesOnError when cancelled."""
    try:
        return await asyncio.shield(call)
    except asyncio.CancelledError as left:
        if call.done():
            raise
        whole: asyncio.Future[object] = call  # type: ignore[assignment] # only awaited
        raise CallGoesOnError(whole) from left
