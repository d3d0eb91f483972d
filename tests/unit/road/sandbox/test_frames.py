"""Frames from a cell: exact, bounded, typed.  The cell's own code is the other end."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.road.sandbox import frames
from casemate.road.sandbox.frames import (
    CODES,
    COUNT_LIMIT,
    COUNTS,
    ERROR_LIMIT,
    ID_LIMIT,
    REFUSAL_LIMIT,
    RESPONSE_LIMIT,
    SAID,
    Decoder,
    FrameError,
    Order,
    Said,
    Word,
)
from casemate_cell import channel
from casemate_cell.channel import Channel, NodeGoneError

IDS = st.text("0123456789abcdef-", min_size=1, max_size=36)
SAYINGS = st.one_of(
    st.just(Said(word=Word.WAITING)),
    st.just(Said(word=Word.INITIALIZED)),
    st.builds(Said, word=st.just(Word.INIT_ERROR), body=st.binary(max_size=50)),
    st.builds(Said, word=st.just(Word.RESPONSE), id=IDS, body=st.binary(max_size=99)),
    st.builds(Said, word=st.just(Word.ERROR), id=IDS, body=st.binary(max_size=99)),
    st.builds(
        Said,
        word=st.just(Word.UNPACKED),
        files=st.integers(0, 10**6),
        bytes=st.integers(0, 10**9),
    ),
)


def frame(said: Said) -> bytes:
    body = said.body
    if said.word is Word.UNPACKED:
        body = COUNTS.pack(said.files, said.bytes)
    return written(CODES[said.word], said.id.encode(), body)


def written(code: int, name: bytes = b"", body: bytes = b"") -> bytes:
    return SAID.pack(code, len(name), len(body)) + name + body


@given(st.lists(SAYINGS), st.lists(st.integers(1, 200), min_size=1))
def test_any_cut_reads_the_same(said: list[Said], cuts: list[int]) -> None:
    """However the stream is cut, what is read is what was said, in order."""
    stream = b"".join(map(frame, said))
    decoder, heard, place, turn = Decoder(), [], 0, 0
    while place < len(stream):
        step = cuts[turn % len(cuts)]
        heard += decoder.feed(stream[place : place + step])
        place, turn = place + step, turn + 1
    assert heard == said


@given(st.binary(max_size=300))
def test_noise_is_an_error_or_silence(noise: bytes) -> None:
    """Bytes that are no frame raise FrameError and nothing else."""
    with contextlib.suppress(FrameError):
        Decoder().feed(noise)


@given(st.integers(0, 255).filter(lambda code: code not in CODES.values()))
def test_other_words_are_refused(code: int) -> None:
    """A word that is not exactly a known one ends the cell."""
    with pytest.raises(FrameError):
        Decoder().feed(written(code))


@pytest.mark.parametrize(
    ("word", "id_length", "body_length"),
    [
        (Word.WAITING, 0, 1),
        (Word.INITIALIZED, 0, 1),
        (Word.INIT_ERROR, 0, ERROR_LIMIT + 1),
        (Word.RESPONSE, 36, RESPONSE_LIMIT + 1),
        (Word.RESPONSE, 36, 2**32 - 1),
        (Word.ERROR, 36, ERROR_LIMIT + 1),
        (Word.UNPACKED, 0, COUNTS.size + 1),
        (Word.UNPACKED, 0, COUNTS.size - 1),
        (Word.UNPACK_REFUSED, 0, REFUSAL_LIMIT + 1),
        (Word.RESPONSE, ID_LIMIT + 1, 0),
    ],
)
def test_lengths_are_bounded_before_anything_is_kept(
    word: Word, id_length: int, body_length: int
) -> None:
    """A length that its word cannot have is refused when it is told."""
    with pytest.raises(FrameError):
        Decoder().feed(SAID.pack(CODES[word], id_length, body_length))


@pytest.mark.parametrize(
    "said",
    [
        Said(word=Word.INIT_ERROR, body=bytes(ERROR_LIMIT)),
        Said(word=Word.RESPONSE, id="x" * ID_LIMIT, body=bytes(RESPONSE_LIMIT)),
        Said(word=Word.ERROR, id="x", body=bytes(ERROR_LIMIT)),
        Said(word=Word.UNPACKED, files=COUNT_LIMIT, bytes=COUNT_LIMIT),
        Said(word=Word.UNPACK_REFUSED, body=bytes(REFUSAL_LIMIT)),
    ],
    ids=lambda said: str(said.word),
)
def test_the_longest_is_taken(said: Said) -> None:
    """Each word is heard at its limits."""
    assert Decoder().feed(frame(said)) == [said]


@pytest.mark.parametrize(
    ("word", "name", "body"),
    [
        (Word.RESPONSE, b"", b""),
        (Word.ERROR, b"", b""),
        (Word.RESPONSE, b"\xff", b""),
        (Word.RESPONSE, "é".encode(), b""),
        (Word.WAITING, b"x", b""),
        (Word.UNPACKED, b"x", bytes(COUNTS.size)),
        (Word.UNPACKED, b"", COUNTS.pack(COUNT_LIMIT + 1, 0)),
        (Word.UNPACKED, b"", COUNTS.pack(0, 2**64 - 1)),
    ],
)
def test_members_have_types_and_bounds(word: Word, name: bytes, body: bytes) -> None:
    """Each word has its id or none, ASCII, and counts that are counts."""
    with pytest.raises(FrameError):
        Decoder().feed(written(CODES[word], name, body))


def test_deep_and_wide_json_is_refused() -> None:
    """Nesting and numbers that hurt a parser meet none: a frame has no JSON (H8)."""
    for text in (b"[" * 4000, b'{"type":' + b"9" * 4000 + b"}", b'{"type":"\xff"}'):
        with pytest.raises(FrameError):
            Decoder().feed(struct.pack(">II", len(text), 0) + text)


def test_a_broken_stream_stays_broken() -> None:
    """After an error nothing more is believed."""
    decoder = Decoder()
    with pytest.raises(FrameError):
        decoder.feed(written(0))
    with pytest.raises(FrameError):
        decoder.feed(frame(Said(word=Word.WAITING)))


TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


@given(TEXT, TEXT, TEXT, TEXT | st.none(), st.binary(max_size=70_000))
def test_a_cell_reads_the_event_that_was_written(
    name: str, arn: str, trace: str, context: str | None, payload: bytes
) -> None:
    """The two ends agree on orders, whatever their parts hold."""
    order = frames.event(
        id=name,
        deadline_ms=1_700_000_000_123,
        arn=arn,
        trace=trace,
        client_context=context,
        payload=payload,
    )
    got = heard(order)
    assert (got.kind, got.id, got.arn) == (channel.INVOKE, name, arn)
    assert (got.trace, got.client_context) == (trace, context or "")
    assert (got.deadline, got.body) == (1_700_000_000_123, payload)


@pytest.mark.parametrize("kind", list(Order))
def test_a_cell_reads_the_order_that_was_written(kind: Order) -> None:
    """The two ends agree on the kinds, and words travel as JSON."""
    got = heard(frames.order(kind, {"a": "é"}))
    assert (channel.ASSIGN, channel.INVOKE, channel.UNPACK, channel.BEGIN) == (
        *(Order.ASSIGN, Order.INVOKE, Order.UNPACK, Order.BEGIN),
    )
    assert (got.kind, json.loads(got.body)) == (kind, {"a": "é"})


@given(st.sampled_from(sorted(CODES)), st.binary(max_size=99))
def test_the_node_reads_what_a_cell_writes(word: Word, body: bytes) -> None:
    """The two ends agree on words."""
    has_id = word in (Word.RESPONSE, Word.ERROR)
    near, far = socket.socketpair()
    with near, far:
        cell = Channel(far.detach())
        sent = COUNTS.pack(7, 9) if word is Word.UNPACKED else body
        sent = b"" if word in (Word.WAITING, Word.INITIALIZED) else sent
        cell.send(getattr(channel, word.name), sent, b"id" if has_id else b"")
        (said,) = Decoder().feed(near.recv(1 << 16))
        os.close(cell.descriptor)
    assert (said.word, said.id) == (word, "id" if has_id else "")
    if word is Word.UNPACKED:
        assert (said.files, said.bytes) == (7, 9)
    else:
        assert said.body == sent


@pytest.mark.parametrize("cut", [0, 1, channel.HEAD - 1, channel.HEAD, -1])
def test_a_cell_takes_no_half_order(cut: int) -> None:
    """A stream that ends within an order is the end of the cell."""
    with pytest.raises(NodeGoneError):
        heard(frames.order(Order.ASSIGN, {"a": 1})[:cut])


def test_a_cell_bounds_what_it_reads() -> None:
    """Lengths past their bounds are the end of the cell before they are read."""
    for texts, body in ((channel.TEXTS_LIMIT + 1, 0), (0, channel.BODY_LIMIT + 1)):
        head = frames.ORDER.pack(Order.INVOKE, 0, texts, 0, 0, 0, body)
        with pytest.raises(NodeGoneError):
            heard(head)


def test_a_descriptor_follows_an_order() -> None:
    """What comes behind a first order is not read with it, so its file arrives."""
    near, far = socket.socketpair()
    with near, far, Path(__file__).open("rb") as file:
        near.send(frames.order(Order.UNPACK, {}))
        socket.send_fds(near, [b"\0"], [file.fileno()])
        cell = Channel(far.detach())
        assert cell.receive(channel.HEAD).kind == channel.UNPACK
        given = cell.take_descriptor()
        assert os.path.sameopenfile(given, file.fileno())
        for descriptor in (given, cell.descriptor):
            os.close(descriptor)


def heard(data: bytes) -> channel.Order:
    """What a cell makes of these bytes; the stream ends behind them."""
    near, far = socket.socketpair()
    with near, far:
        cell = Channel(far.detach())

        def write() -> None:
            near.sendall(data)
            near.shutdown(socket.SHUT_WR)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            return cell.receive()
        finally:
            os.close(cell.descriptor)
            with contextlib.suppress(OSError):
                writer.join()
