"""`aws-chunked` bodies: AWS's documented examples, and every way to break them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.core.call import Request
from casemate.core.errors import Unauthenticated
from casemate.road.authn import chunked, sigv4
from casemate.road.authn.chunked import ChunkedError, Seal, Wrong, decode
from casemate.road.authn.chunked_checksum import CHECKSUMS

# Example from "Signature calculations for trailing headers" and "Transferring
# payload in multiple chunks" of the S3 API reference.
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
KEY = sigv4.derive(SECRET, "20130524", "us-east-1", "s3")
STAMP, SCOPE = "20130524T000000Z", "20130524/us-east-1/s3/aws4_request"
NOW = 1_369_353_600.0
DATA = b"a" * 66_560
PLAIN_SEED = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
TRAILER_SEED = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
CRC = "x-amz-checksum-crc32c"
S3 = sigv4.Expectations(
    service="s3",
    regions=frozenset({"us-east-1"}),
    dialect=sigv4.Dialect.S3,
    unsigned_payload=True,
    streaming=True,
    literal_path=True,
)


def example(signatures: tuple[str, str, str], tail: bytes = b"\r\n") -> bytes:
    sizes = (b"10000", b"400", b"0")
    data = (DATA[:65_536] + b"\r\n", DATA[65_536:] + b"\r\n", tail)
    return b"".join(
        size + b";chunk-signature=" + signature.encode() + b"\r\n" + piece
        for size, signature, piece in zip(sizes, signatures, data, strict=True)
    )


PLAIN = example(
    (
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    )
)
TRAILED_SIGNATURES = (
    "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
    "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
    "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
)
TRAILER = (
    b"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
    b"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"
)
TRAILED = example(TRAILED_SIGNATURES, TRAILER)


def request(declared: str, body: bytes, signed: str, seed: str) -> Request:
    known = {
        "content-encoding": "aws-chunked",
        "content-length": "66824",
        "host": "s3.amazonaws.com",
        "x-amz-content-sha256": declared,
        "x-amz-date": STAMP,
        "x-amz-decoded-content-length": "66560",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        "x-amz-trailer": CRC,
    }
    names = signed.split(";")
    authorization = (
        f"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/{SCOPE},"
        f"SignedHeaders={signed},Signature={seed}"
    )
    return Request(
        method="PUT",
        path="/examplebucket/chunkObject.txt",
        query="",
        headers=(
            *((name, known[name]) for name in names),
            ("authorization", authorization),
        ),
        body=body,
        peer="192.0.2.1",
    )


PLAIN_REQUEST = request(
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    PLAIN,
    "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
    "x-amz-decoded-content-length;x-amz-storage-class",
    PLAIN_SEED,
)
TRAILED_REQUEST = request(
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    TRAILED,
    "content-encoding;host;x-amz-content-sha256;x-amz-date;"
    "x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
    TRAILER_SEED,
)


def verify(request: Request, expect: sigv4.Expectations = S3) -> bytes:
    claims = sigv4.parse(request, dialect=expect.dialect)
    return sigv4.verify(request, claims, KEY, NOW, expect)


@pytest.mark.parametrize("example", [PLAIN_REQUEST, TRAILED_REQUEST])
def test_the_documented_examples_verify(example: Request) -> None:
    """Seed, chunk and trailer signatures are the documentation's."""
    assert verify(example) == DATA


def test_a_blank_line_before_the_trailers_is_taken() -> None:
    """The documentation ends the last chunk so; the SDKs do not."""
    body = example(TRAILED_SIGNATURES, b"\r\n" + TRAILER)
    assert verify(replace(TRAILED_REQUEST, body=body)) == DATA


def swapped(body: bytes) -> bytes:
    first = body.index(b"400;")
    last = body.index(b"0;chunk", first + 4)
    return body[first:last] + body[:first] + body[last:]


BREAKS: list[tuple[str, Callable[[bytes], bytes]]] = [
    (
        "wrong chunk signature",
        lambda b: b.replace(b"=b474", b"=b475").replace(b"=ad80", b"=ad81"),
    ),
    ("reordered", swapped),
    ("altered data", lambda b: b.replace(b"aaaa", b"aaab", 1)),
    ("dropped chunk", lambda b: b[b.index(b"400;") :]),
    ("chunk twice", lambda b: b[: b.index(b"400;")] + b),
    ("cut", lambda b: b[:-1]),
    ("cut in data", lambda b: b[:1000]),
    ("no last chunk", lambda b: b[: b.rindex(b"0;chunk")]),
    ("bytes after the end", lambda b: b + b"x"),
    ("a request after the end", lambda b: b + b"GET / HTTP/1.1\r\n\r\n"),
    ("size too large", lambda b: b.replace(b"10000;", b"FFFFFFFFFFFFFFFF;", 1)),
    ("size in data", lambda b: b.replace(b"10000;", b"10001;", 1)),
    ("negative size", lambda b: b"-" + b),
    ("empty", lambda _b: b""),
    ("bare line feeds", lambda b: b.replace(b"\r\n", b"\n")),
    ("unsigned chunk", lambda b: b"10000" + b[86:]),
    (
        "signature named twice",
        lambda b: b.replace(b"\r\n", b";chunk-signature=0\r\n", 1),
    ),
]


@pytest.mark.parametrize(("what", "change"), BREAKS, ids=[what for what, _ in BREAKS])
@pytest.mark.parametrize("example", [PLAIN_REQUEST, TRAILED_REQUEST])
def test_a6_a_broken_body_is_refused(
    example: Request, what: str, change: Callable[[bytes], bytes]
) -> None:
    """A6: chunks can be neither altered, reordered, dropped nor added."""
    assert what
    with pytest.raises(Unauthenticated):
        verify(replace(example, body=change(example.body)))


@pytest.mark.parametrize(
    "tail",
    [
        b"\r\n",
        TRAILER.replace(b"sOO8", b"sOO9"),
        TRAILER.replace(b":d81f", b":d81e"),
        TRAILER.replace(b"crc32c", b"crc32"),
        TRAILER[TRAILER.index(b"x-amz-trailer") :],
        TRAILER[: TRAILER.index(b"x-amz-trailer")] + b"\r\n",
        b"x-amz-checksum-crc32c:sOO8/Q==\r\n" + TRAILER,
        b"x-amz-meta-a:1\r\n" + TRAILER,
        b"a:1\r\n" * 100 + TRAILER,
        TRAILER.replace(b"crc32c:", b"crc32c "),
    ],
)
def test_a6_a_forged_trailer_is_refused(tail: bytes) -> None:
    """A6: the trailers are the announced ones, signed, each once."""
    body = example(TRAILED_SIGNATURES, tail)
    with pytest.raises(Unauthenticated):
        verify(replace(TRAILED_REQUEST, body=body))


def test_streams_are_refused_where_they_are_not_taken() -> None:
    """A2: a service that takes no streams is not talked into one."""
    for change in ({"streaming": False}, {"body_limit": 66_559}):
        with pytest.raises(Unauthenticated):
            verify(PLAIN_REQUEST, replace(S3, **change))


def seal() -> Seal:
    return Seal(key=b"k" * 32, stamp=STAMP, scope=SCOPE, seed="0" * 64)


def encode(
    data: bytes, size: int, seal: Seal | None, trailers: dict[str, str]
) -> bytes:
    """Write a body as a client does."""
    out, before = [], seal.seed if seal else ""
    pieces = [data[at : at + size] for at in range(0, len(data), size)] + [b""]
    for piece in pieces:
        mark = b""
        if seal:
            before = seal.chunk(before, piece)
            mark = b";chunk-signature=" + before.encode()
        out.append(f"{len(piece):x}".encode() + mark + b"\r\n" + piece)
        out.append(b"\r\n" if piece else b"")
    canonical = "".join(f"{name}:{trailers[name]}\n" for name in sorted(trailers))
    out.append(canonical.replace("\n", "\r\n").encode())
    if seal and trailers:
        signature = seal.trailer(before, canonical.encode())
        out.append(f"x-amz-trailer-signature:{signature}\r\n".encode())
    return b"".join([*out, b"\r\n"])


@given(
    data=st.binary(max_size=30_000),
    size=st.integers(chunked.SMALLEST_CHUNK, 20_000),
    signed=st.booleans(),
    name=st.sampled_from([None, *CHECKSUMS]),
)
@settings(max_examples=60, deadline=None)
def test_what_a_client_encodes_decodes(
    data: bytes, size: int, signed: bool, name: str | None
) -> None:
    """Any body, in any chunks, signed or not, with any checksum."""
    trailers = {name: b64encode(CHECKSUMS[name](data)).decode()} if name else {}
    key = seal() if signed else None
    body = encode(data, size, key, trailers)
    assert data == decode(
        body, seal=key, length=str(len(data)), announced=tuple(trailers), limit=1 << 20
    )


@given(body=st.binary(max_size=300), signed=st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_decoded_or_refused(body: bytes, signed: bool) -> None:
    """No bytes do more than get a ChunkedError."""
    try:
        decode(
            body, seal=seal() if signed else None, length="5", announced=(), limit=10
        )
    except ChunkedError:
        return


@given(at=st.integers(0, 400), bit=st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_is_refused(at: int, bit: int) -> None:
    """Signed or summed, no bit of a body may change unnoticed."""
    data = b"some data that matters " * 4
    name = "x-amz-checksum-sha256"
    trailers = {name: b64encode(CHECKSUMS[name](data)).decode()}
    body = bytearray(encode(data, 9_000, seal(), trailers))
    body[at % len(body)] ^= 1 << bit
    try:
        decoded = decode(
            bytes(body),
            seal=seal(),
            length=str(len(data)),
            announced=(name,),
            limit=999,
        )
    except ChunkedError:
        return
    assert decoded == data  # a hex digit's case in a size is no change of the data


@pytest.mark.parametrize("length", ["", "-1", "1.0", "0x10", "9" * 13, "٣"])
def test_the_declared_length_is_a_number(length: str) -> None:
    """A6: no body without a decoded length."""
    with pytest.raises(ChunkedError, match="decoded-content-length"):
        decode(b"0\r\n\r\n", seal=None, length=length, announced=(), limit=10)


def test_small_signed_chunks_are_refused() -> None:
    """S3's rule bounds how many signatures a body can cost."""
    body = encode(b"x" * 100, 10, seal(), {})
    with pytest.raises(ChunkedError, match="fewer than 8192") as caught:
        decode(body, seal=seal(), length="100", announced=(), limit=100)
    assert caught.value.kind is Wrong.FRAMING


def test_an_unknown_trailer_is_refused_by_name() -> None:
    """What cannot be checked is not taken."""
    with pytest.raises(ChunkedError, match="`x-amz-checksum-md5` is not supported"):
        decode(b"", seal=None, length="0", announced=("x-amz-checksum-md5",), limit=1)


def test_a_seal_does_not_show_its_key() -> None:
    """A7: the signing key is in no representation."""
    assert "kkk" not in repr(seal())
