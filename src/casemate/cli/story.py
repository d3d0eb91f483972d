"""Telling the story of one request to a person."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from casemate.cli.terminal import flat

_STAGES: Final = ("package", "queue", "assign", "init", "handler")
"""Of a cold start, in their order; the record's members have none."""


def tell(told: Mapping[str, Any]) -> str:
    """Write ExplainRequest's answer as a page of text."""
    return "\n".join(f"{name:<10}{flat(text)}" for name, text in _lines(told))


def _lines(told: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    record = json.loads(told["Record"])
    house = record.get("additionalEventData") or {}
    who = record.get("userIdentity") or {}
    service = str(record.get("eventSource", "")).removesuffix(".amazonaws.com")
    yield "request", record.get("requestID", told.get("RequestId"))
    yield "when", record.get("eventTime", "unknown")
    yield "who", who.get("arn") or who.get("invokedBy") or "unknown"
    yield "what", f"{service}:{record.get('eventName')}"
    if house.get("resource"):
        yield "on", house["resource"]
    yield "from", f"{record.get('sourceIPAddress')} by {house.get('door')}"
    yield "ended", _ending(record, house)
    if record.get("errorMessage"):
        yield "because", record["errorMessage"]
    for statement in house.get("because") or ():
        yield "allowed", statement
    evidence = house.get("evidence") or {}
    for step in evidence.get("trace") or ():
        yield "weighed", step
    if evidence.get("remedy"):
        yield "remedy", evidence["remedy"]
    for room, microseconds in (house.get("rooms") or {}).items():
        yield "room", f"{room:<10}{microseconds:>10} µs"
    yield from _cold((house.get("notes") or {}).get("start") or {})
    for written in told.get("LogLines") or ():
        yield "log", written
    if "Quarantined" in told:
        yield "later", f"in quarantine: {told['Quarantined']}"
    if "Position" in told:
        yield "audit", f"entry {told['Position']} of the chain"
    else:
        yield "audit", "waits to be written to the chain"


def _cold(start: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Say where the time of a cold start went."""
    for stage in _STAGES:
        if stage in start:
            yield "cold", f"{stage:<10}{float(start[stage]):>10.2f} ms"


def _ending(record: Mapping[str, Any], house: Mapping[str, Any]) -> str:
    """Say how the call ended, and how the function did if it failed on its own."""
    code = record.get("errorCode")
    if code:
        return str(code)
    error = (house.get("notes") or {}).get("functionError")
    return f"ok; the function itself failed: {error}" if error else "ok"
