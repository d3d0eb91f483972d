"""
What IAM's things may be called, and the ids that no two of them share.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from casemate.core.errors import Conflict, Invalid
from casemate.core.operation import Parameters

Entropy = Callable[[int], bytes]
"""Gives that many unguessable bytes."""

USER_NAME = 64
ROLE_NAME = 64
POLICY_NAME = 128
TAGS = 50
_TAG_KEY, _TAG_VALUE = 128, 256
_PATH = 512
_DESCRIPTION = 1000

# `\w` of the documentation is ASCII's; Unicode's would let look-alikes in.
_NAME = re.compile(r"[A-Za-z0-9_+=,.@-]+\Z")
_PATH_FORM = re.compile(r"(?:/|/[\x21-\x7e]+/)\Z")
_DESCRIPTION_FORM = re.compile(r"[\t\n\r\x20-\x7e\xa1-\xff]*\Z")
_TAG_FORM = re.compile(r"[\w\s.:/=+\-@]*\Z")

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
_ID_TAIL = 17
_FAIR = len(_ALPHABET) * (256 // len(_ALPHABET))


def text(parameters: Parameters, member: str) -> str:
    """Give a text member that must be there.  Raises Invalid."""
    value = parameters.get(member)
    if not isinstance(value, str) or not value:
        raise Invalid(f"`{member}` must be given", code="ValidationError")
    return value


def optional(parameters: Parameters, member: str) -> str:
    """Give a text member, or the empty text."""
    value = parameters.get(member)
    return value if isinstance(value, str) else ""


def name(parameters: Parameters, member: str, longest: int) -> str:
    """Give a name that keeps IAM's rules.  Raises Invalid."""
    value = text(parameters, member)
    if len(value) > longest or not _NAME.match(value):
        raise Invalid(
            f"`{member}` must have 1 to {longest} characters out of letters, digits "
            "and `_+=,.@-`",
            code="ValidationError",
        )
    return value


def path(parameters: Parameters, member: str = "Path") -> str:
    """Give a path that keeps IAM's rules; `/` if none is given.  Raises Invalid."""
    value = optional(parameters, member) or "/"
    if (
        len(value) > _PATH
        or not _PATH_FORM.match(value)
        or "*" in value
        or "?" in value
    ):
        # AWS lets `*` and `?` into a path.  In the ARN of a thing they would
        # read as wildcards wherever the ARN is pasted into a policy.
        raise Invalid(
            f"`{member}` must begin and end with `/` and have at most {_PATH} "
            "visible ASCII characters, none of them `*` or `?`",
            code="ValidationError",
        )
    return value


def description(parameters: Parameters) -> str:
    """Give a description that keeps IAM's rules.  Raises Invalid."""
    value = optional(parameters, "Description")
    if len(value) > _DESCRIPTION or not _DESCRIPTION_FORM.match(value):
        raise Invalid(
            f"`Description` must have at most {_DESCRIPTION} printable characters",
            code="ValidationError",
        )
    return value


def tags(parameters: Parameters) -> dict[str, str]:
    """
    Give the tags of a request.  Raises Invalid.

    Keys are not distinguished by case, so two that differ in case alone are
    refused.
    """
    given = parameters.get("Tags") or ()
    assert isinstance(given, Sequence)  # noqa: S101 — the codec made it
    found: dict[str, str] = {}
    for tag in given:
        key, value = _tag(tag)
        if key.lower() in {k.lower() for k in found}:
            raise Invalid(
                f"the tag key `{key}` is given twice; keys are not distinguished "
                "by case",
                code="InvalidInput",
            )
        found[key] = value
    if len(found) > TAGS:
        raise too_many_tags()
    return found


def too_many_tags() -> Conflict:
    """Make the refusal of more tags than a thing may have."""
    return Conflict(
        f"cannot exceed quota for TagsPerResource: {TAGS}", code="LimitExceeded"
    )


def _tag(tag: Mapping[str, object]) -> tuple[str, str]:
    key, value = str(tag.get("Key", "")), str(tag.get("Value", ""))
    if (
        not 1 <= len(key) <= _TAG_KEY
        or len(value) > _TAG_VALUE
        or not _TAG_FORM.match(key)
        or not _TAG_FORM.match(value)
    ):
        raise Invalid(
            f"a tag's key has 1 to {_TAG_KEY} and its value at most {_TAG_VALUE} "
            "letters, digits, spaces and `_.:/=+-@`",
            code="ValidationError",
        )
    if key.lower().startswith("aws:"):
        raise Invalid(
            f"the tag key `{key}` begins with `aws:`, which is reserved",
            code="InvalidInput",
        )
    return key, value


def as_list(tags_of: Mapping[str, str]) -> list[dict[str, str]]:
    """Write tags as AWS lists them."""
    return [{"Key": key, "Value": value} for key, value in tags_of.items()]


def new_id(prefix: str, entropy: Entropy) -> str:
    """
    Make a unique id: the prefix (`AIDA`, `AROA`, `ANPA`) and 17 of `A-Z0-9`.

    88 bits, every character equally likely.
    """
    tail = ""
    while len(tail) < _ID_TAIL:
        # Bytes past the last whole alphabet would favour its first letters.
        fair = (b for b in entropy(_ID_TAIL) if b < _FAIR)
        tail += "".join(_ALPHABET[b % len(_ALPHABET)] for b in fair)
    return prefix + tail[:_ID_TAIL]
