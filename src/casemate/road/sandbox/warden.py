"""
The warden's verbs, as the node calls them.

An `open` that comes after its question was given up has made a cell that nobody
knows: it is closed again.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Final, final

from casemate.core.line import Answer, Line, Peer
from casemate.core.packets import close_all

ANSWER_SECONDS: Final = 30.0


class WardenError(Exception):
    """The warden says no; `code` is its word."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class WardenGoneError(Exception):
    """The warden hung up, broke its framing, or does not answer."""


@final
class Warden:
    """The node's end of the socket to the warden."""

    def __init__(self, connection: socket.socket) -> None:
        """Take over a connected SEQPACKET socket."""
        self._line = Line(
            connection,
            Peer(
                name="the warden",
                refused=WardenError,
                gone=WardenGoneError,
                late=self._too_late,
            ),
        )
        self._closings: set[asyncio.Task[None]] = set()
        self.late = 0
        """Answers that came after their question was given up."""

    def start(self) -> None:
        """Listen on the running loop."""
        self._line.start()

    def stop(self) -> None:
        """Stop listening and close; questions under way fail."""
        self._line.end("the node has let go of the warden")

    async def ask(
        self,
        verb: str,
        /,
        *,
        descriptors: Sequence[int] = (),
        seconds: float = ANSWER_SECONDS,
        **words: object,
    ) -> Answer:
        """
        Ask and await the answer.

        Descriptors are duplicated on the way, so the caller keeps its own.
        Raises WardenError, WardenGoneError.
        """
        return await self._line.ask(
            verb, words, seconds=seconds, descriptors=descriptors
        )

    def _too_late(self, answer: Answer) -> None:
        """Drop an answer that nobody awaits; a cell that it opened is closed."""
        self.late += 1
        close_all(answer.descriptors)
        if answer.descriptors and "cell" in answer.ok:
            closing = self._close_orphan(str(answer.ok["cell"]))
            task = asyncio.get_running_loop().create_task(closing)
            self._closings.add(task)
            task.add_done_callback(self._closings.discard)

    async def _close_orphan(self, cell: str) -> None:
        try:
            await self.ask("close", cell=cell)
        except (WardenError, WardenGoneError):
            self.late += 1
