"""IAM's ways to say no, under AWS's codes."""

from __future__ import annotations

from casemate.core.errors import Conflict, Invalid, NotFound


def no_user(name: str) -> NotFound:
    """There is no such user."""
    return NotFound(f"the user with name `{name}` cannot be found", code="NoSuchEntity")


def no_role(name: str) -> NotFound:
    """There is no such role."""
    return NotFound(f"the role with name `{name}` cannot be found", code="NoSuchEntity")


def no_policy(arn: str) -> NotFound:
    """There is no such managed policy for this account."""
    return NotFound(
        f"the policy `{arn}` does not exist or is not attachable", code="NoSuchEntity"
    )


def no_version(arn: str, version: str) -> NotFound:
    """The policy has no such version."""
    return NotFound(
        f"the policy `{arn}` has no version `{version}`", code="NoSuchEntity"
    )


def no_inline(kind: str, holder: str, name: str) -> NotFound:
    """The user or role has no such inline policy."""
    return NotFound(
        f"the {kind} `{holder}` has no policy with name `{name}`", code="NoSuchEntity"
    )


def no_boundary(kind: str, holder: str) -> NotFound:
    """The user or role has no boundary."""
    return NotFound(
        f"the {kind} `{holder}` has no permissions boundary", code="NoSuchEntity"
    )


def no_key(key: str) -> NotFound:
    """The user has no such access key."""
    return NotFound(
        f"the access key with id `{key}` cannot be found", code="NoSuchEntity"
    )


def exists(what: str, name: str) -> Conflict:
    """The name is taken."""
    return Conflict(
        f"a {what} with name `{name}` already exists; names are not distinguished "
        "by case",
        code="EntityAlreadyExists",
    )


def in_use(reason: str) -> Conflict:
    """It cannot be deleted as long as something needs it."""
    return Conflict(reason, code="DeleteConflict")


def limit(reason: str) -> Conflict:
    """A quota is reached."""
    return Conflict(reason, code="LimitExceeded")


def malformed(reason: str) -> Invalid:
    """The document is not a policy of its kind."""
    return Invalid(reason, code="MalformedPolicyDocument")


def bad_input(reason: str) -> Invalid:
    """A parameter has no meaning."""
    return Invalid(reason, code="InvalidInput")


def unmodifiable(reason: str) -> Invalid:
    """It is not the caller's to change."""
    return Invalid(reason, code="UnmodifiableEntity")
