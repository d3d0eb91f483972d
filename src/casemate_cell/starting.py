"""
Turn a waiting process into one function's: environment, paths, log, handler.

Each cell is an exec of its own, never a fork of a warmed process, so hash
seed, ASLR and the state of `random` and `ssl` are this cell's alone and need
no reseeding.  Site hooks of the package (`.pth`, `sitecustomize`) are not run:
the interpreter's site pass is over before the package is mounted.
"""

from __future__ import annotations

import os
import sys
import time

from casemate_cell import handler, lines

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casemate_cell.handler import Handler

PLATFORM_ROOT = "/var/runtime"


class Started:
    """A function that is ready to run."""

    def __init__(self, frame: Mapping[str, object]) -> None:
        """Take the words of an `assign` frame."""
        self.function: dict[str, object] = dict(frame["function"])  # type: ignore[call-overload] # the node's
        self.as_json = str(self.function["log_format"]).upper() == "JSON"
        self.run: Handler | None = None
        environment: dict[str, str] = dict(frame["environment"])  # type: ignore[call-overload] # the node's
        task_root = str(frame["task_root"])
        _enter(environment, task_root)
        self.carrier = lines.set_up(
            str(self.function["log_format"]),
            environment.get("AWS_LAMBDA_LOG_LEVEL", ""),
        )
        self._handler_name = str(frame["handler"])

    def load(self) -> None:
        """Import the handler.  Raises Fault, or what the module raises."""
        self.run = handler.find(self._handler_name)


def _enter(environment: Mapping[str, str], task_root: str) -> None:
    """Set exactly this environment, and the working directory and paths of Lambda."""
    variables = os.environ
    variables.clear()
    variables.update(environment)
    time.tzset()
    os.chdir(task_root)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = [path for path in sys.path if path != PLATFORM_ROOT]
    sys.path[:] = [
        task_root,
        f"/opt/python/lib/{version}/site-packages",
        "/opt/python",
        *filter(None, environment.get("PYTHONPATH", "").split(":")),
        PLATFORM_ROOT,
        *library,
    ]
    sys.path[:] = list(dict.fromkeys(sys.path))
    sys.argv[:] = [f"{PLATFORM_ROOT}/bootstrap"]
