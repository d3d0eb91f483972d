"""The words with which CloudWatch Logs says no."""

from __future__ import annotations

from casemate.core.errors import Conflict, Invalid, NotFound, Refusal, Unavailable

INVALID = "InvalidParameterException"


def invalid(reason: str) -> Invalid:
    """Refuse a parameter."""
    return Invalid(reason, code=INVALID)


def no_group() -> NotFound:
    """Say that there is no such group."""
    return NotFound("The specified log group does not exist.", status=400)


def no_stream() -> NotFound:
    """Say that there is no such stream."""
    return NotFound("The specified log stream does not exist.", status=400)


def exists(what: str) -> Conflict:
    """Say that something is there already."""
    return Conflict(
        f"The specified log {what} already exists",
        code="ResourceAlreadyExistsException",
        status=400,
    )


def aborted() -> Conflict:
    """Say that another change came first, again and again."""
    return Conflict(
        "A conflicting operation is under way; try again",
        code="OperationAbortedException",
        status=400,
    )


def limit(reason: str) -> Refusal:
    """Say that there is no more room."""
    return Refusal(reason, code="LimitExceededException")


def full() -> Refusal:
    """Say that the disk is full."""
    return Unavailable(
        "the platform's disk is full, so nothing was written; ask the operator for "
        "space and try again",
        code="ServiceUnavailableException",
    )
