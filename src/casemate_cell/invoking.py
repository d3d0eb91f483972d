"""The life of a function's cell: start it, then answer one invocation after another."""

from __future__ import annotations

import json
import os
import sys
import traceback

from casemate_cell import errors, lines, marshal_json
from casemate_cell.channel import NodeGoneError
from casemate_cell.context import LambdaContext
from casemate_cell.errors import Fault
from casemate_cell.starting import Started

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casemate_cell.channel import Channel, Header

RESPONSE_LIMIT = 6_291_556
"""Bytes of an answer; 6 MiB and a little, as Lambda says in its error."""

_TRACE = "_X_AMZN_TRACE_ID"


def serve(channel: Channel, assign: Header) -> int:
    """Serve one function until the node hangs up; gives the exit status."""
    started = Started(assign)
    try:
        started.load()
    except SystemExit as exit_:
        return _left(channel, "", _status(exit_), kind="init_error")
    except Exception as error:  # noqa: BLE001 — the tenant's module may raise anything
        document = errors.describe(error)
        lines.report(document, as_json=started.as_json)
        _flush()
        channel.send({"type": "init_error"}, errors.encode(document))
        return 1
    _flush()
    channel.send({"type": "initialized"})
    while True:
        try:
            frame, event = channel.receive()
        except NodeGoneError:
            return 0
        left = _answer(channel, started, frame, event)
        if left is not None:
            return left


def _answer(
    channel: Channel, started: Started, frame: Header, event: bytes
) -> int | None:
    """Run one invocation and send its answer; an exit status if the handler exits."""
    request_id = str(frame["id"])
    started.carrier.request_id = request_id
    _set_trace(frame)
    try:
        body = _run(started, frame, event)
        kind = "response"
    except SystemExit as exit_:
        return _left(channel, request_id, _status(exit_))
    except Exception as error:  # noqa: BLE001 — the handler may raise anything
        document = errors.describe(error, request_id)
        lines.report(document, as_json=started.as_json)
        body = errors.encode(document)
        kind = "error"
    except BaseException:  # noqa: BLE001 — a process ends with these, and so does this
        traceback.print_exc()
        return _left(channel, request_id, 1)
    if kind == "response" and len(body) > RESPONSE_LIMIT:
        kind, body = "error", _too_large(len(body))
    _flush()
    channel.send({"type": kind, "id": request_id}, body)
    return None


def _run(started: Started, frame: Mapping[str, object], event: bytes) -> bytes:
    if started.run is None:  # the handler was loaded before any frame is read
        raise Fault("Runtime.HandlerNotFound", "the handler is not loaded")
    context = LambdaContext(started.function, frame)
    answer = started.run(marshal_json.unmarshal(event), context)
    return marshal_json.marshal(answer)


def _set_trace(frame: Mapping[str, object]) -> None:
    variables = os.environ
    trace = frame.get("trace")
    if isinstance(trace, str):
        variables[_TRACE] = trace
    else:
        variables.pop(_TRACE, None)


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


def _left(
    channel: Channel, request_id: str, status: int, *, kind: str = "error"
) -> int:
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
    header: dict[str, object] = {"type": kind}
    if request_id:
        header["id"] = request_id
    channel.send(header, json.dumps(document).encode())
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
