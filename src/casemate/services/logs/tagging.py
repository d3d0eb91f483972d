"""The rules of tags on log groups."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final

from casemate.core.errors import Refusal
from casemate.core.operation import Parameters, Scope, condition_tags
from casemate.services.logs.parameters import text_map, texts
from casemate.services.logs.refusals import invalid

LIMIT: Final = 50
_KEY: Final = 128
_VALUE: Final = 256
_MARKS: Final = frozenset("_.:/=+-@")


def check(tags: Mapping[str, str]) -> dict[str, str]:
    """Give the tags, or raise a Refusal."""
    if len(tags) > LIMIT:
        raise Refusal(
            f"a log group can have at most {LIMIT} tags", code="TooManyTagsException"
        )
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


def tag_context(
    parameters: Parameters, _scope: Scope
) -> dict[str, str | tuple[str, ...]]:
    """Fill `aws:RequestTag/…` and `aws:TagKeys`."""
    return condition_tags(text_map(parameters, "tags") or {})


def untag_context(parameters: Parameters, _scope: Scope) -> dict[str, tuple[str, ...]]:
    """Fill `aws:TagKeys` of UntagResource."""
    return {"aws:TagKeys": texts(parameters, "tagKeys") or ()}
