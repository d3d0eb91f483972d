"""How the node speaks with what runs in a cell."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol, final

from casemate.core.function import FunctionVersion
from casemate.road.sandbox.frames import Decoder, FrameError, Said, encode

Heard = Callable[[Said], None]
Lost = Callable[[str], None]
"""Called once, with the reason, when nothing more will be heard."""

_BUFFER: Final = memoryview(bytearray(1 << 18))
"""Where every link receives: one loop reads one socket at a time."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a cell needs to become a function's."""

    function: FunctionVersion
    environment: Mapping[str, str]
    log_stream: str


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event on its way into a cell.  deadline_ms: epoch milliseconds."""

    id: str
    deadline_ms: int
    arn: str
    trace: str
    client_context: str | None
    payload: bytes


class Link(Protocol):
    """The node's side of one cell's runtime; what comes back goes to `Heard`."""

    def start(self, start: Start) -> None:
        """Make the waiting process the function's."""
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

    def start(self, start: Start) -> None:
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
        }
        header = {
            "type": "assign",
            "environment": dict(start.environment),
            "handler": function.handler,
            "function": facts,
            "task_root": "/var/task",
        }
        self._send(encode(header))

    def send(self, event: Event) -> None:
        """Send `invoke`."""
        header = {
            "type": "invoke",
            "id": event.id,
            "deadline_ms": event.deadline_ms,
            "arn": event.arn,
            "trace": event.trace,
            "client_context": event.client_context,
        }
        self._send(encode(header, event.payload))

    def unpack(self, archive: int, limits: Mapping[str, object]) -> None:
        """Send `unpack` with the package's memory file; for a fresh cell only."""
        frame = encode({"type": "unpack", "limits": dict(limits)})
        sent = socket.send_fds(self._socket, [frame], [archive])
        if sent != len(frame):
            self._fail("the cell does not take a first frame")

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
