"""IAM's ways to say no, under AWS's codes."""

from __future__ import annotations

from casemate.core.errors import Conflict, Invalid, NotFound


def no_user(name: str) -> NotFound:
    return NotFound(f"the user with name `{name}` cannot be found", code="NoSuchEntity")


def no_role(name: str) -> NotFound:
    return NotFound(f"the role with name `{name}` cannot be found", code="NoSuchEntity")


def no_policy(arn: str) -> NotFound:
    return NotFound(
        f"the policy `{arn}` does not exist or is not attachable", code="NoSuchEntity"
    )


def no_version(arn: str, version: str) -> NotFound:
    return NotFound(
        f"the policy `{arn}` has no version `{version}`", code="NoSuchEntity"
    )


def no_inline(kind: str, holder: str, name: str) -> NotFound:
    return NotFound(
        f"the {kind} `{holder}` has no policy with name `{name}`", code="NoSuchEntity"
    )


def no_key(key: str) -> NotFound:
    return NotFound(
        f"the access key with id `{key}` cannot be found", code="NoSuchEntity"
    )


def exists(what: str, name: str) -> Conflict:
    return Conflict(
        f"a {what} with name `{name}` already exists; names are not distinguished "
        "by case",
        code="EntityAlreadyExists",
    )


def in_use(reason: str) -> Conflict:
    return Conflict(reason, code="DeleteConflict")


def limit(reason: str) -> Conflict:
    return Conflict(reason, code="LimitExceeded")


def malformed(reason: str) -> Invalid:
    return Invalid(reason, code="MalformedPolicyDocument")


def bad_input(reason: str) -> Invalid:
    return Invalid(reason, code="InvalidInput")


def unmodifiable(reason: str) -> Invalid:
    return Invalid(reason, code="UnmodifiableEntity")
