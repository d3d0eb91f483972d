"""The range of texts that begin with a prefix."""

from __future__ import annotations

_LAST_POINT = 0x10FFFF
_BEFORE_SURROGATES = 0xD7FF
_AFTER_SURROGATES = 0xE000


def past(prefix: str) -> str | None:
    """
    Give the least text greater than all that begin with the prefix, or None.

    Texts are ordered by code point, which is the order of their UTF-8 bytes.
    """
    for end in range(len(prefix), 0, -1):
        point = ord(prefix[end - 1])
        if point < _LAST_POINT:
            # The surrogates are no characters, and UTF-8 cannot say them.
            jumps = point == _BEFORE_SURROGATES
            following = _AFTER_SURROGATES if jumps else point + 1
            return prefix[: end - 1] + chr(following)
    return None
