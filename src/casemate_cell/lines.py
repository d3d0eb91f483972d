"""
The root logger's handler, as Lambda sets it up: each record is one event.

Only a function that imports `logging` has this loaded (see `library`).
"""

from __future__ import annotations

import json
import logging
import time
import traceback

from casemate_cell.report import STAMP, write_event

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from casemate_cell.starting import Running

_TEXT = "[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s"
_SECONDS = "%Y-%m-%dT%H:%M:%S"
_OWN = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {
    "aws_request_id",
    "tenant_id",
    "message",
    "asctime",
    "exc_text",
}


class LambdaLoggerFilter(logging.Filter):
    """Put the ids of the invocation and of its tenant on each record."""

    def __init__(self, running: Running) -> None:
        super().__init__()
        self._running = running

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep every record."""
        record.aws_request_id = self._running.request_id
        if self._running.tenant_id:
            record.tenant_id = self._running.tenant_id
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
            "timestamp": self.formatTime(record, STAMP),
            "level": record.levelname,
            "message": plain or record.getMessage(),
            "logger": record.name,
            "requestId": getattr(record, "aws_request_id", ""),
        }
        if tenant_id := getattr(record, "tenant_id", None):
            members["tenantId"] = tenant_id
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


def set_up(running: Running, *, as_json: bool, level: str) -> None:
    """Give the root logger Lambda's handler.  level: the function's, or empty."""
    logging.Formatter.converter = time.gmtime
    handler = LambdaLoggerHandler()
    handler.setFormatter(
        JsonFormatter() if as_json else logging.Formatter(_TEXT, _SECONDS)
    )
    handler.addFilter(LambdaLoggerFilter(running))
    root = logging.getLogger()
    name = {"TRACE": "DEBUG", "FATAL": "CRITICAL", "WARN": "WARNING"}.get(
        level.upper(), level.upper()
    )
    if name in logging.getLevelNamesMapping():
        root.setLevel(name)
    root.addHandler(handler)
