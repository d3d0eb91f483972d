"""
JSON filter patterns: `{ ($.level = "ERROR" || $.code >= 500) && $.id != x* }`.

    pattern    = "{" or "}"
    or         = and { "||" and }
    and        = one { "&&" one }
    one        = "(" or ")" | selector test
    test       = ("=" | "!=") (text | number) | ("<" | "<=" | ">" | ">=") number
               | "IS" ("TRUE" | "FALSE" | "NULL") | ["NOT"] "EXISTS"
    selector   = "$" { "." name | "[" digits "]" | "[" quoted "]" }

`*` in a text stands for any characters.  A member that is not there meets no
test but `NOT EXISTS`.  A message that is not a JSON object or array meets none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

import orjson

from casemate.services.logs.refusals import invalid

Test = Callable[[object], bool]
Selector = tuple[str | int, ...]

_DEPTH: Final = 16
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<selector>\$(?:\.[A-Za-z0-9_@-]+|\[[0-9]{1,4}\]|\["[^"\\]{1,128}"\])+)
      | (?P<operator>&&|\|\||!=|<=|>=|=|<|>|\(|\)|\{|\})
      | (?P<quoted>"(?:[^"\\]|\\.)*")
      | (?P<word>[^\s"(){}=<>!&|]+)
    )""",
    re.VERBOSE,
)
_STEP = re.compile(r'\.([A-Za-z0-9_@-]+)|\[([0-9]{1,4})\]|\["([^"\\]{1,128})"\]')
_NUMBER = re.compile(r"[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?(?:[eE][+-]?[0-9]{1,3})?")
_ABSENT: Final = object()


def compile_json(text: str) -> Callable[[str], bool]:
    """Compile a JSON pattern.  Raises Invalid."""
    parser = _Parser(_tokens(text))
    parser.take("{")
    test = parser.either(0)
    parser.take("}")
    parser.end()

    def matches(message: str) -> bool:
        if not message.lstrip().startswith(("{", "[")):
            return False
        try:
            document = orjson.loads(message)
        except orjson.JSONDecodeError:
            return False
        return test(document)

    return matches


def quoted(text: str, at: int) -> tuple[str, int]:
    """Read a text in double quotes that begins at `at`; give it and its end."""
    read: list[str] = []
    at += 1
    while at < len(text):
        character = text[at]
        if character == '"':
            return "".join(read), at + 1
        if character == "\\" and at + 1 < len(text):
            at += 1
            character = text[at]
        read.append(character)
        at += 1
    raise invalid("a double quote in `filterPattern` is not closed")


@final
@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def _tokens(text: str) -> list[_Token]:
    found: list[_Token] = []
    at = 0
    while text[at:].strip():
        matched = _TOKEN.match(text, at)
        if matched is None or matched.lastgroup is None:
            raise invalid(f"`filterPattern` cannot be read at `{text[at : at + 32]}`")
        found.append(_Token(matched.lastgroup, matched[matched.lastgroup]))
        at = matched.end()
    return found


class _Parser:
    """Reads tokens once, from left to right."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def take(self, text: str) -> None:
        token = self._next()
        if token.kind != "operator" or token.text != text:
            raise invalid(f"`filterPattern` needs `{text}` before `{token.text[:32]}`")

    def end(self) -> None:
        if self._at != len(self._tokens):
            raise invalid("`filterPattern` goes on after its `}`")

    def either(self, depth: int) -> Test:
        tests = [self._both(depth)]
        while self._skips("||"):
            tests.append(self._both(depth))
        if len(tests) == 1:
            return tests[0]
        return lambda document: any(test(document) for test in tests)

    def _both(self, depth: int) -> Test:
        tests = [self._one(depth)]
        while self._skips("&&"):
            tests.append(self._one(depth))
        if len(tests) == 1:
            return tests[0]
        return lambda document: all(test(document) for test in tests)

    def _one(self, depth: int) -> Test:
        if depth > _DEPTH:
            raise invalid(f"`filterPattern` has more than {_DEPTH} nested parentheses")
        if self._skips("("):
            test = self.either(depth + 1)
            self.take(")")
            return test
        token = self._next()
        if token.kind != "selector":
            raise invalid(
                f"`filterPattern` needs a selector such as `$.level` at "
                f"`{token.text[:32]}`"
            )
        return self._test(_selector(token.text))

    def _test(self, selector: Selector) -> Test:
        token = self._next()
        if token.kind == "operator" and token.text in _COMPARE:
            return _compared(selector, token.text, self._next())
        word = token.text.upper() if token.kind == "word" else ""
        if word == "IS":
            return _is(selector, self._next().text.upper())
        if word == "EXISTS":
            return lambda document: _select(document, selector) is not _ABSENT
        if word == "NOT" and self._next().text.upper() == "EXISTS":
            return lambda document: _select(document, selector) is _ABSENT
        raise invalid(f"`filterPattern` has no test `{token.text[:32]}`")

    def _next(self) -> _Token:
        if self._at >= len(self._tokens):
            raise invalid("`filterPattern` ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _skips(self, text: str) -> bool:
        there = self._at < len(self._tokens)
        token = self._tokens[self._at] if there else None
        if token is None or token.kind != "operator" or token.text != text:
            return False
        self._at += 1
        return True


_COMPARE: Final[dict[str, Callable[[float, float], bool]]] = {
    "=": lambda there, asked: there == asked,
    "!=": lambda there, asked: there != asked,
    "<": lambda there, asked: there < asked,
    "<=": lambda there, asked: there <= asked,
    ">": lambda there, asked: there > asked,
    ">=": lambda there, asked: there >= asked,
}


def _selector(text: str) -> Selector:
    steps: list[str | int] = []
    for name, index, quoted_name in _STEP.findall(text):
        steps.append(int(index) if index else name or quoted_name)
    return tuple(steps)


def _select(document: object, selector: Selector) -> object:
    for step in selector:
        if isinstance(step, int):
            if not isinstance(document, list) or step >= len(document):
                return _ABSENT
            document = document[step]
        else:
            if not isinstance(document, dict) or step not in document:
                return _ABSENT
            document = document[step]
    return document


def _compared(selector: Selector, operator: str, token: _Token) -> Test:
    compare = _COMPARE[operator]
    if token.kind == "word" and _NUMBER.fullmatch(token.text):
        asked = float(token.text)

        def numeric(document: object) -> bool:
            there = _select(document, selector)
            if isinstance(there, bool) or not isinstance(there, int | float):
                return False
            return compare(there, asked)

        return numeric
    if operator not in ("=", "!="):
        raise invalid(f"`{operator}` in `filterPattern` compares numbers only")
    like = _like(_literal(token))
    equal = operator == "="

    def textual(document: object) -> bool:
        there = _select(document, selector)
        return isinstance(there, str) and like(there) is equal

    return textual


def _literal(token: _Token) -> str:
    if token.kind == "quoted":
        return quoted(token.text, 0)[0]
    if token.kind != "word":
        raise invalid(f"`filterPattern` needs a value before `{token.text[:32]}`")
    if token.text.startswith("%"):
        raise invalid("regular expressions (`%…%`) are not here: they are not linear")
    return token.text


def _like(pattern: str) -> Callable[[str], bool]:
    """Match a text in which `*` stands for anything, without ever going back."""
    if "*" not in pattern:
        return pattern.__eq__
    head, *middle, tail = pattern.split("*")

    def matches(text: str) -> bool:
        if len(text) < len(head) + len(tail):
            return False
        if not text.startswith(head) or not text.endswith(tail):
            return False
        at, end = len(head), len(text) - len(tail)
        for piece in middle:
            found = text.find(piece, at, end)
            if found < 0:
                return False
            at = found + len(piece)
        return True

    return matches


def _is(selector: Selector, word: str) -> Test:
    values = {"TRUE": True, "FALSE": False, "NULL": None}
    if word not in values:
        raise invalid(f"`IS {word[:32]}` is not a test; there are TRUE, FALSE and NULL")
    value = values[word]
    return lambda document: _select(document, selector) is value
