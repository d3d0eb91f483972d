"""
A chunked body, without extensions, and without trailers unless they are wanted.

Both are legal and used by nobody who calls AWS, and a reader in front may
treat them otherwise (H1).  aws-chunked is another thing, inside the body.
Clients of the Runtime API write trailers: whoever wants them reads what they say.

Source: RFC 9112, section 7.1.
"""

from __future__ import annotations

import math
import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_LONGEST_LINE = 10
_END = b"\r\n"
_TRAILER = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}:[\t\x20-\x7e\x80-\xff]*\r\n")
_FREE_CHUNKS = 4_096
_LEAST_MEAN = 512
"""Bytes; smaller chunks than that, in great number, only cost time."""


class ChunkError(Exception):
    """The bytes are no chunked body."""


class BodyTooLargeError(Exception):
    """The body is larger than it may be."""


class Chunks:
    """
    Takes bytes as they come and gives the body once it is whole, or in parts.

    received: bytes of the body.  count: chunks.  told: trailers, names in lower
    case.
    """

    def __init__(self, limit: int, *, trailers: int = 0, crumbs: bool = False) -> None:
        """
        Read one body.

        limit: bytes of the body.  trailers: bytes of those that are read; none are
        taken where it is 0.  crumbs: small chunks come in any number, because the
        reader counts and slows them.
        """
        self._limit = limit
        self._trailers = trailers
        self._crumbs = crumbs
        self._at_end = False
        self._keeps = True
        self._left = 0
        self._in_chunk = False
        self._body = bytearray()
        self.count = 0
        self.received = 0
        self.told: list[tuple[str, str]] = []
        self.done = False

    def feed(self, buffer: bytearray, *, chunks: float = math.inf) -> int:
        """
        Take what is whole from the front of the buffer; give the bytes of body.

        chunks: how many to begin at the most.  Raises ChunkError,
        BodyTooLargeError.
        """
        before, last = self.received, self.count + chunks
        while not self.done and buffer and self.count < last:
            moved = self._step(buffer)
            if not moved:
                break
        return self.received - before

    def drop(self) -> None:
        """Keep nothing of the body, neither what came nor what comes."""
        self._keeps = False
        self._body.clear()

    def body(self) -> bytes:
        """Give the body."""
        return bytes(self._body)

    def take(self) -> bytes:
        """Give what came since the last time, and forget it."""
        part = bytes(self._body)
        self._body.clear()
        return part

    def _step(self, buffer: bytearray) -> bool:
        if self._at_end:
            return self._last(buffer)
        return self._data(buffer) if self._in_chunk else self._size(buffer)

    def _size(self, buffer: bytearray) -> bool:
        found = _SIZE.match(buffer)
        if found is None:
            if len(buffer) >= _LONGEST_LINE or not _prefix(buffer):
                raise ChunkError("not the size of a chunk")
            return False
        size = int(found[1], 16)
        if size == 0:
            del buffer[: found.end()]
            self._at_end = True
            return True
        if self.received + size > self._limit:
            raise BodyTooLargeError
        self.count += 1
        mean = self.received // _LEAST_MEAN
        if not self._crumbs and self.count > _FREE_CHUNKS + mean:
            raise ChunkError("chunks that are too small")
        del buffer[: found.end()]
        self._left = size
        self._in_chunk = True
        return True

    def _last(self, buffer: bytearray) -> bool:
        rest = bytes(buffer[:2])
        if _END.startswith(rest):
            self.done = rest == _END
            if self.done:
                del buffer[:2]
            return self.done
        if not self._trailers:
            raise ChunkError("a trailer")
        end = buffer.find(_END)
        if (len(buffer) if end < 0 else end + 2) > self._trailers:
            raise ChunkError("trailers that are too large")
        if end < 0:
            return False
        if not _TRAILER.fullmatch(buffer, 0, end + 2):
            raise ChunkError("not a trailer")
        self._trailers -= end + 2
        name, _, value = buffer[:end].decode("latin-1").partition(":")
        self.told.append((name.lower(), value.strip(" \t")))
        del buffer[: end + 2]
        return True

    def _data(self, buffer: bytearray) -> bool:
        if self._left:
            part = bytes(buffer[: self._left])
            del buffer[: len(part)]
            if self._keeps:
                self._body += part
            self._left -= len(part)
            self.received += len(part)
            return True
        if not _END.startswith(bytes(buffer[:2])):
            raise ChunkError("a chunk longer than its size")
        if len(buffer) < len(_END):
            return False
        del buffer[:2]
        self._in_chunk = False
        return True


def _prefix(buffer: bytearray) -> bool:
    """Tell whether this may still become a size line."""
    line = bytes(buffer)
    digits = line.removesuffix(b"\r")
    return 0 < len(digits) <= 8 and re.fullmatch(rb"[0-9A-Fa-f]+", digits) is not None  # noqa: PLR2004 — of eight digits
