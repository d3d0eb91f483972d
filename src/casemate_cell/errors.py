"""Error documents in AWS's form: errorMessage, errorType, requestId, stackTrace."""

from __future__ import annotations

import json
import traceback

DOCUMENT_LIMIT = 250 * 1024
TEXT_LIMIT = 64 * 1024

ErrorDocument = dict[str, object]

_HERE = __file__.rpartition("/")[0]


class Fault(Exception):
    """
    A failure with a name of AWS's own, `Runtime.HandlerNotFound` say.

    trace: lines for `stackTrace`; the exception's own are of no use to a reader.
    """

    def __init__(self, kind: str, message: str, trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.trace = trace or []


def describe(error: BaseException, request_id: str = "") -> ErrorDocument:
    """
    Make the document of an exception.

    The stack starts at the first frame that is not the platform's.
    """
    if isinstance(error, Fault):
        return _document(error.message, error.kind, request_id, error.trace)
    frames = traceback.extract_tb(error.__traceback__)
    for index, frame in enumerate(frames):
        if not frame.filename.startswith((_HERE, "<frozen importlib")):
            frames = traceback.StackSummary.from_list(frames[index:])
            break
    try:
        message = str(error)
    except Exception as worse:  # noqa: BLE001 — the tenant's own __str__ may raise
        message = f"<{type(worse).__name__} while reading the message>"
    return _document(message, type(error).__name__, request_id, frames.format())


def encode(document: ErrorDocument) -> bytes:
    """Write a document as JSON, cut so that it always fits the node's bound."""
    encoded = json.dumps(document).encode()
    if len(encoded) <= DOCUMENT_LIMIT:
        return encoded
    message = str(document["errorMessage"])[: TEXT_LIMIT // 6]
    kind = str(document["errorType"])[:1024]
    cut: ErrorDocument = {
        "errorMessage": message,
        "errorType": kind,
        "requestId": document["requestId"],
        "stackTrace": [],
    }
    return json.dumps(cut).encode()


def _document(
    message: str, kind: str, request_id: str, trace: list[str]
) -> ErrorDocument:
    return {
        "errorMessage": message,
        "errorType": kind,
        "requestId": request_id,
        "stackTrace": trace,
    }
