"""
What crosses the verbs' socket is exactly what the schema names, or refused.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate_warden import words
from casemate_warden.words import Refused

GOOD: dict[str, dict[str, Any]] = {
    "open": {"runtime": "python3.11"},
    "assign": {
        "cell": "c0123456789abcdef",
        "tree": "f" * 64,
        "layers": [f"{n:064x}" for n in range(5)],
        "memory_mb": 10_240,
        "ephemeral_mb": 512,
    },
    "workshop": {
        "cell": "c0123456789abcdef",
        "tree": "0" * 64,
        "digest": "1" * 64,
    },
    "keep": {"tree": "0" * 64},
    "drop": {"tree": "0" * 64},
    "close": {"cell": "c0123456789abcdef"},
    "status": {},
}


def test_every_verb_has_an_example() -> None:
    """So that the laws below speak of all of them."""
    assert set(GOOD) == set(words.SCHEMA)


@pytest.mark.parametrize("verb", GOOD)
def test_a_well_formed_verb_passes(verb: str) -> None:
    """Its members come back without id and verb."""
    descriptors = words.SCHEMA[verb][1]
    message = {"id": 1, "verb": verb, **GOOD[verb]}
    assert words.checked(message, descriptors) == (verb, GOOD[verb])


@pytest.mark.parametrize("verb", GOOD)
def test_one_member_more_or_less_is_refused(verb: str) -> None:
    """Nothing is guessed and nothing is ignored."""
    descriptors = words.SCHEMA[verb][1]
    message = {"id": 1, "verb": verb, **GOOD[verb]}
    with pytest.raises(Refused, match="bad_message"):
        words.checked({**message, "path": "/"}, descriptors)
    with pytest.raises(Refused, match="bad_message"):
        words.checked(message, descriptors + 1)
    for name in ("id", *GOOD[verb]):
        less = {key: value for key, value in message.items() if key != name}
        with pytest.raises(Refused, match="bad_message"):
            words.checked(less, descriptors)


NAMES = [(verb, name) for verb in GOOD for name in GOOD[verb]]


@pytest.mark.parametrize(("verb", "name"), NAMES)
@given(
    wrong=st.text()
    | st.binary()
    | st.floats()
    | st.booleans()
    | st.lists(st.integers())
    | st.integers(max_value=127)
    | st.integers(min_value=10_241)
    | st.from_regex(r"(\.\./)*c?[0-9a-f]{16,70}[\n/\x00]?", fullmatch=True)
)
def test_a_wrong_value_is_refused_or_is_right(verb: str, name: str, wrong: Any) -> None:
    """What passes matches the pattern in full; no separator ever passes."""
    message = {"id": 1, "verb": verb, **GOOD[verb], name: wrong}
    try:
        _, members = words.checked(message, words.SCHEMA[verb][1])
    except Refused:
        return
    if name == "layers":
        assert [] == members[name]  # of all these, only nothing is right
        return
    assert isinstance(members[name], str)
    assert members[name].replace(".", "").isalnum()
    assert members[name].islower() or members[name].isdigit()


@pytest.mark.parametrize("number", [True, -1, 2**53 + 1, 1.0, "1", None, [1]])
def test_an_id_is_a_small_number(number: Any) -> None:
    """Anything else is answered without an id."""
    assert words.request_id({"id": number}) is None
