"""
What a function asks for: which part of an event is its key, and for how long.

A policy is put by PutIdempotencyPolicy, or said by two tags that existing tools
can set:

    casemate:idempotency-key       the key's JMESPath
    casemate:idempotency-expires   seconds; without it, an hour

The tags' values have the characters that AWS lets tags have, so a key by tag is
a path of names.  A policy that was put wins over the tags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, final

from casemate.services.lambda_.idempotency.expression import (
    Expression,
    ExpressionError,
    compiled,
)

KEY_TAG: Final = "casemate:idempotency-key"
EXPIRES_TAG: Final = "casemate:idempotency-expires"
EXPIRES: Final = (1, 2_592_000)
"""Seconds for which an answer is kept: at most thirty days."""
HOUR: Final = 3_600
_DIGITS: Final = 7


class Missing(StrEnum):
    """What becomes of an event that has no key."""

    REFUSE = "Refuse"
    RUN = "Run"


class PolicyError(ValueError):
    """A member of a policy breaks its rule; says which, and how."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    A policy as it is kept.

    key: finds the key in the event.  compare: finds what must be the same under
    one key; empty for the whole event.  expires: seconds.
    """

    key: str
    compare: str = ""
    expires: int = HOUR
    missing: Missing = Missing.REFUSE


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A policy as it is followed.  compare: None for the whole event."""

    policy: Policy
    key: Expression
    compare: Expression | None


def planned(policy: Policy) -> Plan:
    """Compile a policy.  Raises PolicyError."""
    low, high = EXPIRES
    if not low <= policy.expires <= high:
        raise PolicyError(f"`ExpiresAfterSeconds` must be from {low} to {high}")
    return Plan(
        policy=policy,
        key=_compiled("KeyExpression", policy.key),
        compare=_compiled("PayloadExpression", policy.compare)
        if policy.compare
        else None,
    )


def tagged(tags: Mapping[str, str]) -> Policy | None:
    """Read the policy that tags say; None for none.  Raises PolicyError."""
    key, expires = tags.get(KEY_TAG), tags.get(EXPIRES_TAG)
    if key is None:
        if expires is not None:
            raise PolicyError(f"tag `{EXPIRES_TAG}` says nothing without `{KEY_TAG}`")
        return None
    _compiled(KEY_TAG, key)
    if expires is None:
        return Policy(key=key)
    low, high = EXPIRES
    digits = expires.isascii() and expires.isdigit() and len(expires) <= _DIGITS
    if not digits or not low <= int(expires) <= high:
        raise PolicyError(f"tag `{EXPIRES_TAG}` must be seconds, from {low} to {high}")
    return Policy(key=key, expires=int(expires))


def _compiled(member: str, text: str) -> Expression:
    try:
        return compiled(text)
    except ExpressionError as cause:
        raise PolicyError(f"`{member}`: {cause}") from cause
