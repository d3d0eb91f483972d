"""
A chunked body, without extensions and trailers.

Both are legal and used by nobody who calls AWS, and a reader in front may
treat them otherwise (H1).  aws-chunked is another thing, inside the body.

Source: RFC 9112, section 7.1.
"""

from __future__ import annotations

import re

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_LONGEST_LINE = 10
_END = b"\r\n"
_FREE_CHUNKS = 4_096
_LEAST_MEAN = 512
"""Bytes; smaller chunks than that, in great number, only cost time."""


class ChunkError(Exception):
    """The bytes are no chunked body."""


class BodyTooLargeError(Exception):
    """The body is larger than it may be."""


class Chunks:
    """Takes bytes as they come and gives the body once it is whole."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = 0
        self._in_chunk = False
        self._body = bytearray()
        self._count = 0
        self.received = 0
        self.done = False

    def feed(self, buffer: bytearray) -> int:
        """
        Take what is whole from the front of the buffer; give the bytes of body.

        Raises ChunkError, BodyTooLargeError.
        """
        before = self.received
        while not self.done and buffer:
            moved = self._data(buffer) if self._in_chunk else self._size(buffer)
            if not moved:
                break
        return self.received - before

    def body(self) -> bytes:
        """Give the body."""
        return bytes(self._body)

    def _size(self, buffer: bytearray) -> bool:
        found = _SIZE.match(buffer)
        if found is None:
            if len(buffer) >= _LONGEST_LINE or not _prefix(buffer):
                raise ChunkError("not the size of a chunk")
            return False
        size = int(found[1], 16)
        if size == 0:
            return self._last(buffer, found.end())
        if self.received + size > self._limit:
            raise BodyTooLargeError
        self._count += 1
        if self._count > _FREE_CHUNKS + self.received // _LEAST_MEAN:
            raise ChunkError("chunks that are too small")
        del buffer[: found.end()]
        self._left = size
        self._in_chunk = True
        return True

    def _last(self, buffer: bytearray, end: int) -> bool:
        rest = bytes(buffer[end : end + 2])
        if not _END.startswith(rest):
            raise ChunkError("a trailer")
        if len(rest) < len(_END):
            return False
        del buffer[: end + 2]
        self.done = True
        return True

    def _data(self, buffer: bytearray) -> bool:
        if self._left:
            part = bytes(buffer[: self._left])
            del buffer[: len(part)]
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
