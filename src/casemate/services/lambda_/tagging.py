"""
The tags of a function.

Two of them say something to the platform (`idempotency.policy`), so they are held
to what they may say.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-tags.html
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final

from casemate.core.arn import Arn, NotAnArnError
from casemate.core.operation import Parameters, Scope
from casemate.services.lambda_.idempotency.policy import PolicyError
from casemate.services.lambda_.idempotency.policy import tagged as policy_of
from casemate.services.lambda_.names import FunctionRef, refer_arn
from casemate.services.lambda_.parameters import needed, texts
from casemate.services.lambda_.refusals import invalid

LIMIT: Final = 50
_KEY: Final = 128
_VALUE: Final = 256
_MARKS: Final = frozenset("_.:/=+-@")


def check(tags: Mapping[str, str]) -> dict[str, str]:
    """Give the tags, or raise Invalid."""
    if len(tags) > LIMIT:
        raise invalid(f"Number of tags exceeds resource tag limit. Limit: {LIMIT}")
    for key, value in tags.items():
        if not 1 <= len(key) <= _KEY or not _spelled(key):
            raise invalid(
                f"tag key `{key[:_KEY]}` must have 1 to {_KEY} characters: letters, "
                "digits, spaces and _.:/=+-@"
            )
        if key[:4].lower() == "aws:":
            raise invalid(f"tag key `{key}` begins with `aws:`, which is reserved")
        if len(value) > _VALUE or not _spelled(value):
            raise invalid(
                f"the value of tag `{key}` must have at most {_VALUE} characters: "
                "letters, digits, spaces and _.:/=+-@"
            )
    return dict(tags)


def whole(tags: Mapping[str, str]) -> dict[str, str]:
    """Give all the tags of a function, or raise Invalid."""
    try:
        policy_of(tags)
    except PolicyError as cause:
        raise invalid(str(cause)) from cause
    return check(tags)


def _spelled(text: str) -> bool:
    # AWS: [\p{L}\p{Z}\p{N}_.:/=+\-@]*
    return all(c in _MARKS or unicodedata.category(c)[0] in "LZN" for c in text)


def tagged(parameters: Parameters, _scope: Scope) -> Arn:
    """Name the resource that `Resource` means.  Raises Invalid."""
    try:
        arn = Arn.parse(needed(parameters, "Resource"))
    except NotAnArnError as cause:
        raise invalid(str(cause)) from cause
    reference(arn)
    return arn


def reference(arn: Arn) -> FunctionRef:
    """Say which function is tagged.  Raises Invalid."""
    ref = refer_arn(arn)
    if ref is None:
        raise invalid(f"`{arn}` is not the ARN of a function; only functions have tags")
    if ref.qualifier:
        raise invalid(
            "Tags on function aliases and versions are not supported. Please specify "
            "a function ARN."
        )
    return ref


def untag_context(parameters: Parameters, _scope: Scope) -> dict[str, tuple[str, ...]]:
    """Fill `aws:TagKeys` of UntagResource."""
    return {"aws:TagKeys": texts(parameters, "TagKeys") or ()}
