"""Event streams: what is written here, botocore's own parser reads."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import botocore.session
import pytest
from botocore.eventstream import EventStream, EventStreamBuffer, ParserError
from botocore.parsers import EventStreamJSONParser
from hypothesis import given
from hypothesis import strategies as st

from casemate import wire
from casemate.wire.event_stream import (
    HEADERS_LIMIT,
    PAYLOAD_LIMIT,
    message,
    text_headers,
)

LAMBDA = wire.load("lambda")
OPERATION = "InvokeWithResponseStream"
SHAPE = (
    botocore.session.Session()
    .get_service_model("lambda")
    .operation_model(OPERATION)
    .output_shape.members["EventStream"]
)
texts = st.text(max_size=60)
names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


class Body(BytesIO):
    """A body as urllib3 gives it: in pieces of any size."""

    def __init__(self, data: bytes, piece: int) -> None:
        super().__init__(data)
        self._piece = piece

    def stream(self) -> Any:
        while part := self.read(self._piece):
            yield part


def parsed(data: bytes, piece: int = 7) -> list[dict[str, Any]]:
    """What a client of boto3 would iterate over."""
    parser = EventStreamJSONParser()
    return list(EventStream(Body(data, piece), SHAPE, parser, OPERATION))


@given(st.dictionaries(names, texts, max_size=5), st.binary(max_size=300))
def test_a_message_is_read_as_it_was_written(
    headers: Mapping[str, str], payload: bytes
) -> None:
    """Prelude, headers, payload and both checksums."""
    buffer = EventStreamBuffer()
    buffer.add_data(message(text_headers(headers), payload))
    (event,) = buffer
    assert (event.headers, event.payload) == (dict(headers), payload)


@given(
    st.lists(st.binary(max_size=200), max_size=6),
    st.dictionaries(
        st.sampled_from(["ErrorCode", "ErrorDetails", "LogResult"]), texts, max_size=3
    ),
    st.integers(1, 90),
)
def test_events_are_read_in_their_order(
    chunks: list[bytes], complete: dict[str, str], piece: int
) -> None:
    """Chunks of any bytes, and what completes them, in any pieces of the network."""
    sent = [("PayloadChunk", {"Payload": chunk}) for chunk in chunks]
    data = b"".join(LAMBDA.encode_event(OPERATION, *event) for event in sent)
    data += LAMBDA.encode_event(OPERATION, "InvokeComplete", complete)
    assert parsed(data, piece) == [
        *({name: members} for name, members in sent),
        {"InvokeComplete": complete},
    ]


@given(st.binary(max_size=40), st.data())
def test_no_byte_can_change_unseen(payload: bytes, data: st.DataObject) -> None:
    """Both checksums count: any flipped bit is an error of the parser's."""
    written = bytearray(message(text_headers({"a": "b"}), payload))
    place = data.draw(st.integers(0, len(written) - 1))
    written[place] ^= 1 << data.draw(st.integers(0, 7))
    buffer = EventStreamBuffer()
    buffer.add_data(bytes(written))
    with pytest.raises((ParserError, StopIteration)):
        next(buffer)  # at the end of a length that grew, it waits for more


def test_the_types_of_payloads_are_told() -> None:
    """Bytes are octets, members are JSON."""
    buffer = EventStreamBuffer()
    buffer.add_data(LAMBDA.encode_event(OPERATION, "PayloadChunk", {"Payload": b"x"}))
    buffer.add_data(
        LAMBDA.encode_event(OPERATION, "InvokeComplete", {"ErrorCode": "E"})
    )
    chunk, complete = buffer
    assert chunk.headers == {
        ":event-type": "PayloadChunk",
        ":content-type": "application/octet-stream",
        ":message-type": "event",
    }
    assert complete.headers[":content-type"] == "application/json"
    assert json.loads(complete.payload) == {"ErrorCode": "E"}


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("Nothing", {}),
        ("PayloadChunk", {"Payload": "text"}),
        ("PayloadChunk", {"Payload": b"", "More": 1}),
        ("InvokeComplete", {"Unknown": "x"}),
        ("InvokeComplete", {"ErrorCode": 1}),
        ("PayloadChunk", {"Payload": bytes(PAYLOAD_LIMIT + 1)}),
    ],
)
def test_what_no_client_would_read_is_not_written(
    name: str, members: Mapping[str, object]
) -> None:
    with pytest.raises(wire.WrongOutputError):
        LAMBDA.encode_event(OPERATION, name, members)


def test_headers_have_limits() -> None:
    for headers in ({"": "x"}, {"n" * 256: "x"}, {"n": "x" * 32_768}):
        with pytest.raises(wire.WrongOutputError):
            text_headers(headers)
    assert message(text_headers({"n" * 255: "x" * 32_767}), b"")
    with pytest.raises(wire.WrongOutputError):
        message(bytes(HEADERS_LIMIT + 1), b"")


def test_the_head_of_the_answer_is_as_the_model_says() -> None:
    """The version in its header, the media type, no body before the events."""
    reply = LAMBDA.encode(
        OPERATION,
        {
            "StatusCode": 200,
            "ExecutedVersion": "$LATEST",
            "ResponseStreamContentType": "application/vnd.amazon.eventstream",
        },
        "id",
    )
    assert (reply.status, reply.body) == (200, b"")
    assert ("X-Amz-Executed-Version", "$LATEST") in reply.headers
    assert ("Content-Type", "application/vnd.amazon.eventstream") in reply.headers


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("s3", "SelectObjectContent"),
        ("kinesis", "SubscribeToShard"),
        ("logs", "StartLiveTail"),
    ],
)
def test_other_kinds_of_event_streams_are_not_spoken(
    service: str, operation: str
) -> None:
    """Events that go in, or of another protocol: absent, so refused by name."""
    assert operation not in wire.load(service).operations
