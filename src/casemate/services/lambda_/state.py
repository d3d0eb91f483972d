"""
The states of a function, and the only ways between them.

    created ──> Pending ──settled──> Active, Successful
                   └─────broken────> Failed, Failed
    Active or Failed ──updating──> …, InProgress
                   ├─settled──> Active, Successful
                   └─broken───> the state before, Failed

A function with something under way is *busy*: no other change may begin.

Source: https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import final


class State(StrEnum):
    """Whether a function can be invoked."""

    PENDING = "Pending"
    ACTIVE = "Active"
    FAILED = "Failed"


class Update(StrEnum):
    """What came of the last change."""

    IN_PROGRESS = "InProgress"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"


class TransitionError(RuntimeError):
    """The state machine has no such way."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """
    Where a function is.

    update is None only until creation has ended.  Reasons are for people, codes
    are AWS's words; both are empty when all is well.
    """

    state: State
    state_reason: str = ""
    state_code: str = ""
    update: Update | None = None
    update_reason: str = ""
    update_code: str = ""

    @property
    def busy(self) -> bool:
        """Tell whether a creation or an update is under way."""
        return self.state is State.PENDING or self.update is Update.IN_PROGRESS


def created() -> Life:
    """Begin."""
    return Life(
        state=State.PENDING,
        state_reason="The function is being created.",
        state_code="Creating",
    )


def updating(life: Life) -> Life:
    """Begin an update.  Raises TransitionError on a busy function."""
    if life.busy:
        raise TransitionError("an update began on a busy function")
    return replace(
        life,
        update=Update.IN_PROGRESS,
        update_reason="The function is being updated.",
        update_code="",
    )


def settled(life: Life) -> Life:
    """End a creation or an update well.  Raises TransitionError on an idle one."""
    if not life.busy:
        raise TransitionError("nothing was under way")
    return Life(state=State.ACTIVE, update=Update.SUCCESSFUL)


def broken(life: Life, *, code: str, reason: str) -> Life:
    """
    End a creation or an update in failure.

    A function that was Active stays so: what it served before, it serves on.
    Raises TransitionError on an idle one.
    """
    if not life.busy:
        raise TransitionError("nothing was under way")
    ended = replace(life, update=Update.FAILED, update_reason=reason, update_code=code)
    if life.state is State.PENDING:
        return replace(ended, state=State.FAILED, state_reason=reason, state_code=code)
    return ended
