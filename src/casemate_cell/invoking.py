"""The life of a function's cell: start it, then answer one invocation after another."""

from __future__ import annotations

import json
import os
import sys

from casemate_cell import errors, marshal_json
from casemate_cell.channel import (
    BEGIN,
    ERROR,
    INIT_ERROR,
    INITIALIZED,
    INVOKE,
    RESPONSE,
    NodeGoneError,
)
from casemate_cell.context import LambdaContext
from casemate_cell.errors import Fault
from casemate_cell.report import report
from casemate_cell.starting import Started

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from typing import Any

    from casemate_cell.channel import Channel, Order

RESPONSE_LIMIT = 6_291_556
"""Bytes of an answer; 6 MiB and a little, as Lambda says in its error."""

_UNKNOWN_ORDER = 2
_TRACE = "_X_AMZN_TRACE_ID"


def serve(channel: Channel, assign: Order) -> int:
    """Serve one function until the node hangs up; gives the exit status."""
    started = Started(_words(assign))
    try:
        begin = channel.receive()
        if begin.kind != BEGIN:
            return _UNKNOWN_ORDER
        left = _load(channel, started, begin)
        while left is None:
            order = channel.receive()
            left = _answer(channel, started, order)
    except NodeGoneError:
        return 0
    return left


def _load(channel: Channel, started: Started, begin: Order) -> int | None:
    """Load the function's code; an exit status if that fails."""
    try:
        started.load(_words(begin)["environment"])
    except SystemExit as exit_:
        return _left(channel, "", _status(exit_), word=INIT_ERROR)
    except Exception as error:  # noqa: BLE001 — the tenant's module may raise anything
        document = errors.describe(error)
        report(document, as_json=started.as_json)
        _flush()
        channel.send(INIT_ERROR, errors.encode(document))
        return 1
    _flush()
    channel.send(INITIALIZED)
    return None


def _answer(channel: Channel, started: Started, order: Order) -> int | None:
    """Run one invocation and send its answer; an exit status if the handler exits."""
    if order.kind != INVOKE:
        return _UNKNOWN_ORDER
    request_id = started.running.request_id = order.id
    _set_trace(order.trace)
    word = RESPONSE
    try:
        body = _run(started, order)
    except SystemExit as exit_:
        return _left(channel, request_id, _status(exit_))
    except Exception as error:  # noqa: BLE001 — the handler may raise anything
        document = errors.describe(error, request_id)
        report(document, as_json=started.as_json)
        body = errors.encode(document)
        word = ERROR
    except BaseException as error:  # noqa: BLE001 — a process ends with these
        sys.__excepthook__(type(error), error, error.__traceback__)
        return _left(channel, request_id, 1)
    if word == RESPONSE and len(body) > RESPONSE_LIMIT:
        word, body = ERROR, _too_large(len(body))
    _flush()
    channel.send(word, body, request_id.encode())
    return None


def _words(order: Order) -> dict[str, Any]:
    words = marshal_json.unmarshal(order.body)
    if not isinstance(words, dict):
        raise NodeGoneError("an order without words")
    return words


def _run(started: Started, order: Order) -> bytes:
    if started.run is None:  # the handler was loaded before any event is read
        raise Fault("Runtime.HandlerNotFound", "the handler is not loaded")
    context = LambdaContext(started.function, order)
    answer = started.run(marshal_json.unmarshal(order.body), context)
    return marshal_json.marshal(answer)


def _set_trace(trace: str) -> None:
    if trace:
        os.environ[_TRACE] = trace
    else:
        os.environ.pop(_TRACE, None)


def _too_large(size: int) -> bytes:
    message = (
        f"Response payload size ({size} bytes) exceeded maximum allowed payload "
        f"size ({RESPONSE_LIMIT} bytes)."
    )
    document: errors.ErrorDocument = {
        "errorMessage": message,
        "errorType": "Function.ResponseSizeTooLarge",
    }
    return json.dumps(document).encode()


def _left(channel: Channel, request_id: str, status: int, *, word: int = ERROR) -> int:
    """Tell that the code ended the process; the node then closes the cell."""
    ending = (
        f"Runtime exited with error: exit status {status}"
        if status
        else "Runtime exited without providing a reason"
    )
    prefix = f"RequestId: {request_id} " if request_id else ""
    document: errors.ErrorDocument = {
        "errorType": "Runtime.ExitError",
        "errorMessage": f"{prefix}Error: {ending}",
    }
    _flush()
    channel.send(word, json.dumps(document).encode(), request_id.encode())
    return status


def _status(exit_: SystemExit) -> int:
    """Give the status that Python itself would leave with."""
    code = exit_.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _flush() -> None:
    """Send out what was printed, before the answer; the code may have closed both."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue
