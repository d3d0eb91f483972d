"""Frames from a cell: exact, bounded, typed."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.road.sandbox.frames import (
    ERROR_LIMIT,
    HEADER_LIMIT,
    LENGTHS,
    RESPONSE_LIMIT,
    Decoder,
    FrameError,
    Said,
    Word,
    encode,
)

IDS = st.text("0123456789abcdef-", min_size=1, max_size=36)
SAID = st.one_of(
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
    header: dict[str, object] = {"type": said.word.value}
    if said.word in (Word.RESPONSE, Word.ERROR):
        header["id"] = said.id
    if said.word is Word.UNPACKED:
        header |= {"files": said.files, "bytes": said.bytes}
    return encode(header, said.body)


@given(st.lists(SAID), st.lists(st.integers(1, 200), min_size=1))
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


@given(st.dictionaries(st.text(max_size=6), st.integers() | st.text() | st.none()))
def test_other_headers_are_refused(header: dict[str, object]) -> None:
    """A header that is not exactly a known one ends the cell."""
    with pytest.raises(FrameError):
        Decoder().feed(encode(header))


@pytest.mark.parametrize(
    ("header_length", "body_length"),
    [(0, 0), (HEADER_LIMIT + 1, 0), (2**32 - 1, 0), (20, RESPONSE_LIMIT + 1)],
)
def test_lengths_are_bounded_before_anything_is_kept(
    header_length: int, body_length: int
) -> None:
    """A length past the limit is refused when it is told."""
    with pytest.raises(FrameError):
        Decoder().feed(LENGTHS.pack(header_length, body_length))


@pytest.mark.parametrize(
    ("header", "body"),
    [
        ({"type": "waiting"}, b"x"),
        ({"type": "init_error"}, bytes(ERROR_LIMIT + 1)),
        ({"type": "response", "id": 7}, b""),
        ({"type": "response", "id": "x" * 200}, b""),
        ({"type": "response"}, b""),
        ({"type": "waiting", "more": 1}, b""),
        ({"type": "unpacked", "files": -1, "bytes": 0}, b""),
        ({"type": "unpacked", "files": True, "bytes": 0}, b""),
        ({"type": "unpacked", "files": 1.5, "bytes": 0}, b""),
        ({"type": ["response"]}, b""),
    ],
)
def test_members_have_types_and_bounds(header: dict[str, object], body: bytes) -> None:
    """Each word has its members, of their types, and a body of its size."""
    with pytest.raises(FrameError):
        Decoder().feed(encode(header, body))


def test_deep_and_wide_json_is_refused() -> None:
    """Nesting and numbers that hurt a parser fit no header (H8)."""
    for text in (b"[" * 4000, b'{"type":' + b"9" * 4000 + b"}", b'{"type":"\xff"}'):
        with pytest.raises(FrameError):
            Decoder().feed(LENGTHS.pack(len(text), 0) + text)


def test_a_broken_stream_stays_broken() -> None:
    """After an error nothing more is believed."""
    decoder = Decoder()
    with pytest.raises(FrameError):
        decoder.feed(LENGTHS.pack(0, 0))
    with pytest.raises(FrameError):
        decoder.feed(encode({"type": "waiting"}))


def test_what_the_node_writes() -> None:
    """Lengths, then JSON, then the body."""
    data = encode({"type": "invoke", "id": "é"}, b"body")
    header_length, body_length = LENGTHS.unpack_from(data)
    assert json.loads(data[8 : 8 + header_length]) == {"type": "invoke", "id": "é"}
    assert data[8 + header_length :] == b"body"
    assert body_length == 4
