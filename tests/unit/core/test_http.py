"""The one reader of HTTP: what is read is read in one way, at both doors."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from casemate.core.http_chunks import ChunkError, Chunks
from casemate.core.http_head import HeadError, Rules, grammar, read_head

PLAIN = Rules(grammar=grammar(), headers=4)
WIDE = Rules(grammar=grammar(beyond_ascii=True), headers=4, once=frozenset({"a"}))


def head(*lines: bytes) -> bytes:
    return b"\r\n".join([b"POST /x?y HTTP/1.1", *lines])


def test_a_head_is_read_as_it_came() -> None:
    """Target and values unchanged, names in lower case, framing decided."""
    read = read_head(head(b"Host: h", b"B:  c d\t", b"Content-Length: 7"), PLAIN)
    assert ("POST", "/x?y", 7) == (read.method, read.target, read.length)
    assert [("host", "h"), ("b", "c d"), ("content-length", "7")] == read.headers
    assert read_head(head(b"Transfer-Encoding: chunked"), PLAIN).length is None
    assert 0 == read_head(head(), PLAIN).length


def test_bytes_past_ascii_are_a_doors_choice() -> None:
    """In values only; a name or a target has none at any door."""
    line = "a: größer".encode()
    assert "größer".encode().decode("latin-1") == read_head(head(line), WIDE).known["a"]
    with pytest.raises(HeadError):
        read_head(head(line), PLAIN)
    for data in (head("ö: a".encode()), "GET /ö HTTP/1.1".encode()):
        with pytest.raises(HeadError):
            read_head(data, WIDE)


@pytest.mark.parametrize("rules", [PLAIN, WIDE], ids=["front", "cell"])
@pytest.mark.parametrize(
    "lines",
    [
        (b"a: b", b" folded"),
        (b"a : b",),
        (b"a: b\nc: d",),
        (b"a: \x00",),
        (b"a: \x7f",),
        (b"Host: a", b"Host: a"),
        (b"Content-Length: 1", b"Content-Length: 1"),
        (b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        (b"Content_Length: 1",),
        (b"Transfer-Encoding: chunked, chunked",),
        (b"Transfer-Encoding: identity",),
        (b"Content-Length: 0x1",),
        (b"Content-Length: 1, 1",),
        (b"Content-Length: ",),
        (b"Upgrade: h2c",),
        (b"HTTP2-Settings: x",),
        (b"Connection: close, Upgrade",),
        (b"Expect: 200",),
        tuple(b"a%d: b" % n for n in range(5)),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(
    rules: Rules, lines: tuple[bytes, ...]
) -> None:
    """H1, H4, H7: at both doors alike."""
    with pytest.raises(HeadError):
        read_head(head(*lines), rules)


def test_a_door_names_what_stands_once() -> None:
    """Beside what frames a request, which does everywhere."""
    with pytest.raises(HeadError, match="two headers a"):
        read_head(head(b"a: b", b"A: c"), WIDE)
    assert "c" == read_head(head(b"a: b", b"A: c"), PLAIN).known["a"]


@given(st.binary(max_size=300))
def test_any_head_is_read_or_refused(data: bytes) -> None:
    """Total."""
    for rules in (PLAIN, WIDE):
        with suppress(HeadError):
            read_head(data, rules)


BODY = b"3\r\nabc\r\n2\r\nde\r\n0\r\n"


@given(st.lists(st.integers(1, 9), max_size=40))
def test_trailers_are_read_however_they_are_cut(cuts: list[int]) -> None:
    """Dropped whole; what comes behind the body stays for the next reader."""
    data = BODY + b"A: b\r\nLonger-Name: \xc3\xb6\r\n\r\nNEXT"
    chunks, buffer = Chunks(100, trailers=64), bytearray()
    for cut in [*cuts, len(data)]:
        buffer += data[:cut]
        data = data[cut:]
        chunks.feed(buffer)
    assert chunks.done
    assert b"abcde" == chunks.body()
    assert b"NEXT" == bytes(buffer)


@pytest.mark.parametrize(
    ("trailers", "rest"),
    [
        (0, b"A: b\r\n\r\n"),
        (8, b"A: bcdef\r\n\r\n"),
        (8, b"A: b\r\nC: d\r\n\r\n"),
        (8, b"A: bcdefgh"),
        (64, b"no trailer\r\n\r\n"),
        (64, b" folded: b\r\n\r\n"),
        (64, b"A: \x00\r\n\r\n"),
    ],
)
def test_trailers_are_refused(trailers: int, rest: bytes) -> None:
    """Where none are wanted, past their bound, and where they are none."""
    with pytest.raises(ChunkError):
        Chunks(100, trailers=trailers).feed(bytearray(BODY + rest))


def test_a_body_that_is_dropped_is_read_to_its_end() -> None:
    """And takes no memory."""
    chunks, buffer = Chunks(100), bytearray(BODY[:6])
    chunks.feed(buffer)
    chunks.drop()
    buffer += BODY[6:] + b"\r\n"
    assert 2 == chunks.feed(buffer)
    assert (True, 5, b"") == (chunks.done, chunks.received, chunks.body())
