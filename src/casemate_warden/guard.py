"""
A second process of the warden that only waits for the first one to die.

`kill -9` leaves the warden no last word, and a hostile cell does not end because its
control socket closed. The guard holds the read end of a pipe that nobody writes to:
when it ends, it ends the cells, and with them the lock on the data folder is free.
"""

from __future__ import annotations

import os
import signal

from casemate_warden import sweep


class Guard:
    """The warden's side: as long as it is open, the guard sleeps."""

    def __init__(self, parent: str) -> None:
        """
        Forks. Call it while this process has one thread, the lock and little else.

        `parent` is the control group of the platform's cells.
        """
        watched, self._open = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            os.close(self._open)
            _keep_watch(watched, parent)
        os.close(watched)

    def dismiss(self) -> None:
        """There is nothing left to guard; waits until it is gone."""
        os.close(self._open)
        os.waitpid(self._pid, 0)


def _keep_watch(watched: int, parent: str) -> None:
    """In the fork; never returns."""
    status = 1
    try:
        os.setsid()
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signum, signal.SIG_IGN)
        os.read(watched, 1)
        sweep.erase_all(parent)
        status = 0
    except Exception as error:  # noqa: BLE001 — the fork ends here, and says why
        os.write(2, f"casemate: cells were left behind: {error}\n".encode())
    finally:
        os._exit(status)
