"""
How a message lies in the file: in one piece, for one place, its lease unreadable.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping

_HEAD = struct.Struct(">I")


def place(queue: str, name: str, sent_at: float) -> tuple[str, str, str, str]:
    """Give what a message is sealed for."""
    return ("message", queue, name, repr(sent_at))


def kept(lease: str) -> bytes:
    """Give what the file keeps of a lease: looking it up tells nothing by time."""
    return hashlib.sha256(lease.encode("utf-8", "surrogatepass")).digest()


def joined(attributes: Mapping[str, str], body: bytes) -> bytes:
    """Put attributes and body into one piece."""
    head = json.dumps(dict(attributes), separators=(",", ":")).encode()
    return _HEAD.pack(len(head)) + head + body


def parted(content: bytes) -> tuple[dict[str, str], bytes]:
    """Take them apart again."""
    end = _HEAD.size + _HEAD.unpack_from(content)[0]
    attributes: dict[str, str] = json.loads(content[_HEAD.size : end])
    return attributes, content[end:]
