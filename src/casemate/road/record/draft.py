"""
The record of one call before it is written out.

Writing out takes longer than most of the road, so a call that does not wait for
its record leaves a draft behind.  It is written out once, by whoever needs the
bytes first, and then lets go of the call.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final, final

import orjson
from msgspec import Struct

from casemate.core.call import Allowed, Arrival, Known
from casemate.road.record import trail

LONGEST: Final = 16_384
"""Bytes of a record; a longer one loses its request parameters."""


@final
class Facts(Struct, frozen=True, kw_only=True):
    """
    What a record is written from.

    at: epoch seconds at which the call ended.  error: AWS's code, and the reason.
    extra: what is the house's own.
    """

    arrival: Arrival
    known: Known | None
    allowed: Allowed | None
    at: float
    error: tuple[str, str] | None
    extra: Mapping[str, object]


@final
class Draft:
    """A record that is written out when it is called.  Any thread may call it."""

    __slots__ = ("_data", "_facts")

    def __init__(self, facts: Facts) -> None:
        self._facts: Facts | None = facts
        self._data = b""

    def __call__(self) -> bytes:
        """Give the record as canonical JSON."""
        facts = self._facts
        if facts is None:
            return self._data
        try:
            data = written(facts)
        except Exception as cause:  # noqa: BLE001 — the chain goes on, and says what it lacks
            data = _bare(facts, cause)
        # In this order: a thread that finds no facts must find the bytes.
        self._data = data
        self._facts = None
        return data


def written(facts: Facts) -> bytes:
    """Write a record out.  Whatever the caller sent, there is a record."""
    record = trail.event(
        arrival=facts.arrival,
        known=facts.known,
        allowed=facts.allowed,
        at=facts.at,
        error=facts.error,
        extra=facts.extra,
    )
    try:
        data = _json(record)
    except orjson.JSONEncodeError:
        # A number past 64 bits, or a text that UTF-8 cannot say; a refusal's
        # reason may repeat one.
        record["requestParameters"] = {"omitted": "JSON cannot say them"}
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        data = _json(orjson.loads(text.encode("utf-8", "replace")))
    if len(data) > LONGEST:
        record["requestParameters"] = {"omitted": "too long for the record"}
        data = _json(record)
    return data


def _bare(facts: Facts, cause: Exception) -> bytes:
    """Write what is certain of a call whose record cannot be made."""
    arrival, known = facts.arrival, facts.known
    return _json(
        {
            "eventVersion": trail.EVENT_VERSION,
            "eventSource": f"{arrival.operation.service}.amazonaws.com",
            "eventName": arrival.operation.name,
            "requestID": arrival.id,
            "eventID": arrival.id,
            "recipientAccountId": known.principal.account if known else "",
            "additionalEventData": {"crash": [type(cause).__name__]},
        }
    )


def _json(record: Mapping[str, object]) -> bytes:
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
