"""Answers as JSON: the official client is the oracle."""

from __future__ import annotations

import decimal
import json
import math

import pytest
from awslambdaric.lambda_runtime_marshaller import to_json
from hypothesis import given
from hypothesis import strategies as st

from casemate_cell.errors import Fault
from casemate_cell.marshal_json import marshal, unmarshal

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec="utf-8"))
    | st.decimals(allow_nan=False)
    | st.binary(max_size=8).filter(lambda b: b.isascii()),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(max_size=5), inner) | st.tuples(inner)
    ),
    max_leaves=12,
)


@given(VALUES.filter(lambda value: not isinstance(value, bytes)))
def test_writes_what_the_official_client_writes(value: object) -> None:
    """Byte for byte, decimals and bytes inside included."""
    assert marshal(value).decode() == to_json(value)


def test_nan_of_decimal() -> None:
    """NaN has no digits to keep."""
    assert math.isnan(json.loads(marshal(decimal.Decimal("NaN"))))


@pytest.mark.parametrize(
    "value", [{1, 2}, object(), {(1, 2): 3}, b"\xff" and [b"\xff"]]
)
def test_what_has_no_form(value: object) -> None:
    """Runtime.MarshalError, as AWS names it."""
    with pytest.raises(Fault) as caught:
        marshal(value)
    assert caught.value.kind == "Runtime.MarshalError"


def test_bytes_go_out_as_they_are() -> None:
    """An answer that is bytes is not JSON-encoded."""
    assert marshal(b"\x00\xff") == b"\x00\xff"


def test_a_circle_is_named() -> None:
    """An answer that holds itself is told as what it is, and spoils no later one."""
    circle: list[object] = []
    circle.append(circle)
    for _ in range(2):
        with pytest.raises(Fault, match="Circular reference"):
            marshal(circle)
    assert marshal([[], []]) == b"[[], []]"


@pytest.mark.parametrize(
    ("event", "value"),
    [
        (b'{"a": [1, "\xc3\xa9"]}', {"a": [1, "é"]}),
        (b" \n[1] ", [1]),
        (b'"x"', "x"),
        (b"NaN", None),
        ('{"a": 1}'.encode("utf-16"), {"a": 1}),
        (b"12", 12),
    ],
)
def test_reads_what_json_reads(event: bytes, value: object) -> None:
    """White space and encodings are taken as `json.loads` takes them."""
    got = unmarshal(event)
    assert got == value or (value is None and got != got)  # noqa: PLR0124 — NaN


@pytest.mark.parametrize("event", [b"", b"{", b"[1] 2", b"\xff", b"[" * 100_000])
def test_what_is_no_json(event: bytes) -> None:
    """Runtime.UnmarshalError, as AWS names it."""
    with pytest.raises(Fault) as caught:
        unmarshal(event)
    assert caught.value.kind == "Runtime.UnmarshalError"
