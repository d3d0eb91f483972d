"""
AWS's bytes and parameters.

Compiled from botocore's service models and from nothing else; the only place
that knows botocore.  Synchronous, and total over hostile bytes: what cannot be
read is refused with AWS's own code.
"""

from __future__ import annotations

from casemate.wire.codec import Codec, load
from casemate.wire.reply import Fault, Reply, Route, sentence
from casemate.wire.trouble import (
    UnknownServiceError,
    UnreadableError,
    UnsupportedProtocolError,
    WireError,
    WrongOutputError,
)

__all__ = [
    "Codec",
    "Fault",
    "Reply",
    "Route",
    "UnknownServiceError",
    "UnreadableError",
    "UnsupportedProtocolError",
    "WireError",
    "WrongOutputError",
    "load",
    "sentence",
]
