"""
What the platform writes into a function's log: one event a call, and errors.

One event must stay one, while the node splits at newlines; so newlines inside it
travel as carriage returns, which the node turns back.
"""

from __future__ import annotations

import json
import sys
import time

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from casemate_cell.errors import ErrorDocument

STAMP = "%Y-%m-%dT%H:%M:%SZ"


def write_event(text: str) -> None:
    """Write one event to standard output, newlines kept inside it."""
    event = text.rstrip("\n").replace("\r\n", "\n").replace("\n", "\r")
    sys.stdout.write(event + "\n")


def report(document: ErrorDocument, *, as_json: bool) -> None:
    """Log an error document as Lambda does: `[ERROR] Type: message`, then the stack."""
    if as_json:
        now = time.strftime(STAMP, time.gmtime())
        write_event(json.dumps({"timestamp": now, "level": "ERROR", **document}))
        return
    kind, message = str(document["errorType"]), str(document["errorMessage"])
    head = f"[ERROR] {kind}: {message}" if message else f"[ERROR] {kind}"
    stack = document["stackTrace"]
    lines = [head, "Traceback (most recent call last):"]
    if isinstance(stack, list):
        lines += [line for entry in stack for line in str(entry).splitlines()]
    write_event("\n".join(map(_kept_indent, lines)))


def _kept_indent(line: str) -> str:
    # Viewers fold leading spaces; AWS indents with no-break spaces as well.
    stripped = line.lstrip(" ")
    return "\u00a0" * (len(line) - len(stripped)) + stripped
