"""Laws of finding a key: bounded in cost, exact in value."""

from __future__ import annotations

import json

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jmespath.parser import Parser

from casemate.services.lambda_.idempotency.expression import (
    CHOICES,
    LONGEST,
    EventError,
    ExpressionError,
    canonical,
    compiled,
    is_missing,
    read,
)

EVENT = {
    "id": "a",
    "n": [1, [2, 3], {"x": 4}],
    "o": {"p": {"q": "deep"}, "with space": 5},
    "body": '{"user": {"id": 7}, "list": [8]}',
    "zero": 0,
    "no": False,
}
TAKEN = (
    "id",
    "@",
    "o.p.q",
    '"o"."with space"',
    "n[0]",
    "n[-1].x",
    "n[1][0]",
    "n[9]",
    "[id, o.p.q]",
    "{a: id, b: n[2].x}",
    "o.[p.q, p]",
    "o.{a: p}",
    "id.id",
    "nothing.at.all",
    "(o).p",
)
names = st.sampled_from(["id", "n", "o", "p", "q", "body", "nil"])
steps = st.one_of(names.map(lambda n: f".{n}"), st.sampled_from(["[0]", "[-1]", "[7]"]))
paths = st.builds(lambda n, s: n + "".join(s), names, st.lists(steps, max_size=4))


def meant(text: str, event: object) -> object:
    """Evaluate as the library does; without its cache, which overflows."""
    Parser.purge()
    return jmespath.search(text, event)


def found(text: str, event: object) -> object:
    """Evaluate as the platform does."""
    expression = compiled(text)
    return expression.value(expression.parts(event))


@pytest.mark.parametrize("text", TAKEN)
def test_what_is_taken_means_what_jmespath_means(text: str) -> None:
    """The library itself is the measure."""
    event = read(json.dumps(EVENT).encode())
    assert found(text, event) == meant(text, EVENT)


@given(paths, paths)
def test_any_path_means_what_jmespath_means(one: str, other: str) -> None:
    """Alone and as choices."""
    for text in (one, f"[{one}, {other}]", f"{{a: {one}, b: {other}}}"):
        assert found(text, EVENT) == meant(text, EVENT)


def test_a_body_that_is_json_in_a_text_is_read() -> None:
    """As Powertools' own function does; what is no JSON has nothing in it."""
    assert found("powertools_json(body).user.id", EVENT) == 7
    assert found("powertools_json(body).[user.id, list[0]]", EVENT) == [7, 8]
    assert found("powertools_json(id).user", EVENT) is None
    assert found("powertools_json(n).user", EVENT) is None
    assert found("powertools_json(nil)", EVENT) is None


@pytest.mark.parametrize(
    "text",
    [
        "n[*]",
        "n[]",
        "*.id",
        "n[0:2]",
        "n[?x]",
        "id | @",
        "[id] | [@, @]",
        "[[id, id], id]",
        "[id, id].[@, @]",
        "id || n",
        "id && n",
        "!id",
        "id == n",
        "`1`",
        "'text'",
        "length(n)",
        "sort_by(n, &x)",
        "to_string(@)",
        "powertools_base64(body)",
        "powertools_json(body, body)",
        "powertools_json([id])",
        "&id",
    ],
)
def test_what_has_no_bounded_cost_is_refused(text: str) -> None:
    """Valid JMESPath of which a hostile event could make much work."""
    Parser.purge()
    jmespath.compile(text)
    with pytest.raises(ExpressionError, match="bounded"):
        compiled(text)


@pytest.mark.parametrize(
    "text", ["", ".", "a..b", "a[", "[", "a b", "\x00", "a" * (LONGEST + 1), "(" * 200]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    """And nothing but ExpressionError comes of it."""
    with pytest.raises(ExpressionError):
        compiled(text)


@given(st.text(max_size=60))
def test_any_text_is_compiled_or_refused(text: str) -> None:
    """Totally."""
    try:
        expression = compiled(text)
    except ExpressionError:
        return
    expression.value(expression.parts(EVENT))


def test_expressions_do_not_run_out() -> None:
    """The library's own cache fails past its size; ours has no such end."""
    for number in range(5000):
        assert found(f"id_{number}", {f"id_{number}": number}) == number


def test_lengths_and_choices_are_bounded() -> None:
    """The last that is taken, and one more."""
    compiled("a" * LONGEST)
    many = ", ".join(["a"] * CHOICES)
    compiled(f"[{many}]")
    with pytest.raises(ExpressionError, match="more than"):
        compiled(f"[{many}, a]")


def test_numbers_that_differ_stay_different() -> None:
    """Past 64 bits, and past what a float holds (R16)."""
    pairs = [
        (b"123456789012345678901", b"123456789012345678902"),
        (b"0.1234567890123456789", b"0.1234567890123456788"),
        (b"1e400", b"2e400"),
        (b"1", b'"1"'),
        (b"1.5", b'"1.5"'),
        (b"true", b"1"),
        (b"null", b'"null"'),
        (b"[1]", b"1"),
    ]
    for one, other in pairs:
        assert canonical(read(one)) != canonical(read(other))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_spellings_of_a_value_are_one(value: object) -> None:
    """Spaces, escapes and the order of members are nothing; values are everything."""
    plain = json.dumps(value, sort_keys=True)
    spaced = json.dumps(value, indent=2, ensure_ascii=True)
    assert canonical(read(plain.encode())) == canonical(read(spaced.encode()))
    assert json.loads(canonical(read(plain.encode()))) == value


@pytest.mark.parametrize(
    "payload", [b"", b"{", b"\xff", b'"\\ud800"', b"[" * 5000 + b"]" * 5000]
)
def test_an_event_that_cannot_be_read_is_an_error(payload: bytes) -> None:
    """Whatever is wrong with it; depth as well."""
    with pytest.raises(EventError):
        read(payload)


def test_a_deep_text_in_an_event_is_nothing() -> None:
    """Depth that hides in a text does not come out."""
    deep = "[" * 5000 + "]" * 5000
    assert found("powertools_json(body)", {"body": deep}) is None


def test_nothing_and_what_is_empty_is_no_key() -> None:
    """Zero and false are values that somebody sent."""
    missing: tuple[object, ...] = (None, "", [], {})
    there: tuple[object, ...] = (0, False, "0", [None], read(b"0.0"))
    assert all(is_missing(part) for part in missing)
    assert not any(is_missing(part) for part in there)
