"""What may be said after a streamed answer."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.road.sandbox.frames import ERROR_LIMIT
from casemate.road.sandbox.trailers import BODY, TYPE, TrailerError, error_told

BOTH = "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body"


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def told(*trailers: tuple[str, str], announced: str = BOTH) -> object:
    document = error_told(announced, trailers)
    return None if document is None else json.loads(document)


def test_nothing_said_is_no_error() -> None:
    assert told() is None
    assert told(announced="") is None
    assert told((TYPE, ""), (BODY, "")) is None


def test_the_runtime_s_own_document_is_the_error() -> None:
    document = {"errorType": "A", "errorMessage": "b", "trace": []}
    body = encoded(json.dumps(document).encode())
    assert told((TYPE, "Runtime.A"), (BODY, body)) == document
    assert told((TYPE, "T"), (BODY, encoded(b'{"x":1}'))) == {"x": 1, "errorType": "T"}


def test_what_is_no_document_is_made_one() -> None:
    assert told((TYPE, "T")) == {"errorType": "T", "errorMessage": ""}
    assert told((BODY, encoded(b"oh\xff"))) == {
        "errorType": "Runtime.Unknown",
        "errorMessage": "oh\ufffd",
    }


@pytest.mark.parametrize(
    ("announced", "trailers"),
    [
        (BOTH, [(TYPE, "A"), (TYPE, "B")]),
        (BOTH, [("lambda-runtime-aws-request-id", "x")]),
        (BOTH, [("content-length", "1")]),
        ("", [(TYPE, "A")]),
        ("Lambda-Runtime-Function-Error-Body", [(TYPE, "A")]),
        (BOTH, [(TYPE, "a b")]),
        (BOTH, [(TYPE, "x" * 257)]),
        (BOTH, [(TYPE, "A\x80")]),
        (BOTH, [(BODY, "not base64!")]),
        (BOTH, [(BODY, encoded(bytes(ERROR_LIMIT + 1)))]),
    ],
)
def test_r3_forged_trailers_are_refused(
    announced: str, trailers: list[tuple[str, str]]
) -> None:
    """R3: doubled, unannounced, unknown, or in no form: none of it is taken."""
    with pytest.raises(TrailerError):
        error_told(announced, trailers)


@given(
    st.text(max_size=80),
    st.lists(
        st.tuples(st.sampled_from([TYPE, BODY, "x"]), st.text(max_size=40)), max_size=4
    ),
)
def test_any_trailers_are_a_document_or_refused(
    announced: str, trailers: list[tuple[str, str]]
) -> None:
    """Total: a JSON object, nothing, or TrailerError."""
    try:
        document = error_told(announced or BOTH, trailers)
    except TrailerError:
        return
    assert document is None or isinstance(json.loads(document), dict)
