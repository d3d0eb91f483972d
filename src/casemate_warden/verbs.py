"""
The node's verbs, answered from one thread.

A verb that takes long runs on a worker and never delays another one; answers may
come out of order. An error says what was refused, never where anything lies.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from casemate_warden import words
from casemate_warden.cells import Answer, Cells, Job, Steps
from casemate_warden.life import WrongStage
from casemate_warden.loop import Loop
from casemate_warden.messages import Gone, Malformed, Packet, Peer, TooLong, close_all
from casemate_warden.opening import become_worker
from casemate_warden.words import Refused

OPENERS: Final = 4
CLOSERS: Final = 4
PATIENCE_S: Final = 45.0  # an opening may take 30 s, an ending 10

Reply = Callable[[Answer | Exception], None]
Log = Callable[[str], None]


class Verbs:
    """One node's verbs on one `Cells`, with two pools of workers."""

    def __init__(self, *, node: Peer, cells: Cells, loop: Loop, log: Log) -> None:
        """Serves as long as somebody turns `loop`; `gone` tells that the node left."""
        self.gone = False
        self._node = node
        self._cells = cells
        self._loop = loop
        self._log = log
        self._openers = ThreadPoolExecutor(OPENERS, "open", become_worker)
        self._closers = ThreadPoolExecutor(CLOSERS, "close")
        loop.serve(node, self._receive, self._malformed, self._node_gone)

    def _node_gone(self) -> None:
        self.gone = True

    def _malformed(self, error: Malformed) -> None:
        self._send(None, Refused("bad_message", str(error)))

    def _receive(self, packet: Packet) -> None:
        number = words.request_id(packet.body)
        unused = list(packet.descriptors)

        def reply(outcome: Answer | Exception) -> None:
            close_all(unused)
            self._send(number, outcome)

        try:
            verb, members = words.checked(packet.body, len(packet.descriptors))
            if verb == "workshop":
                members["package"] = packet.descriptors[0]
            begun: Answer | Steps = getattr(self._cells, verb)(**members)
        except Exception as error:  # noqa: BLE001 — a verb ends here
            reply(error)
            return
        if isinstance(begun, Answer):
            reply(begun)
        else:
            self._go_on(begun, reply, None)

    def _go_on(self, steps: Steps, reply: Reply, result: Future[Any] | None) -> None:
        """Runs a verb up to its next job, which a worker does."""
        try:
            error = None if result is None else result.exception()
            if error is not None:
                job = steps.throw(error)
            else:
                job = steps.send(None if result is None else result.result())
        except StopIteration as end:
            reply(end.value)
        except Exception as failure:  # noqa: BLE001 — a verb ends here
            reply(failure)
        else:
            self._submit(job, lambda done: self._go_on(steps, reply, done))

    def _submit(self, job: Job, then: Callable[[Future[Any]], None]) -> None:
        pool = self._openers if job.opens else self._closers
        future = pool.submit(job.work)
        future.add_done_callback(lambda done: self._loop.post(lambda: then(done)))

    def _send(self, number: int | None, outcome: Answer | Exception) -> None:
        named: Mapping[str, int] = {}
        if isinstance(outcome, Answer):
            named = outcome.descriptors
            fds = {"fds": list(named)} if named else {}
            body: dict[str, Any] = {"id": number, "ok": {**outcome.body, **fds}}
        else:
            body = {"id": number, "error": self._told(outcome)}
        if self.gone:
            close_all([*named.values()])
            return
        try:
            self._node.send(body, [*named.values()])
        except TooLong:
            self._send(
                number, Refused("too_long", "the answer is longer than a packet")
            )
        except Gone:
            self.gone = True

    def _told(self, error: Exception) -> dict[str, str]:
        """What the node hears; the rest is for the operator's log."""
        if isinstance(error, Refused):
            return {"code": error.code, "reason": error.reason}
        if isinstance(error, WrongStage):
            return {"code": "wrong_stage", "reason": str(error)}
        self._log(f"a verb failed: {type(error).__name__}: {error}")
        return {"code": "failed", "reason": "the warden could not do this"}

    def shut(self) -> bool:
        """
        Closes every cell and waits until nothing is left. Turns the loop.

        False when a cell did not end in time; what is left then is for the sweep.
        """
        self.gone = True
        told: set[str] = set()
        end = time.monotonic() + PATIENCE_S
        while len(self._cells) and time.monotonic() < end:
            for name in set(self._cells.closable()) - told:
                told.add(name)
                self._go_on(self._cells.close(name), self._ended, None)
            self._loop.turn(0.1)
        self._openers.shutdown()
        self._closers.shutdown()
        return not len(self._cells)

    def _ended(self, outcome: Answer | Exception) -> None:
        if isinstance(outcome, Exception):
            self._log(f"a cell was not closed: {outcome}")
