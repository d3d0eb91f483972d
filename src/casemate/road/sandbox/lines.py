"""
What goes to a function's log: its own lines, and the platform's.

The two never mix: the node alone writes platform lines, and a line of the
function's that reads like one gets a mark in front (R7), so a person or a
program that reads the log cannot take the one for the other.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple, Protocol, final

from casemate.core.function import Ending, FunctionVersion, Split

MARK: Final = "[function] "
LINE_LIMIT: Final = 256 * 1024
TAIL_LIMIT: Final = 4096


@final
class Line(NamedTuple):
    """
    One event of a log.

    at: epoch milliseconds.  text: without its newline.  request_id: of the
    invocation that it belongs to, or empty.  platform: written by the node.
    """

    at: int
    text: str
    request_id: str = ""
    platform: bool = False


class Lines(Protocol):
    """Where log events go; must not block, and may drop what it cannot keep."""

    def write(
        self, function: FunctionVersion, stream: str, lines: Sequence[Line]
    ) -> None: ...


# What a terminal obeys and does not show: CSI, OSC and its like, short escapes.
_TERMINAL: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:[\x07\x9c]|\x1b\\)?"
    r"|\x1b[ -/]*[0-~]"
)
# Controls but the tab, marks without width, directions, fillers, variations.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\xad\u0300-\u036f\u061c\u115f\u1160\u17b4\u17b5"
    "\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff"
    "\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)
# Where a reader sees the start of another line, or what stood there overwritten.
_BREAKS: Final = re.compile("(\r\n|[\r\n\b\x0b\x0c\x1c-\x1e\x85\u2028\u2029])")
_LEAD: Final = re.compile(r"[\W_]*")
_LOOK: Final = 4096
"""Characters that are looked at for a posing word; a line may have 256 KiB."""
_HEAD: Final = 128
"""Characters of the longest posing words, with room to spare."""
_POSING: Final = re.compile(
    r"(?:START|END|REPORT|RESTORE_REPORT)\s+RequestId|"
    r"(?:INIT_START|RESTORE_START)\s+Runtime|INIT_REPORT\s|RESTORE_REPORT\s|"
    r"EXTENSION\s+Name|TELEMETRY\s+Name|LOGS\s+Name|XRAY\s+TraceId|"
    r"RequestId:\s+\S+\s+(?:Error|Process)|"
    r"CASEMATE\s+dropped\s|"
    r"\S{10,40}\s+[0-9a-f-]{36}\s+Task\s+timed\s+out",
    re.IGNORECASE,
)
_PLATFORM_RECORD: Final = re.compile(r'"type"\s*:\s*"platform\.', re.IGNORECASE)


def guarded(text: str) -> str:
    """
    Give a line of the function's as it may stand in its log.

    Carriage returns become newlines inside the event (that is how the runtimes
    keep a record of several lines together), and each line that a reader would
    see is marked if it poses as the platform's.
    """
    if not _BREAKS.search(text):
        return _marked(text)
    pieces = _BREAKS.split(text.removesuffix("\r"))
    return "".join(
        ("\n" if piece.startswith("\r") else piece) if index % 2 else _marked(piece)
        for index, piece in enumerate(pieces)
    )


def _marked(text: str) -> str:
    return MARK + text if _poses(text) else text


def _poses(text: str) -> bool:
    seen = _seen(text[:_LOOK])
    if len(seen) < _HEAD and len(text) > _LOOK:
        return True  # Thousands of characters that show next to nothing.
    return bool(_POSING.match(seen)) or ("{" in text and _is_record(text))


def _is_record(text: str) -> bool:
    """Say whether a line is a JSON record of a `platform.` type."""
    if _PLATFORM_RECORD.search(text):
        return True
    # An escape could hide the word from the search: `"\u0070latform.start"`.
    if "\\u" not in text and "\\/" not in text:
        return False
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return False
    kind = record.get("type") if isinstance(record, dict) else None
    return isinstance(kind, str) and kind.lower().startswith("platform.")


def _seen(text: str) -> str:
    """Give the first words that a reader sees: nothing hidden, one form a letter."""
    if text.isascii() and text.isprintable():
        start = _match_end(text)
        return text[start : start + _HEAD]
    shown = _UNSEEN.sub("", _TERMINAL.sub("", text))
    start = _match_end(shown)
    return unicodedata.normalize("NFKC", shown[start : start + _HEAD])


def _match_end(text: str) -> int:
    """Tell where the first letter or digit stands."""
    found = _LEAD.match(text)
    return found.end() if found else 0


@final
class Report(NamedTuple):
    """The figures of one invocation, for its REPORT line.  Times: milliseconds."""

    request_id: str
    duration: float
    billed: int
    memory_mb: int
    used_mb: int
    init: float | None
    ending: Ending
    error_type: str = ""
    split: Split | None = None


@final
class PlatformLines:
    """Writes the platform's lines for one function, in its log format."""

    __slots__ = ("_json", "function")

    def __init__(self, function: FunctionVersion) -> None:
        self.function = function
        self._json = function.log_format.upper() == "JSON"

    def init_start(self, at: float) -> str:
        """Write the first line of a cell."""
        name = self.function.runtime
        arn = (
            f"arn:aws:lambda:{self.function.region}::runtime:"
            f"{hashlib.sha256(name.encode()).hexdigest()}"
        )
        if self._json:
            record = {
                "initializationType": "on-demand",
                "phase": "init",
                "runtimeVersion": name,
                "runtimeVersionArn": arn,
                "functionName": self.function.name,
                "functionVersion": self.function.version,
            }
            return _record(at, "platform.initStart", record)
        return f"INIT_START Runtime Version: {name}\tRuntime Version ARN: {arn}"

    def init_report(
        self, at: float, duration: float, status: str, error_type: str = ""
    ) -> str:
        """Write that an init has failed.  duration: milliseconds."""
        if self._json:
            record: dict[str, object] = {
                "initializationType": "on-demand",
                "phase": "init",
                "status": status,
                "metrics": {"durationMs": round(duration, 3)},
            }
            if error_type:
                record["errorType"] = error_type
            return _record(at, "platform.initReport", record)
        text = f"INIT_REPORT Init Duration: {duration:.2f} ms\tPhase: init"
        tail = f"\tError Type: {error_type}" if error_type else ""
        return f"{text}\tStatus: {status}{tail}"

    def start(self, at: float, request_id: str) -> str:
        """Write START."""
        version = self.function.version
        if self._json:
            record = {"requestId": request_id, "version": version}
            return _record(at, "platform.start", record | self._tenant())
        return f"START RequestId: {request_id} Version: {version}"

    def end(self, request_id: str) -> str | None:
        """Write END; the JSON format has none."""
        return None if self._json else f"END RequestId: {request_id}"

    def fault(self, at: float, request_id: str, text: str) -> str:
        """Write what the platform saw: a timeout or an exit."""
        if self._json:
            record = {"requestId": request_id, "message": text}
            return _record(at, "platform.runtimeDone", record | self._tenant())
        return text

    def _tenant(self) -> dict[str, str]:
        """Name the tenant id; AWS has it in the JSON format only."""
        tenant = self.function.tenant
        return {"tenantId": tenant} if tenant else {}

    def report(self, at: float, report: Report) -> str:
        """Write REPORT."""
        status = _STATUS[report.ending]
        if self._json:
            told = _report_record(at, report, status) | self._tenant()
            return _record(at, "platform.report", told)
        text = (
            f"REPORT RequestId: {report.request_id}\t"
            f"Duration: {report.duration:.2f} ms\t"
            f"Billed Duration: {report.billed} ms\t"
            f"Memory Size: {report.memory_mb} MB\t"
            f"Max Memory Used: {report.used_mb} MB\t"
        )
        if report.init is not None:
            text += f"Init Duration: {report.init:.2f} ms\t"
        if status != "success":
            text += f"Status: {status}\t"
        if report.error_type:
            text += f"Error Type: {report.error_type}\t"
        return text


_STATUS: Final[Mapping[Ending, str]] = {
    Ending.SUCCESS: "success",
    # To the platform an answer is an answer; Lambda marks only what it saw itself.
    Ending.ERROR: "success",
    Ending.TIMEOUT: "timeout",
    Ending.OUT_OF_MEMORY: "error",
    Ending.EXITED: "error",
    Ending.INIT_ERROR: "error",
}


def _report_record(at: float, report: Report, status: str) -> dict[str, object]:
    metrics: dict[str, object] = {
        "durationMs": round(report.duration, 3),
        "billedDurationMs": report.billed,
        "memorySizeMB": report.memory_mb,
        "maxMemoryUsedMB": report.used_mb,
    }
    if report.init is not None:
        metrics["initDurationMs"] = round(report.init, 3)
    record: dict[str, object] = {
        "requestId": report.request_id,
        "metrics": metrics,
        "status": status,
    }
    if report.error_type:
        record["errorType"] = report.error_type
    if report.split is not None:
        record["spans"] = _spans(at, report.split)
    return record


def _spans(at: float, split: Split) -> list[dict[str, object]]:
    """
    Write a cold start as spans of a report, which are AWS's own form of such facts.

    at: epoch seconds of the end; the stages come right after each other.  The text
    format has no place for them: programs read REPORT field by field.
    Source: https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
    """
    stages = split.stages()
    start = at - sum(ms for _, ms in stages) / 1000
    spans: list[dict[str, object]] = []
    for name, ms in stages:
        span = {"name": name, "start": stamp(start), "durationMs": round(ms, 3)}
        spans.append(span)
        start += ms / 1000
    return spans


def stamp(at: float) -> str:
    """Write epoch seconds as `2026-01-31T12:34:56.789Z`."""
    moment = datetime.fromtimestamp(at, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def _record(at: float, kind: str, record: Mapping[str, object]) -> str:
    return json.dumps({"time": stamp(at), "type": kind, "record": record})
