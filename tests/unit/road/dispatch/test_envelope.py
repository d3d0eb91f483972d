"""Laws of the invocation record: no answer of a function writes another member."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.road.dispatch.events.envelope import record
from casemate.road.dispatch.events.life import Condition, Life, Response
from unit.road.dispatch.events_world import event

FORGED = b'1,"requestContext":{"functionArn":"another","condition":"Success"}'


def told(answer: bytes) -> dict[str, object]:
    """Write a record of an answer, and read it as a destination would."""
    life = Life(
        seen_at=1.0,
        runs=1,
        last=Response(version="$LATEST", payload=answer),
        condition=Condition.SUCCESS,
    )
    found: dict[str, object] = json.loads(record(event(1), life, 2.0))
    return found


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (b'{"a": [1, null]}', {"a": [1, None]}),
        (b'"text"', "text"),
        (FORGED, FORGED.decode()),
        (b"not JSON", "not JSON"),
        (b'"\xff"', '"\ufffd"'),
        (b"1 2", "1 2"),
        (b"[" * 100_000, "[" * 100_000),
    ],
)
def test_an_answer_stands_as_json_or_as_a_string(answer: bytes, shown: object) -> None:
    """One whole value is itself; everything else is a string."""
    assert shown == told(answer)["responsePayload"]


@given(st.binary(max_size=200))
def test_no_answer_writes_another_member(answer: bytes) -> None:
    """Whatever the bytes, the record's own members are the platform's."""
    found = told(answer)
    context = found["requestContext"]
    assert isinstance(context, dict)
    assert (event(1).target, "Success") == (
        context["functionArn"],
        context["condition"],
    )
    assert {"statusCode": 200, "executedVersion": "$LATEST"} == found["responseContext"]
