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
from _frozen_importlib_external import FileFinder, PathFinder

from casemate_cell import handler, library, marshal_json

TYPE_CHECKING = False  # the name is what mypy knows; `typing` costs 0.4 MiB
if TYPE_CHECKING:
    from collections.abc import Mapping

    from casemate_cell.handler import Handler

PLATFORM_ROOT = "/var/runtime"
TASK_ROOT = "/var/task"


def get_ready() -> None:
    """
    Do on nothing what a start does: what only the first time costs is paid here.

    The package's folder is looked up while it is empty; `Started.load` knows.
    """
    PathFinder.find_spec("handler", [TASK_ROOT])
    facts = marshal_json.marshal({"environment": dict(os.environ)})
    _set_environment(marshal_json.unmarshal(facts)["environment"])  # type: ignore[index] # as written


class Running:
    """Which invocation runs and whose, for the log."""

    __slots__ = ("request_id", "tenant_id")

    def __init__(self, tenant_id: str) -> None:
        self.request_id = ""
        self.tenant_id = tenant_id


class Started:
    """A function that is assigned, then loaded, and then ready to run."""

    def __init__(self, words: Mapping[str, object]) -> None:
        """Take the words of an `assign` order; there may be no code yet."""
        self.function: dict[str, object] = dict(words["function"])  # type: ignore[call-overload] # the node's
        self.as_json = str(self.function["log_format"]).upper() == "JSON"
        self.run: Handler | None = None
        self.running = Running(str(self.function.get("tenant_id") or ""))
        environment: dict[str, str] = dict(words["environment"])  # type: ignore[call-overload] # the node's
        self._log_level = environment.get("AWS_LAMBDA_LOG_LEVEL", "")
        self._handler_name = str(words["handler"])
        self._task_root = str(words["task_root"])
        _set_environment(environment)
        folders = _set_paths(self._task_root, environment.get("PYTHONPATH", ""))
        library.prefer(folders, self._logging_loaded)
        # Once more before the handler is: what that takes is then in the caches, and
        # the node is still waiting for others.
        PathFinder.find_spec("handler", [self._task_root])

    def load(self, credentials: Mapping[str, str]) -> None:
        """
        Import the handler; now its code is there.

        Raises Fault, or what the module raises.
        """
        for name, value in credentials.items():
            os.environ[name] = value
        finder = sys.path_importer_cache.get(self._task_root)
        if isinstance(finder, FileFinder):  # it has seen the folder when it was empty
            finder.invalidate_caches()
        for path in sys.path:  # what a layer brings was not there either
            if path.startswith("/opt/"):
                sys.path_importer_cache.pop(path, None)
        os.chdir(self._task_root)
        self.run = handler.find(self._handler_name)

    def _logging_loaded(self) -> None:
        # It needs `logging` itself, and is of no use without it.
        from casemate_cell import lines  # noqa: PLC0415 — see above

        lines.set_up(self.running, as_json=self.as_json, level=self._log_level)


def _set_paths(task_root: str, own: str) -> list[str]:
    """
    Set the paths of Lambda; `own` is the function's PYTHONPATH.

    Gives the folders of the standard library.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    standard = [path for path in sys.path if path != PLATFORM_ROOT]
    sys.path[:] = [
        task_root,
        f"/opt/python/lib/{version}/site-packages",
        "/opt/python",
        *filter(None, own.split(":")),
        PLATFORM_ROOT,
        *standard,
    ]
    sys.path[:] = list(dict.fromkeys(sys.path))
    sys.argv[:] = [f"{PLATFORM_ROOT}/bootstrap"]
    return standard


def _set_environment(environment: Mapping[str, str]) -> None:
    variables = os.environ
    zone = variables.get("TZ")
    for name in variables:
        if name not in environment:
            del variables[name]
    # Not `update`: it is made for every kind of mapping, and takes twice as long.
    for name, value in environment.items():
        variables[name] = value
    if variables.get("TZ") != zone:  # reading the zone's file takes its time
        time.tzset()
