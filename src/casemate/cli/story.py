"""Telling the story of one request to a person."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def tell(told: Mapping[str, Any]) -> str:
    """Write ExplainRequest's answer as a page of text."""
    return "\n".join(_lines(told))


def _clean(text: object) -> str:
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def _lines(told: Mapping[str, Any]) -> Iterator[str]:
    record = json.loads(told["Record"])
    house = record.get("additionalEventData", {})
    who = record["userIdentity"]
    yield f"request   {_clean(record['requestID'])}"
    yield f"when      {_clean(record['eventTime'])}"
    name = who.get("arn") or who.get("invokedBy") or "unknown"
    yield f"who       {_clean(name)}"
    service = str(record["eventSource"]).removesuffix(".amazonaws.com")
    yield f"what      {_clean(service)}:{_clean(record['eventName'])}"
    if house.get("resource"):
        yield f"on        {_clean(house['resource'])}"
    source, door = record["sourceIPAddress"], house.get("door")
    yield f"from      {_clean(source)} by {_clean(door)}"
    yield f"ended     {_clean(record.get('errorCode', 'ok'))}"
    if record.get("errorMessage"):
        yield f"because   {_clean(record['errorMessage'])}"
    for statement in house.get("because", []):
        yield f"allowed   {_clean(statement)}"
    evidence = house.get("evidence", {})
    for line in evidence.get("trace", []):
        yield f"weighed   {_clean(line)}"
    if evidence.get("remedy"):
        yield f"remedy    {_clean(evidence['remedy'])}"
    for room, microseconds in house.get("rooms", {}).items():
        yield f"room      {_clean(room):<10}{microseconds:>10} µs"
    for line in told.get("LogLines", []):
        yield f"log       {_clean(line)}"
    yield f"audit     entry {told['Position']} of the chain"
