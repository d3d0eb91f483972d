"""
`aws-chunked` bodies: framing, chunk signatures, trailers, checksums.

    (1) each chunk is `SIZE[;chunk-signature=HEX]CRLF DATA CRLF`
    (2) a signed chunk's signature covers its data and the signature before it,
        so chunks can be neither altered nor reordered nor dropped
    (3) the chunk of size 0 is the last, and is signed too
    (4) trailers are those that the headers announced, each once, signed by
        `x-amz-trailer-signature` where chunks are signed
    (5) a blank line ends the body, and nothing follows it
    (6) the length is the one that was declared, and each checksum fits

The whole body is in memory and bounded before it comes here.

Sources:
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html
https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html
"""

from __future__ import annotations

import hmac
import re
from base64 import b64decode
from binascii import Error as NotBase64Error
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import sha256
from typing import Final, final

from casemate.road.authn.chunked_checksum import CHECKSUMS

SMALLEST_CHUNK: Final = 8_192
"""Bytes of every signed chunk but the last with data: S3's rule.  It bounds the
number of signatures that a body can make us compute."""

_LINE_LIMIT: Final = 1_024
_TRAILER_LIMIT: Final = 8
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?\Z")
_LENGTH = re.compile(r"[0-9]{1,12}\Z")
_TRAILER = re.compile(rb"([a-z0-9-]{1,64}):[ \t]*([!-~]{0,256})[ \t]*\n?\Z")
_EMPTY_HASH: Final = sha256(b"").hexdigest()
_SEAL_NAME: Final = "x-amz-trailer-signature"


class Wrong(Enum):
    """What kind of thing is wrong with a body."""

    FRAMING = auto()
    SIGNATURE = auto()
    CHECKSUM = auto()


class ChunkedError(Exception):
    """A body is not what its headers and signatures say."""

    def __init__(self, kind: Wrong, reason: str) -> None:
        """Keep the kind and the reason."""
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """
    What chunk signatures start from.

    key: the signing key.  stamp, scope: the request's.  seed: its signature.
    """

    key: bytes = field(repr=False)
    stamp: str
    scope: str
    seed: str

    def chunk(self, before: str, data: bytes) -> str:
        """Compute a chunk's signature."""
        return self._sign(
            f"AWS4-HMAC-SHA256-PAYLOAD\n{self.stamp}\n{self.scope}\n{before}\n"
            f"{_EMPTY_HASH}\n{sha256(data).hexdigest()}"
        )

    def trailer(self, before: str, canonical: bytes) -> str:
        """Compute the signature of the trailers (`name:value` and a newline each)."""
        return self._sign(
            f"AWS4-HMAC-SHA256-TRAILER\n{self.stamp}\n{self.scope}\n{before}\n"
            f"{sha256(canonical).hexdigest()}"
        )

    def _sign(self, text: str) -> str:
        return hmac.digest(self.key, text.encode(), "sha256").hex()


def decode(
    body: bytes,
    *,
    seal: Seal | None,
    length: str,
    announced: tuple[str, ...],
    limit: int,
) -> bytes:
    """
    Decode a body and prove it.

    seal: None for unsigned chunks.  length: the value of
    `x-amz-decoded-content-length`.  announced: the trailers that
    `x-amz-trailer` names, in lower case.  limit: bytes of the decoded body.
    Raises ChunkedError.
    """
    expected = _expected(length, limit)
    _announced(announced)
    reader = _Reader(body)
    data, last = _chunks(reader, seal, expected)  # (1) to (3)
    trailers = _trailers(reader, seal, last, announced)  # (4)
    if reader.at != len(body):  # (5)
        raise ChunkedError(Wrong.FRAMING, "there are bytes after the end of the body")
    if len(data) != expected:  # (6)
        raise ChunkedError(
            Wrong.FRAMING,
            f"the body has {len(data)} bytes and "
            f"`x-amz-decoded-content-length` says {expected}",
        )
    for name, value in trailers.items():
        _check(name, value, data)
    return data


@final
class _Reader:
    """A place in the body."""

    __slots__ = ("at", "body")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def line(self) -> bytes:
        """Take a line, without its CRLF."""
        end = self.body.find(b"\r\n", self.at, self.at + _LINE_LIMIT)
        if end < 0:
            raise ChunkedError(Wrong.FRAMING, "the body ends within a line")
        line = self.body[self.at : end]
        self.at = end + 2
        return line

    def take(self, size: int) -> bytes:
        """Take data and the CRLF after it."""
        end = self.at + size
        if self.body[end : end + 2] != b"\r\n":
            raise ChunkedError(Wrong.FRAMING, "a chunk is not as long as it says")
        data = self.body[self.at : end]
        self.at = end + 2
        return data


def _chunks(reader: _Reader, seal: Seal | None, expected: int) -> tuple[bytes, str]:
    """Read the chunks; give their data and the last signature."""
    pieces: list[bytes] = []
    total, small, before = 0, False, seal.seed if seal else ""
    while True:
        size, signature = _size(reader.line(), seal)
        total += size
        if total > expected:
            raise ChunkedError(
                Wrong.FRAMING, "the body is longer than its declared length"
            )
        if seal and size and small:
            raise ChunkedError(
                Wrong.FRAMING,
                f"only the last chunk may have fewer than {SMALLEST_CHUNK} bytes",
            )
        small = size < SMALLEST_CHUNK
        data = reader.take(size) if size else b""
        if seal:
            computed = seal.chunk(before, data)
            if not hmac.compare_digest(computed, signature):
                raise ChunkedError(
                    Wrong.SIGNATURE, "the signature of a chunk does not match"
                )
            before = computed
        if not size:
            return b"".join(pieces), before
        pieces.append(data)


def _size(line: bytes, seal: Seal | None) -> tuple[int, str]:
    found = _SIZE.match(line)
    if found is None or (found[2] is None) != (seal is None):
        raise ChunkedError(
            Wrong.FRAMING,
            "a chunk must begin with its size"
            + (" and `;chunk-signature=`" if seal else ""),
        )
    return int(found[1], 16), (found[2] or b"").decode()


def _trailers(
    reader: _Reader, seal: Seal | None, before: str, announced: tuple[str, ...]
) -> dict[str, str]:
    found: dict[str, str] = {}
    lines = _trailer_lines(reader)
    if announced and not lines and reader.at < len(reader.body):
        # AWS's documentation ends the last chunk with a blank line of its own;
        # its SDKs do not.  Both are taken.
        lines = _trailer_lines(reader)
    for line in lines:
        pair = _TRAILER.match(line)
        name = pair[1].decode() if pair else ""
        if pair is None or name in found:
            raise ChunkedError(Wrong.FRAMING, "a trailer is malformed or there twice")
        found[name] = pair[2].decode()
    signature = found.pop(_SEAL_NAME, None)
    if set(found) != set(announced) or (signature is not None and not announced):
        raise ChunkedError(
            Wrong.FRAMING, "the trailers are not those that `x-amz-trailer` announces"
        )
    if seal and announced:
        canonical = "".join(f"{name}:{found[name]}\n" for name in sorted(found))
        computed = seal.trailer(before, canonical.encode())
        if not hmac.compare_digest(computed, signature or ""):
            raise ChunkedError(
                Wrong.SIGNATURE, "the signature of the trailers does not match"
            )
    return found


def _trailer_lines(reader: _Reader) -> list[bytes]:
    """Take lines up to a blank one."""
    lines: list[bytes] = []
    while line := reader.line():
        lines.append(line)
        if len(lines) > _TRAILER_LIMIT:
            raise ChunkedError(Wrong.FRAMING, "there are too many trailers")
    return lines


def _expected(length: str, limit: int) -> int:
    if not _LENGTH.match(length):
        raise ChunkedError(
            Wrong.FRAMING, "`x-amz-decoded-content-length` must be a number of bytes"
        )
    if int(length) > limit:
        raise ChunkedError(
            Wrong.FRAMING,
            f"the body is declared as {length} bytes; the limit is {limit}",
        )
    return int(length)


def _announced(names: tuple[str, ...]) -> None:
    for name in names:
        if name not in CHECKSUMS:
            raise ChunkedError(
                Wrong.FRAMING,
                f"trailer `{name[:64]}` is not supported; send one of "
                f"{', '.join(f'`{known}`' for known in CHECKSUMS)}",
            )


def _check(name: str, value: str, data: bytes) -> None:
    try:
        given = b64decode(value, validate=True)
    except (NotBase64Error, ValueError) as error:
        raise ChunkedError(Wrong.CHECKSUM, f"`{name}` is not base64") from error
    if not hmac.compare_digest(CHECKSUMS[name](data), given):
        raise ChunkedError(Wrong.CHECKSUM, f"the body does not have this `{name}`")
