"""
Cells that wait as a shell: Node.js and whatever a package brings as `bootstrap`.

The shell reads its script from its standard input; the node writes the
environment, quoted, and the command that takes the shell's place.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from typing import Final, final

from casemate.road.sandbox.link import Event, Heard, Lost, Start
from casemate.road.sandbox.runtime_api import RuntimeApi
from casemate.road.sandbox.settings import is_node

NODE: Final = "/usr/bin/node"
NODE_CLIENT: Final = "/var/runtime/casemate_cell/node/index.mjs"
API_ADDRESS: Final = "127.0.0.1:9001"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_NODE_HEAP_PER_MIB: Final = 0.9


class UnfitEnvironmentError(Exception):
    """A variable cannot be given to a process."""


def script(environment: Mapping[str, str], command: str) -> bytes:
    """Write the shell's script.  Raises UnfitEnvironmentError."""
    lines = []
    for name, value in environment.items():
        if not _NAME.match(name) or "\x00" in value:
            raise UnfitEnvironmentError(f"the variable `{name[:80]!a}` has no form")
        quoted = value.replace("'", "'\\''")
        lines.append(f"export {name}='{quoted}'\n")
    return ("".join(lines) + command).encode()


def command(runtime: str, memory_mb: int) -> str:
    """Give the line that starts a runtime; it reads nothing more from the node."""
    if is_node(runtime):
        heap = int(memory_mb * _NODE_HEAP_PER_MIB)
        starts = f"exec {NODE} --max-old-space-size={heap} {NODE_CLIENT} </dev/null\n"
    else:
        starts = (
            "[ -x /var/task/bootstrap ] && exec /var/task/bootstrap </dev/null\n"
            "exec /opt/bootstrap </dev/null\n"
        )
    return f"cd /var/task\n{starts}"


@final
class ShellLink:
    """A waiting shell, and the Runtime API for what takes its place."""

    def __init__(
        self, control: int, listener: int, *, heard: Heard, lost: Lost
    ) -> None:
        """Own the write end of the shell's input, and the listening socket."""
        self._loop = asyncio.get_running_loop()
        self._api = RuntimeApi(listener, heard=heard, lost=lost)
        self._lost = lost
        self._control = control
        self._open = True
        self._unsent = b""
        self._start: Start | None = None
        os.set_blocking(control, False)

    async def serve(self) -> None:
        """Begin to serve the Runtime API."""
        await self._api.serve()

    def assign(self, start: Start) -> None:
        """Keep it: the shell is told all at once."""
        self._start = start

    def begin(self, credentials: Mapping[str, str]) -> None:
        """Write the script and close the shell's input."""
        if self._start is None:
            raise TypeError("a shell begins what it was assigned")
        function = self._start.function
        variables = {**self._start.environment, **credentials}
        try:
            self._unsent = script(
                variables, command(function.runtime, function.memory_mb)
            )
        except UnfitEnvironmentError as error:
            self._lost(str(error))
            return
        self._loop.add_writer(self._control, self._writable)

    def send(self, event: Event) -> None:
        """Hand an event out at the next `next`."""
        self._api.give(event)

    def close(self) -> None:
        """Stop serving and let go of the descriptors."""
        self._hang_up()
        self._api.close()

    def _writable(self) -> None:
        try:
            written = os.write(self._control, self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._hang_up()
            self._lost(f"the shell hung up: {error.strerror}")
            return
        self._unsent = self._unsent[written:]
        if not self._unsent:
            self._hang_up()

    def _hang_up(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_writer(self._control)
            os.close(self._control)
