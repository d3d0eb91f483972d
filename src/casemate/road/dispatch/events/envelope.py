"""
What destinations and dead letters are told, in AWS's own form.  Pure.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import msgspec

from casemate.core.event import AsyncEvent
from casemate.road.dispatch.events.life import Condition, Life

LONGEST: Final = 1_048_576
"""Bytes: what a queue or a function takes asynchronously."""

_MESSAGE: Final = 1_024
"""Bytes of a dead letter's ErrorMessage."""

_DOCUMENT: Final = 65_536
"""Bytes of an error document that is read for its message."""


class _Error(msgspec.Struct):
    """What is read of an error document."""

    errorMessage: str  # noqa: N815 — AWS's name


_whole = msgspec.json.Decoder(msgspec.Raw).decode
_document = msgspec.json.Decoder(_Error).decode
_encode = msgspec.json.Encoder().encode


def record(event: AsyncEvent, life: Life, now: float) -> bytes:
    """
    Write the invocation record for a destination.

    Both payloads stand in it as the JSON that they were.  An answer that is no
    JSON stands as a string: written as it is, it could end its own member and
    write the record's others.  An event whose function never ran has no
    `responseContext`.
    """
    written: dict[str, object] = {
        "version": "1.0",
        "timestamp": moment(now),
        "requestContext": {
            "requestId": event.id,
            "functionArn": event.target,
            "condition": str(life.condition or Condition.EXHAUSTED),
            "approximateInvokeCount": life.runs,
        },
        "requestPayload": _as_json(event.payload),
    }
    if life.last is not None and life.runs:
        context: dict[str, object] = {
            "statusCode": life.last.status,
            "executedVersion": life.last.version,
        }
        if life.last.error:
            context["functionError"] = life.last.error
        written["responseContext"] = context
        answer = life.last.payload
        written["responsePayload"] = _as_json(answer) if answer else None
    return _encode(written)


def _as_json(payload: bytes) -> object:
    """Give a payload to be written: as it is if it is one whole JSON value."""
    try:
        text = payload.decode()  # the parser looks at no UTF-8
        _whole(payload)
    except UnicodeDecodeError:
        return payload.decode("utf-8", "replace")
    except (msgspec.DecodeError, RecursionError):
        return text
    return msgspec.Raw(payload)


def dead_letter(event: AsyncEvent, life: Life) -> dict[str, tuple[str, str]]:
    """
    Give a dead letter's attributes, each with its type; its body is the event.

    Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html#invocation-dlq
    """
    status = life.last.status if life.last else 200
    said = _said(life.last.payload) if life.last and life.last.error else ""
    message = (said or life.reason).encode()[:_MESSAGE].decode("utf-8", "ignore")
    return {
        "RequestID": ("String", event.id),
        "ErrorCode": ("Number", str(status)),
        "ErrorMessage": ("String", message or "unknown"),
    }


def _said(payload: bytes | None) -> str:
    """Give the message of a function's error document; empty if it is none."""
    if not payload or len(payload) > _DOCUMENT:
        return ""
    try:
        return _document(payload).errorMessage
    except msgspec.MsgspecError:
        return ""


def moment(at: float) -> str:
    """Write epoch seconds as `2026-01-31T12:34:56.789Z`."""
    time = datetime.fromtimestamp(at, tz=UTC)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}Z"
