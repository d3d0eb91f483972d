"""The words with which SQS says no."""

from __future__ import annotations

from casemate.core.errors import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    Refusal,
    Unavailable,
)

INVALID = "InvalidParameterValue"
UNAVAILABLE = "ServiceUnavailable"
MISSING = "MissingParameter"


def invalid(reason: str) -> Invalid:
    """Refuse a parameter."""
    return Invalid(reason, code=INVALID)


def missing(name: str) -> Invalid:
    """Say that a parameter is not there."""
    return Invalid(f"The request must contain the parameter {name}.", code=MISSING)


def bad_value(name: str, value: object, reason: str) -> Invalid:
    """Refuse the value of a parameter, as AWS words it."""
    return invalid(
        f"Value {str(value)[:256]} for parameter {name} is invalid. Reason: {reason}"
    )


def bad_name(name: str, reason: str = "") -> Invalid:
    """Refuse an attribute of a queue by its name."""
    told = f"Unknown Attribute {name}."
    return Invalid(f"{told} {reason}".rstrip(), code="InvalidAttributeName")


def bad_attribute(name: str, reason: str = "") -> Invalid:
    """Refuse the value of an attribute of a queue."""
    told = f"Invalid value for the parameter {name}."
    return Invalid(f"{told} {reason}".rstrip(), code="InvalidAttributeValue")


def bad_address(url: str) -> Invalid:
    """Refuse what is no URL of a queue."""
    return Invalid(
        f"The address `{url[:256]}` is not valid for this endpoint; it is "
        "https://HOST/ACCOUNT/NAME",
        code="InvalidAddress",
    )


def bad_contents(reason: str) -> Invalid:
    """Refuse characters that no message may hold."""
    return Invalid(reason, code="InvalidMessageContents")


def bad_receipt() -> Invalid:
    """Refuse a receipt handle that was not given for this queue."""
    return Invalid(
        "The input receipt handle is invalid.", code="ReceiptHandleIsInvalid"
    )


def not_in_flight() -> Invalid:
    """Say that a message is visible, so its visibility cannot be changed."""
    return Invalid("The specified message isn't in flight.", code="MessageNotInflight")


def no_queue() -> NotFound:
    """Say that there is no such queue."""
    return NotFound(
        "The specified queue does not exist.", code="QueueDoesNotExist", status=400
    )


def exists() -> Conflict:
    """Say that a queue of this name has other attributes."""
    return Conflict(
        "A queue already exists with the same name and a different value for an "
        "attribute",
        code="QueueNameExists",
        status=400,
    )


def deleted_lately() -> Conflict:
    """Say that the name is still taken by a queue that was deleted."""
    return Conflict(
        "You must wait 60 seconds after deleting a queue before you can create "
        "another with the same name.",
        code="QueueDeletedRecently",
        status=400,
    )


def purging(name: str) -> Conflict:
    """Say that the queue was purged a moment ago."""
    return Conflict(
        f"Only one PurgeQueue operation on {name} is allowed every 60 seconds.",
        code="PurgeQueueInProgress",
        status=400,
    )


def over(reason: str) -> Refusal:
    """Say that there is no more room."""
    return Refusal(reason, code="OverLimit")


def foreign(action: str) -> Denied:
    """Say that an operation is for the queue's own account only."""
    return Denied(
        f"{action} is for the account of the queue only: cross-account permissions "
        "do not apply to it"
    )


def full() -> Refusal:
    """Say that the disk is full."""
    return Unavailable(
        "the platform's disk is full, so nothing was written; ask the operator for "
        "space and try again",
        code=UNAVAILABLE,
    )


def contended() -> Refusal:
    """Say that another change came first, again and again."""
    return Unavailable(
        "other changes of this queue came first; try again", code=UNAVAILABLE
    )
