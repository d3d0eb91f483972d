"""An event and its life, as the queue and the quarantine keep them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import msgspec

from casemate.core.event import AsyncEvent
from casemate.road.dispatch.events.life import Life

FORM: Final = 1


class UnreadableError(ValueError):
    """The bytes are not an event of a form that this code knows."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An event, and where it is.  form: of these bytes."""

    event: AsyncEvent
    life: Life
    form: int = FORM


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode


def write(kept: Kept) -> bytes:
    """Write."""
    return _encode(kept)


def read(data: bytes) -> Kept:
    """Read.  Raises UnreadableError."""
    try:
        kept = _decode(data)
    except msgspec.MsgspecError as cause:
        raise UnreadableError("no event that is known here") from cause
    if kept.form != FORM:
        raise UnreadableError(f"an event of form {kept.form}, not {FORM}")
    return kept
