"""The words with which Lambda says no, as its clients know them."""

from __future__ import annotations

from casemate.core.errors import Conflict, Invalid, NotFound, Refusal
from casemate.services.lambda_.state import Life, State

INVALID = "InvalidParameterValueException"


def invalid(reason: str) -> Invalid:
    """Refuse a parameter."""
    return Invalid(reason, code=INVALID)


def not_found(arn: str) -> NotFound:
    """Say that there is no such function."""
    return NotFound(f"Function not found: {arn}", members={"Type": "User"})


def busy(arn: str) -> Conflict:
    """Say that an update is under way."""
    return Conflict(
        "The operation cannot be performed at this time. An update is in progress "
        f"for resource: {arn}",
        members={"Type": "User"},
    )


def in_state(state: str) -> Conflict:
    """Say that a function's state does not allow the operation."""
    return Conflict(
        "The operation cannot be performed at this time. The function is currently "
        f"in the following state: {state}",
        members={"Type": "User"},
    )


def changeable(life: Life, latest: str, revision: str | None, arn: str) -> None:
    """
    Refuse a change that may not begin now.

    latest: the function's revision; revision: what the caller takes for it.
    """
    if life.state is State.PENDING:
        raise in_state(life.state)
    if life.busy:
        raise busy(arn)
    if revision and revision != latest:
        raise precondition("Lambda Function")


def precondition(what: str) -> Refusal:
    """Say that the revision given is not the latest."""
    return Refusal(
        f"The RevisionId provided does not match the latest RevisionId of the {what}; "
        "call Get to learn the latest, and try again",
        code="PreconditionFailedException",
        status=412,
        members={"Type": "User"},
    )
