"""Checksums, against the catalogue's check values and against zlib."""

from __future__ import annotations

import zlib
from base64 import b64encode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.road.authn.chunked_checksum import CHECKSUMS, Crc, crc32c, crc64nvme

ZLIB = Crc(4, 0xEDB88320)


@pytest.mark.parametrize(
    ("crc", "data", "wanted"),
    [
        # The catalogue's check value of each, over "123456789".
        (crc32c, b"123456789", "e3069283"),
        (crc64nvme, b"123456789", "ae8b14860a799888"),
        # RFC 3720, appendix B.4.
        (crc32c, bytes(32), "8a9136aa"),
        (crc32c, b"\xff" * 32, "62a8ab43"),
        (crc32c, bytes(range(32)), "46dd794e"),
        # NVM Express base specification, 64b CRC test vectors.
        (crc64nvme, bytes(4096), "6482d367eb22b64e"),
        (crc64nvme, b"\xff" * 4096, "c0ddba7302eca3ac"),
        (crc32c, b"", "00000000"),
    ],
)
def test_published_vectors(crc: Crc, data: bytes, wanted: str) -> None:
    """The published vectors hold."""
    assert wanted == crc(data).hex()


def test_the_s3_documentation_s_example() -> None:
    """The example of S3's trailing checksum: 65 KB of `a`."""
    assert b"sOO8/Q==" == b64encode(crc32c(b"a" * 66_560))


@given(data=st.binary(max_size=200), times=st.integers(0, 200))
@settings(max_examples=100, deadline=None)
def test_lanes_agree_with_zlib(data: bytes, times: int) -> None:
    """In lanes or one by one, the checksum is the same: zlib's, for its polynomial."""
    whole = data * times
    assert zlib.crc32(whole) == int.from_bytes(ZLIB(whole), "big")


@pytest.mark.parametrize("size", [4095, 4096, 4097, 8191, 8192, 8193, 1_000_003])
def test_lanes_at_their_edges(size: int) -> None:
    """A byte more or less than a lane changes nothing."""
    data = bytes(at * 7 & 0xFF for at in range(size))
    assert zlib.crc32(data) == int.from_bytes(ZLIB(data), "big")


def test_trailers_that_are_known() -> None:
    """S3's five checksums."""
    assert {"crc32", "crc32c", "crc64nvme", "sha1", "sha256"} == {
        name.removeprefix("x-amz-checksum-") for name in CHECKSUMS
    }
