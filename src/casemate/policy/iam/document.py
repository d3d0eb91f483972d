"""
Read a policy document's JSON, strictly.

What IAM's grammar forbids is refused here, before anything looks at meaning:
duplicate keys, `NaN`, more bytes or levels than a policy can have, characters
that no policy may hold.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import NoReturn

from casemate.policy.iam.malformed import MalformedPolicyError


class Kind(StrEnum):
    """What a policy is attached to; it decides which elements may stand in it."""

    IDENTITY = "identity-based"
    RESOURCE = "resource-based"
    TRUST = "trust"
    SESSION = "session"
    BOUNDARY = "permissions boundary"


SIZE_LIMITS = {
    # An inline policy of a role; managed policies (6,144) and inline ones of
    # users (2,048) are narrower, and the service that stores them says so.
    Kind.IDENTITY: 10_240,
    Kind.RESOURCE: 20_480,
    Kind.TRUST: 2_048,
    Kind.SESSION: 2_048,
    Kind.BOUNDARY: 6_144,
}
"""Characters without white space, by kind.
Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html"""

RAW_LIMIT = 131_072
"""Characters with white space: the length that IAM's model gives the member."""

_SPACE = re.compile(r"[ \t\r\n]+")
_UNFIT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


class Number(str):
    """A JSON number, as it was written: conditions compare text or decimals."""

    __slots__ = ()


def read_document(text: str, kind: Kind) -> dict[str, object]:
    """
    Read the JSON object of a policy.

    Numbers come back as `Number`.  Raises MalformedPolicyError.
    """
    if len(text) > RAW_LIMIT:
        raise MalformedPolicyError(
            f"the document has {len(text):,} characters and the limit is {RAW_LIMIT:,}"
        )
    size, limit = len(_SPACE.sub("", text)), SIZE_LIMITS[kind]
    if size > limit:
        raise MalformedPolicyError(
            f"the document has {size:,} characters without white space, and the limit "
            f"of this kind ({kind}) is {limit:,}: split it"
        )
    try:
        value = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_int=Number,
            parse_float=Number,
            parse_constant=_no_constant,
        )
    except json.JSONDecodeError as error:
        raise MalformedPolicyError(
            f"the document is not JSON: {error.msg} at line {error.lineno}, "
            f"column {error.colno}"
        ) from error
    except RecursionError as error:
        raise MalformedPolicyError("the document is nested too deeply") from error
    if not isinstance(value, dict):
        raise MalformedPolicyError("a policy is a JSON object with a `Statement`")
    return value


def text_of(value: object, where: str) -> str:
    """Give a JSON string that a policy may hold.  Raises MalformedPolicyError."""
    if not isinstance(value, str) or isinstance(value, Number):
        raise MalformedPolicyError(f"{where} must be a string")
    if _UNFIT.search(value):
        raise MalformedPolicyError(f"{where} has a character that no policy may hold")
    return value


def texts_of(value: object, where: str) -> tuple[str, ...]:
    """Give a string or a list of strings as a tuple that is not empty."""
    values = value if isinstance(value, list) else [value]
    if not values:
        raise MalformedPolicyError(
            f"{where} is an empty list: name something, or leave the statement out"
        )
    return tuple(text_of(each, where) for each in values)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        again = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]  # `add` gives None, which is the point
        raise MalformedPolicyError(f"the key `{again[:128]}` is there twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise MalformedPolicyError(f"`{name}` is not JSON")
