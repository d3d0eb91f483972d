"""
Policy documents as IAM takes, measures and gives them.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from casemate.core.operation import Parameters
from casemate.policy.iam import Kind, MalformedPolicyError, Policy, compile_policy
from casemate.services.iam import refusals
from casemate.services.iam.names import text

_SPACE = re.compile(r"\s+")


def taken(
    parameters: Parameters,
    kind: Kind,
    *,
    member: str = "PolicyDocument",
    largest: int | None = None,
) -> str:
    """
    Give the document of a request, known to compile.

    largest: characters without white space.  Raises Invalid, and Conflict
    (`LimitExceeded`) for a larger one.
    """
    document = text(parameters, member)
    if largest is not None and size(document) > largest:
        raise refusals.limit(
            f"cannot exceed quota for PolicySize: {largest}, white space not counted"
        )
    compiled(document, kind, name=member)
    return document


def compiled(document: str, kind: Kind, *, name: str) -> Policy:
    """Compile a document; a malformed one is IAM's MalformedPolicyDocument."""
    try:
        return compile_policy(document, name=name, kind=kind)
    except MalformedPolicyError as error:
        raise refusals.malformed(error.reason) from error


def size(document: str) -> int:
    """Count the characters that count against a quota: not the white space."""
    return len(_SPACE.sub("", document))


def sent(document: str) -> str:
    """Encode a document as IAM sends it: percent-encoded after RFC 3986."""
    return quote(document, safe="")
