"""What may reach the operator's terminal."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from casemate.cli import terminal

CONTROLS = [chr(n) for n in (*range(32), 127, *range(128, 160))]
TURNS = list("\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069")
HOSTILE = st.text(
    st.one_of(st.sampled_from(CONTROLS + TURNS), st.characters(codec="utf-8"))
)


@given(HOSTILE)
def test_nothing_that_moves_the_cursor_is_left(text: str) -> None:
    """S34: tabs and newlines are the only controls that stay."""
    assert not set(terminal.clean(text)) & ({*CONTROLS, *TURNS} - {"\t", "\n"})


@given(HOSTILE)
def test_a_line_is_one_line(text: str) -> None:
    for told in (terminal.line(text), terminal.flat(text)):
        assert len(told.splitlines()) <= 1


@given(st.recursive(HOSTILE, st.lists))
def test_a_document_means_what_it_meant(value: object) -> None:
    """Its controls are escaped as JSON has it: nothing of it is lost."""
    for raw in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
        shown = terminal.document(raw)
        assert value == json.loads(shown)
        assert not set(shown) & ({*CONTROLS, *TURNS} - {"\t", "\n"})
