"""The rules of tags on queues."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final

from casemate.core.operation import Need, Parameters, Scope, condition_tags
from casemate.services.sqs import names
from casemate.services.sqs.parameters import text_map, texts
from casemate.services.sqs.refusals import invalid

LIMIT: Final = 50
_KEY: Final = 128
_VALUE: Final = 256
_MARKS: Final = frozenset("_.:/=+-@")


def check(tags: Mapping[str, str]) -> dict[str, str]:
    """Give the tags, or raise Invalid."""
    if len(tags) > LIMIT:
        raise invalid(f"Too many tags: a queue can have at most {LIMIT}")
    for key, value in tags.items():
        if not 1 <= len(key) <= _KEY or not _spelled(key):
            raise invalid(f"tag key `{key[:_KEY]}` is not 1 to {_KEY} valid characters")
        if key[:4].lower() == "aws:":
            raise invalid(f"tag key `{key}` begins with `aws:`, which is reserved")
        if len(value) > _VALUE or not _spelled(value):
            raise invalid(
                f"the value of tag `{key}` is not at most {_VALUE} valid characters"
            )
    return dict(tags)


def _spelled(text: str) -> bool:
    return all(c in _MARKS or unicodedata.category(c)[0] in "LZN" for c in text)


def with_creation(
    parameters: Parameters, _scope: Scope
) -> dict[str, str | tuple[str, ...]]:
    """Fill `aws:RequestTag/…` and `aws:TagKeys` of CreateQueue."""
    return condition_tags(text_map(parameters, "tags") or {})


def tag_context(
    parameters: Parameters, _scope: Scope
) -> dict[str, str | tuple[str, ...]]:
    """Fill `aws:RequestTag/…` and `aws:TagKeys` of TagQueue."""
    return condition_tags(text_map(parameters, "Tags") or {})


def untag_context(parameters: Parameters, _scope: Scope) -> dict[str, tuple[str, ...]]:
    """Fill `aws:TagKeys` of UntagQueue."""
    return {"aws:TagKeys": texts(parameters, "TagKeys") or ()}


def tagging_too(parameters: Parameters, scope: Scope) -> tuple[Need, ...]:
    """Need `sqs:TagQueue` for a creation with tags."""
    if not text_map(parameters, "tags"):
        return ()
    return (
        Need(
            action="sqs:TagQueue",
            resource=names.of_new(parameters, scope),
            context=with_creation(parameters, scope),
        ),
    )
