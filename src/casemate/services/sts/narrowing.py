"""
Session policies: what narrows a session below its role.

The documents travel sealed in the session token, so they are measured: the
token goes into an HTTP header with every call.  A managed policy is taken as
it is in force at this time; a later version does not reach sessions that are
out already.

Source: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from casemate.core.errors import Invalid
from casemate.core.operation import Parameters
from casemate.policy.iam import Kind, MalformedPolicyError, compile_policy
from casemate.services.sts.ports import Directory

INLINE = 2_048
"""Characters of the inline session policy, as sent."""

MANAGED = 10
"""Managed session policies of a session."""

PACKED = 8_192
"""Bytes of all session policies and tags in a token, white space aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Narrowing:
    """The session policies, and how full the token is.  packed: percent."""

    documents: tuple[str, ...]
    packed: int | None


def narrowing(
    parameters: Parameters, account: str, tags: Mapping[str, str], directory: Directory
) -> Narrowing:
    """
    Give the session policies of a request.

    account: the role's, whose managed policies may be named.  Raises Invalid
    (`MalformedPolicyDocument`, `PackedPolicyTooLarge`, `ValidationError`).
    """
    documents = (
        *_inline(parameters.get("Policy")),
        *_managed(parameters.get("PolicyArns"), account, directory),
    )
    for number, document in enumerate(documents, 1):
        _compile(document, number)
    return Narrowing(documents=documents, packed=_packed(documents, tags))


def _inline(given: object) -> tuple[str, ...]:
    if not given:
        return ()
    if not isinstance(given, str) or len(given) > INLINE:
        raise Invalid(
            f"`Policy` must have at most {INLINE} characters", code="ValidationError"
        )
    return (_tight(given),)


def _managed(given: object, account: str, directory: Directory) -> tuple[str, ...]:
    named = (
        [str(p.get("arn", "")) for p in given] if isinstance(given, Sequence) else []
    )
    if len(named) > MANAGED:
        raise Invalid(
            f"`PolicyArns` must name at most {MANAGED} policies", code="ValidationError"
        )
    return tuple(_document(arn, account, directory) for arn in named)


def _document(arn: str, account: str, directory: Directory) -> str:
    document = directory.managed_policy(account, arn)
    if document is None:
        raise Invalid(
            f"the policy `{arn}` is not one that the role's account can use",
            code="ValidationError",
        )
    return _tight(document)


def _tight(document: str) -> str:
    """Write a document without white space.  Raises Invalid."""
    try:
        # Duplicate keys would vanish here, so they are looked for.
        value = json.loads(document, object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as cause:
        raise Invalid(
            "the session policy is not JSON, or names a key twice",
            code="MalformedPolicyDocument",
        ) from cause
    return json.dumps(value, separators=(",", ":"))


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _compile(document: str, number: int) -> None:
    try:
        compile_policy(document, name=f"session-{number}", kind=Kind.SESSION)
    except MalformedPolicyError as error:
        raise Invalid(error.reason, code="MalformedPolicyDocument") from error


def _packed(documents: Sequence[str], tags: Mapping[str, str]) -> int | None:
    if not documents and not tags:
        return None
    size = sum(len(d.encode()) for d in documents)
    size += sum(len(k.encode()) + len(v.encode()) for k, v in tags.items())
    percent = -(-size * 100 // PACKED)
    if size > PACKED:
        raise Invalid(
            f"the session policies and tags are {percent}% of what a session can "
            "carry; shorten them",
            code="PackedPolicyTooLarge",
        )
    return percent
