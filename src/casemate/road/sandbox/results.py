"""What came of an invocation, in Lambda's words."""

from __future__ import annotations

import json
import math
import re
from typing import Final, NamedTuple, final

from casemate.core.function import (
    Ending,
    FunctionVersion,
    Invocation,
    InvocationResult,
    Split,
)
from casemate.road.sandbox.cell import Cell, Lost, Reply
from casemate.road.sandbox.frames import RESPONSE_LIMIT, Word
from casemate.road.sandbox.lines import PlatformLines, Report, stamp

UNHANDLED: Final = "Unhandled"
_ERROR_TYPE: Final = 128
_ODD: Final = re.compile(r"[^\x21-\x7e]")
# All that the bootstraps say of an exit; the platform's own line repeats it.
_EXIT: Final = re.compile(
    r"Runtime exited (?:without providing a reason|with error: exit status \d{1,3})"
)
_MIB: Final = 1 << 20


@final
class Finding(NamedTuple):
    """
    How an invocation ended, before it is written down.

    fault: what the platform itself saw, for the log; empty if nothing.
    kind: AWS's errorType, where the platform ended it.
    """

    ending: Ending
    payload: bytes
    fault: str = ""
    kind: str = ""


def judge(
    reply: Reply | None,
    request_id: str,
    *,
    seconds: float,
    out_of_memory: bool,
    initialising: bool,
) -> Finding:
    """Tell what a reply means.  seconds: how long the invocation was allowed."""
    if reply is None:
        text = f"Task timed out after {seconds:.2f} seconds"
        return _platform(Ending.TIMEOUT, "Sandbox.Timedout", request_id, text)
    if out_of_memory:
        text = "Runtime exited with error: signal: killed"
        kind = "Runtime.OutOfMemory"
        return _platform(Ending.OUT_OF_MEMORY, kind, request_id, text)
    if isinstance(reply, Lost):
        text = "Runtime exited without providing a reason"
        return _platform(Ending.EXITED, "Runtime.ExitError", request_id, text)
    if reply.word is Word.RESPONSE:
        if len(reply.body) > RESPONSE_LIMIT:
            text = f"Response payload size exceeded {RESPONSE_LIMIT} bytes"
            return _platform(
                Ending.ERROR, "Function.ResponseSizeTooLarge", request_id, text
            )
        return Finding(ending=Ending.SUCCESS, payload=reply.body)
    return _said_error(reply.body, request_id, initialising=initialising)


def _said_error(body: bytes, request_id: str, *, initialising: bool) -> Finding:
    """Take a runtime's own error document, if it is one."""
    ending = Ending.INIT_ERROR if initialising else Ending.ERROR
    document = _document(body)
    kind = str(document.get("errorType", ""))[:256]
    if kind == "Runtime.ExitError":
        text = str(document.get("errorMessage", "")).partition("Error: ")[2]
        status = text if _EXIT.fullmatch(text) else "Runtime exited"
        return _platform(Ending.EXITED, kind, request_id, status)
    if not document:
        document = {"errorType": "Runtime.Unknown", "errorMessage": "Unknown error"}
        kind = "Runtime.Unknown"
    if document.get("requestId") == "":
        document["requestId"] = request_id
        body = json.dumps(document).encode()
    elif kind == "Runtime.Unknown":
        body = json.dumps(document).encode()
    # A name of the tenant's, about to stand in a line of the platform's (R7).
    shown = _ODD.sub("?", kind)[:_ERROR_TYPE] if initialising else ""
    return Finding(ending=ending, payload=body, kind=shown)


def _document(body: bytes) -> dict[str, object]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _platform(ending: Ending, kind: str, request_id: str, text: str) -> Finding:
    message = f"RequestId: {request_id} Error: {text}"
    payload = json.dumps(
        {"errorType": kind, "errorMessage": message}, separators=(",", ":")
    )
    fault = message if ending is not Ending.TIMEOUT else f"{request_id} {text}"
    return Finding(ending=ending, payload=payload.encode(), fault=fault, kind=kind)


def conclude(
    cell: Cell,
    invocation: Invocation,
    finding: Finding,
    *,
    now: float,
    duration: float,
    init: float | None,
    split: Split | None,
) -> InvocationResult:
    """
    Write the closing lines of an invocation and give its result.

    Reads what is left in the cell's pipes first, so the function's lines come
    before END.  now: epoch seconds.  duration, init: milliseconds.
    """
    function = invocation.function
    platform = cell.platform or PlatformLines(function)
    cell.log.drain()
    report = Report(
        request_id=invocation.id,
        duration=duration,
        billed=max(1, math.ceil(duration)),
        memory_mb=function.memory_mb,
        used_mb=_used_mb(cell, function, finding.ending),
        init=init,
        ending=finding.ending,
        error_type=finding.kind if finding.ending is not Ending.TIMEOUT else "",
        split=split,
    )
    if finding.fault:
        text = finding.fault
        if finding.ending is Ending.TIMEOUT:
            text = f"{stamp(now)} {text}"
        cell.log.platform(platform.fault(now, invocation.id, text))
    end, told = platform.end(invocation.id), platform.report(now, report)
    cell.log.platform(*((told,) if end is None else (end, told)))
    return InvocationResult(
        payload=finding.payload,
        ending=finding.ending,
        error=None if finding.ending is Ending.SUCCESS else UNHANDLED,
        duration_ms=duration,
        billed_ms=report.billed,
        init_ms=init,
        split=split,
        max_memory_mb=report.used_mb,
        log_stream=cell.log_stream,
        log_tail=cell.log.tail() if invocation.want_log_tail else b"",
    )


def _used_mb(cell: Cell, function: FunctionVersion, ending: Ending) -> int:
    if ending is Ending.OUT_OF_MEMORY:
        return function.memory_mb
    # The group's peak counts `/tmp` as well, which has a size of its own.
    return min(function.memory_mb, -(-cell.cgroup.peak() // _MIB))
