"""Laws of filter patterns."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.errors import Invalid
from casemate.services.logs.pattern import compile_pattern
from effort import bounded

ITEM = json.dumps(
    {
        "level": "ERROR",
        "code": 503,
        "ok": True,
        "none": None,
        "a": {"b": [{"c": "deep"}]},
        "odd name": "x",
    }
)


@pytest.mark.parametrize(
    ("pattern", "message", "expected"),
    [
        ("", "anything", True),
        ("  ", "anything", True),
        ("ERROR", "[ERROR 400] BAD", True),
        ("ERROR", "error", False),
        ("ERROR BAD", "[ERROR 400] BAD", True),
        ("ERROR GOOD", "[ERROR 400] BAD", False),
        ('"ERROR 400" BAD', "[ERROR 400] BAD", True),
        ('"400 ERROR"', "[ERROR 400] BAD", False),
        ("ERROR -BAD", "[ERROR 400] BAD", False),
        ("ERROR -GOOD", "[ERROR 400] BAD", True),
        ('-"a b"', "a b", False),
        ("?WARN ?ERROR", "an ERROR", True),
        ("?WARN ?ERROR", "fine", False),
        ('"say \\"hi\\""', 'they say "hi"', True),
        ('{ $.level = "ERROR" }', ITEM, True),
        ("{ $.level = ERROR }", ITEM, True),
        ('{ $.level != "ERROR" }', ITEM, False),
        ('{ $.level = "ERR*" }', ITEM, True),
        ('{ $.level = "*RO*" && $.code >= 500 }', ITEM, True),
        ("{ $.code = 503 }", ITEM, True),
        ("{ $.code != 503 }", ITEM, False),
        ("{ $.code < 5.03e2 }", ITEM, False),
        ("{ $.ok = 1 }", ITEM, False),
        ("{ $.ok IS TRUE && $.none IS NULL }", ITEM, True),
        ("{ $.ok IS FALSE }", ITEM, False),
        ("{ $.absent NOT EXISTS }", ITEM, True),
        ("{ $.level NOT EXISTS }", ITEM, False),
        ("{ $.level EXISTS }", ITEM, True),
        ('{ $.absent != "x" }', ITEM, False),
        ('{ $.a.b[0].c = "deep" }', ITEM, True),
        ('{ $.a.b[1].c = "deep" }', ITEM, False),
        ('{ $["odd name"] = "x" }', ITEM, True),
        ("{ ($.code = 1 || $.code = 503) && $.ok IS TRUE }", ITEM, True),
        ("{ $.code = 503 || $.code = 1 && $.ok IS FALSE }", ITEM, True),
        ("{ $.code = 503 }", "not json", False),
        ("{ $.code = 503 }", "{broken", False),
        ("{ $.code = 503 }", "503", False),
    ],
)
def test_patterns_mean_what_aws_documents(
    pattern: str, message: str, expected: bool
) -> None:
    """Terms, phrases, alternatives, exclusions, and JSON members."""
    assert compile_pattern(pattern)(message) is expected


@pytest.mark.parametrize(
    "pattern",
    [
        "%re+%",
        "[a, b]",
        "?a b",
        "a -b ?c",
        "a-b",
        "a.b",
        '"open',
        "-",
        "x" * 1025,
        "{",
        "{}",
        "{ $.a }",
        "{ $.a = }",
        "{ $.a = 1",
        "{ $.a = 1 } x",
        "{ $.a > x }",
        "{ $.a = %x% }",
        "{ $.a IS MAYBE }",
        "{ a = 1 }",
        "{ $.a[*] = 1 }",
        "{ " + "(" * 40 + "$.a = 1" + ")" * 40 + " }",
        "{ $.a = 1 && }",
    ],
)
def test_what_is_not_here_is_refused_by_name(pattern: str) -> None:
    """Never a pattern that quietly matches something else."""
    with pytest.raises(Invalid) as refused:
        compile_pattern(pattern)
    assert refused.value.code == "InvalidParameterException"


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_pattern_is_compiled_or_refused(pattern: str, message: str) -> None:
    """And then tells yes or no of any message."""
    for text in (pattern, "{" + pattern + "}"):
        try:
            matches = compile_pattern(text)
        except Invalid:
            continue
        assert matches(message) in (True, False)
        assert matches(ITEM) in (True, False)


@given(st.text("ab*", max_size=12), st.text("ab", max_size=12))
def test_stars_match_as_a_glob(pattern: str, text: str) -> None:
    """The oracle tries every split."""

    def oracle(p: str, t: str) -> bool:
        if not p:
            return not t
        if p[0] == "*":
            return any(oracle(p[1:], t[n:]) for n in range(len(t) + 1))
        return bool(t) and p[0] == t[0] and oracle(p[1:], t[1:])

    matches = compile_pattern(f'{{ $.x = "{pattern}" }}')
    assert matches(json.dumps({"x": text})) is oracle(pattern, text)


@bounded()
def test_hostile_patterns_cost_no_more_than_their_length() -> None:
    """Q12: no pattern makes a search quadratic in the message."""
    message = json.dumps({"x": "a" * 200_000})
    patterns = ['{ $.x = "' + "*a" * 300 + '*b" }', " ".join(["a"] * 300 + ["b"])]
    for pattern in patterns:
        assert compile_pattern(pattern)(message) is False
