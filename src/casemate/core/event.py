"""An asynchronous event, and what its function's owner wants done with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from casemate.core.call import Sender, Trace

RETRIES: Final = 2
"""Times that a function which failed runs again, if nobody says otherwise."""

MAX_AGE: Final = 21_600
"""Seconds that an event may wait, if nobody says otherwise; the most there is."""

HOPS: Final = 16
"""Hops of one lineage from its first call; a function is not run after another."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncEvent:
    """
    An event that was taken for later; it never changes.

    id: of the request that brought it, and of every attempt.  target: the
    function's ARN with a qualifier.  invoked: as the caller named it, perhaps
    without one.  payload: JSON.  sender: who must have the right at each run.
    trace: of the call that brought it; its hops count those that led here.
    tenant: the application's own tenant id that it is for, or empty.
    """

    id: str
    account: str
    target: str
    invoked: str
    payload: bytes
    sender: Sender
    trace: Trace
    tenant: str = ""

    @property
    def function(self) -> str:
        """Give the function's ARN without the qualifier."""
        return self.target.rpartition(":")[0]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What is to be done with the events of a function.

    retries: runs after the first that failed.  max_age: seconds.  on_success,
    on_failure: ARNs of destinations; dead_letter: of a queue; empty for none.
    role_arn, role_id: of the function's role, under which deliveries are made.
    recursive: whether the function may run past `HOPS`.
    """

    role_arn: str
    role_id: str
    retries: int = RETRIES
    max_age: int = MAX_AGE
    on_success: str = ""
    on_failure: str = ""
    dead_letter: str = ""
    recursive: bool = False
