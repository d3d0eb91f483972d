"""
A bound on effort that is no measurement.

What blows up (a pattern that backtracks, a reader that is quadratic) does not
end in any time that a test has; what does not, ends in a moment even on a busy
machine.  The bound between them is wide, so it tells the two apart and nothing
else: how fast a thing is, `make bench` says.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

CPU_SECONDS = 10.0


class BlownUpError(AssertionError):
    """The work had not ended when its bound was reached."""


@contextmanager
def bounded() -> Iterator[None]:
    """Fail if the block takes more than `CPU_SECONDS` of this process's own CPU."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise BlownUpError(f"not done after {CPU_SECONDS:g} s of CPU")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
