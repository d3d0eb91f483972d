"""The node's process: `python -I -m casemate.app`, boot socket at descriptor 3."""

from __future__ import annotations

import socket
import sys

import uvloop

from casemate.app.boot import BOOT_FD, BootError, take
from casemate.app.node import Node


def main() -> int:
    """Run the node; what keeps it from starting is one line on stderr."""
    try:
        boot = take(socket.socket(fileno=BOOT_FD))
    except BootError as error:
        sys.stderr.write(f"casemate: {error}\n")
        return 1
    # The store's writer is a thread.  Beside a busy loop it would wait whole
    # turns of the default 5 ms for the interpreter, and with it every commit:
    # on a saturated loop, with other work on the machine, a durable record's p99
    # was 38 ms with 0.1 ms, 41 with 0.5, 64 with 1 and 164 with 5; the p50 of a
    # call alone was the same with each.
    sys.setswitchinterval(0.0001)
    try:
        uvloop.run(Node(boot).run())
    except Exception as error:  # noqa: BLE001 — the process ends here
        told = " ".join(str(error).split()) or "no reason given"
        sys.stderr.write(
            f"casemate: the node stopped: {type(error).__name__}: {told}\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
