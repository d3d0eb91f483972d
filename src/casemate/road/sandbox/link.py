"""How the node speaks with what runs in a cell."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, final

from casemate.core.function import FunctionVersion
from casemate.road.sandbox import frames
from casemate.road.sandbox.frames import Decoder, FrameError, Order, Said
from casemate.road.sandbox.inflow import Inflow

Heard = Callable[[Said], None]
Lost = Callable[[str], None]
"""Called once, with the reason, when nothing more will be heard."""

_BUFFER: Final = memoryview(bytearray(1 << 18))
"""Where every link receives: one loop reads one socket at a time."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a cell needs to become a function's; its credentials come later."""

    function: FunctionVersion
    environment: Mapping[str, str]
    log_stream: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """
    One event on its way into a cell.

    deadline_ms: epoch milliseconds.  inflow: where a streamed answer goes, from a
    runtime that can stream; without it, any is kept whole like one that is not.
    tenant: an id of the application's, or empty.
    """

    id: str
    deadline_ms: int
    arn: str
    trace: str
    client_context: str | None
    payload: bytes
    inflow: Inflow | None = None
    tenant: str = ""


class Link(Protocol):
    """The node's side of one cell's runtime; what comes back goes to `Heard`."""

    def assign(self, start: Start) -> None:
        """Tell the waiting process whose it is; there may be no code yet."""
        ...

    def begin(self, credentials: Mapping[str, str]) -> None:
        """Have it load the function, once the code is mounted."""
        ...

    def send(self, event: Event) -> None:
        """Hand an event in; the cell must be idle."""
        ...

    def close(self) -> None:
        """Stop speaking and let go of the descriptors."""
        ...


@final
class FrameLink:
    """Frames over the control stream of a managed Python cell."""

    def __init__(self, control: int, *, heard: Heard, lost: Lost) -> None:
        """Own and watch the host's end of the stream."""
        self._socket = socket.socket(fileno=control)
        self._socket.setblocking(False)
        self._descriptor = control
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder()
        self._heard = heard
        self._lost = lost
        self._unsent = bytearray()
        self._open = True
        self._loop.add_reader(control, self._readable)

    def assign(self, start: Start) -> None:
        """Send `assign`."""
        function = start.function
        facts = {
            "name": function.name,
            "version": function.version,
            "arn": function.arn,
            "memory_mb": function.memory_mb,
            "timeout": function.timeout,
            "log_group": function.log_group,
            "log_stream": start.log_stream,
            "log_format": function.log_format,
            "tenant_id": function.tenant,
        }
        words = {
            "environment": dict(start.environment),
            "handler": function.handler,
            "function": facts,
            "task_root": "/var/task",
        }
        self._send(frames.order(Order.ASSIGN, words))

    def begin(self, credentials: Mapping[str, str]) -> None:
        """Send `begin`."""
        self._send(frames.order(Order.BEGIN, {"environment": dict(credentials)}))

    def send(self, event: Event) -> None:
        """Send `invoke`."""
        frame = frames.event(
            id=event.id,
            deadline_ms=event.deadline_ms,
            arn=event.arn,
            trace=event.trace,
            client_context=event.client_context,
            payload=event.payload,
        )
        self._send(frame)

    def unpack(self, archive: int, limits: Mapping[str, object]) -> None:
        """Send `unpack`, then the package's memory file; for a fresh cell only."""
        frame = frames.order(Order.UNPACK, limits)
        # The file follows with a byte of its own: the cell reads orders without
        # looking for descriptors.
        sent = self._socket.send(frame)
        sent += socket.send_fds(self._socket, [b"\0"], [archive])
        if sent != len(frame) + 1:
            self._fail("the cell does not take a first order")

    def close(self) -> None:
        """Stop listening and hang up."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._descriptor)
            self._loop.remove_writer(self._descriptor)
            self._socket.close()

    def _send(self, data: bytes) -> None:
        if not self._open:
            return
        if self._unsent:
            self._unsent += data
            return
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._fail(f"the cell hung up: {error.strerror}")
            return
        if sent < len(data):
            self._unsent += memoryview(data)[sent:]
            self._loop.add_writer(self._descriptor, self._writable)

    def _writable(self) -> None:
        try:
            sent = self._socket.send(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(f"the cell hung up: {error.strerror}")
            return
        del self._unsent[:sent]
        if not self._unsent:
            self._loop.remove_writer(self._descriptor)

    def _readable(self) -> None:
        try:
            count = self._socket.recv_into(_BUFFER)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._fail(f"the cell hung up: {error.strerror}")
            return
        if not count:
            self._fail("the cell hung up")
            return
        try:
            said = self._decoder.feed(_BUFFER[:count])
        except FrameError as error:
            self._fail(f"the cell broke its frames: {error}")
            return
        for one in said:
            if self._open:
                self._heard(one)

    def _fail(self, reason: str) -> None:
        if self._open:
            self.close()
            self._lost(reason)
