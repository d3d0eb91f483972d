"""
Policy variables: `${aws:username}`, `${aws:userid, 'anonymous'}`, `${*}`.

A variable's value is literal text.  A user who is called `*` gets a star, not
a wildcard.  Documents of version 2008-10-17 have no variables: there, `${…}`
is text like any other.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import final

from casemate.policy.iam.facts import Facts, lower
from casemate.policy.iam.glob import Item, tokens
from casemate.policy.iam.malformed import MalformedPolicyError

_PLACE = re.compile(r"\$\{([^}]*)\}")
_NAME = re.compile(
    r"\s*([A-Za-z0-9][A-Za-z0-9.-]*:[^'{}$*?,\s][^'{}$*?,]*?)"
    r"(?:\s*,\s*'([^'{}$]*)')?\s*\Z"
)
_SPECIAL = frozenset("*?$")


@final
@dataclass(frozen=True, slots=True)
class Variable:
    """A place that a condition key's value fills.  key is in lower case."""

    key: str
    default: str | None


Part = Item | Variable
Template = tuple[Part, ...]


def template(text: str, *, variables: bool, wildcards: bool) -> Template:
    """
    Read a pattern or value in which variables may stand.

    Raises MalformedPolicyError for `${` that opens no variable.
    """
    read = tokens if wildcards else _plain
    if not variables or "${" not in text:
        return read(text)
    parts: list[Part] = []
    for at, piece in enumerate(_PLACE.split(text)):
        if at % 2:
            parts.append(_variable(piece))
        elif "${" in piece:
            raise MalformedPolicyError(
                f"`{text[:128]}` opens a variable and does not close it; "
                f"write `${{$}}{{` for the characters themselves"
            )
        else:
            parts.extend(read(piece))
    return tuple(parts)


def fixed(parts: Template) -> tuple[Item, ...] | None:
    """Give the items of a template without variables, or None."""
    items: list[Item] = []
    for part in parts:
        if isinstance(part, Variable):
            return None
        items.append(part)
    return tuple(items)


def fill(parts: Template, facts: Facts) -> tuple[Item, ...] | None:
    """
    Put the values in, as literal text; None if one is not there.

    A key with several values cannot be a variable, so it counts as not there.
    """
    items: list[Item] = []
    for part in parts:
        if not isinstance(part, Variable):
            items.append(part)
            continue
        value = facts.value(part.key)
        if not isinstance(value, str):
            value = part.default
        if value is None:
            return None
        items.append(value)
    return tuple(items)


def _plain(text: str) -> tuple[Item, ...]:
    return (text,)


def _variable(inside: str) -> Part:
    if inside in _SPECIAL:
        return inside
    found = _NAME.match(inside)
    if not found:
        raise MalformedPolicyError(
            f"`${{{inside[:64]}}}` is not a policy variable; write "
            f"`${{aws:username}}` or `${{aws:username, 'default'}}`"
        )
    return Variable(lower(found[1]), found[2])
