"""
CloudWatch Logs' filter patterns: which messages match?

    ERROR "out of memory"      all of these words
    ?ERROR ?WARN               any of these
    ERROR -health              the one and not the other
    { $.level = "ERROR" }      a JSON message's members

Compiled once, evaluated in time linear in the message.  Case matters.
Refused by name, because they are not here: regular expressions (`%…%`),
space-delimited patterns (`[a, b]`), and `?` beside other terms, which AWS
ignores without a word.

Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from casemate.services.logs import jsonpattern
from casemate.services.logs.refusals import invalid

LONGEST: Final = 1_024
"""Characters."""

Matcher = Callable[[str], bool]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Terms:
    """Words to be found, words to be absent, words of which one must be found."""

    every: tuple[str, ...]
    none: tuple[str, ...]
    some: tuple[str, ...]

    def __call__(self, message: str) -> bool:
        return (
            all(term in message for term in self.every)
            and not any(term in message for term in self.none)
            and (not self.some or any(term in message for term in self.some))
        )


def compile_pattern(pattern: str) -> Matcher:
    """Compile a filter pattern.  Raises Invalid."""
    if len(pattern) > LONGEST:
        raise invalid(f"`filterPattern` has more than {LONGEST} characters")
    text = pattern.strip()
    if not text:
        return _anything
    if text.startswith("{"):
        return jsonpattern.compile_json(text)
    if text.startswith("["):
        raise invalid("space-delimited patterns (`[…]`) are not here yet; use terms")
    return _terms(text)


def _anything(_message: str) -> bool:
    return True


def _terms(text: str) -> Matcher:
    every: list[str] = []
    none: list[str] = []
    some: list[str] = []
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        into = every
        if text[at] in "-?":
            into = none if text[at] == "-" else some
            at += 1
        term, at = _term(text, at)
        into.append(term)
    if some and (every or none):
        raise invalid(
            "`?` terms cannot stand beside other terms: AWS ignores them there; ask "
            "twice, or use a JSON pattern"
        )
    return _Terms(every=tuple(every), none=tuple(none), some=tuple(some))


def _term(text: str, at: int) -> tuple[str, int]:
    """Read one term, quoted or bare; give it and where it ends."""
    if at < len(text) and text[at] == '"':
        return jsonpattern.quoted(text, at)
    end = at
    while end < len(text) and not text[end].isspace():
        end += 1
    term = text[at:end]
    if term.startswith("%"):
        raise invalid("regular expressions (`%…%`) are not here: they are not linear")
    if not term or not all(c.isalnum() or c == "_" for c in term):
        raise invalid(
            f"term `{term[:64]}` has other characters than letters, digits and `_`; "
            "put it in double quotes"
        )
    return term, end
