"""
The log of a function: the root logger's handler and the error report.

One record must stay one event, while the node splits at newlines; so newlines
inside a record travel as carriage returns, which the node turns back.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from casemate_cell.errors import ErrorDocument

_TEXT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
_SECONDS = "%Y-%m-%dT%H:%M:%S"
_STAMP = "%Y-%m-%dT%H:%M:%SZ"
_OWN = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {
    "aws_request_id",
    "message",
    "asctime",
    "exc_text",
}


class LambdaLoggerFilter(logging.Filter):
    """Put the id of the invocation on each record."""

    request_id = ""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        record.aws_request_id = self.request_id
        return True


class LambdaLoggerHandler(logging.Handler):
    """Write each record as one line of standard output."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; what cannot be formatted is logging's own business."""
        try:
            write_event(self.format(record))
        except Exception:  # noqa: BLE001 — a log line must not break a handler
            self.handleError(record)


class JsonFormatter(logging.Formatter):
    """A record as one JSON object, with the members that Lambda documents."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        plain = record.msg if isinstance(record.msg, dict) and not record.args else None
        members: dict[str, object] = {
            "timestamp": self.formatTime(record, _STAMP),
            "level": record.levelname,
            "message": plain or record.getMessage(),
            "logger": record.name,
            "requestId": getattr(record, "aws_request_id", ""),
        }
        if record.exc_info and record.exc_info[0]:
            members["stackTrace"] = traceback.format_tb(record.exc_info[2])
            members["errorType"] = record.exc_info[0].__name__
            members["errorMessage"] = str(record.exc_info[1])
            members["location"] = f"{record.pathname}:{record.funcName}:{record.lineno}"
        members.update(
            (name, value)
            for name, value in record.__dict__.items()
            if name not in _OWN and name not in members
        )
        return json.dumps(members, ensure_ascii=False, default=str)


def write_event(text: str) -> None:
    """Write one event to standard output, newlines kept inside it."""
    event = text.rstrip("\n").replace("\r\n", "\n").replace("\n", "\r")
    sys.stdout.write(event + "\n")


def report(document: ErrorDocument, *, as_json: bool) -> None:
    """Log an error document as Lambda does: `[ERROR] Type: message`, then the stack."""
    if as_json:
        now = time.strftime(_STAMP, time.gmtime())
        write_event(json.dumps({"timestamp": now, "level": "ERROR", **document}))
        return
    kind, message = str(document["errorType"]), str(document["errorMessage"])
    head = f"[ERROR] {kind}: {message}" if message else f"[ERROR] {kind}"
    stack = document["stackTrace"]
    lines = [head, "Traceback (most recent call last):"]
    if isinstance(stack, list):
        lines += [line for entry in stack for line in str(entry).splitlines()]
    write_event("\n".join(map(_kept_indent, lines)))


def set_up(log_format: str, log_level: str) -> LambdaLoggerFilter:
    """Give the root logger Lambda's handler; returns what carries the request id."""
    logging.Formatter.converter = time.gmtime
    handler = LambdaLoggerHandler()
    as_json = log_format.upper() == "JSON"
    handler.setFormatter(
        JsonFormatter() if as_json else logging.Formatter(_TEXT, _SECONDS)
    )
    carrier = LambdaLoggerFilter()
    handler.addFilter(carrier)
    root = logging.getLogger()
    level = {"TRACE": "DEBUG", "FATAL": "CRITICAL", "WARN": "WARNING"}.get(
        log_level.upper(), log_level.upper()
    )
    if level in logging.getLevelNamesMapping():
        root.setLevel(level)
    root.addHandler(handler)
    return carrier


def _kept_indent(line: str) -> str:
    # Viewers fold leading spaces; AWS indents with no-break spaces as well.
    stripped = line.lstrip(" ")
    return "\u00a0" * (len(line) - len(stripped)) + stripped
