"""What loads late is the library's own, and `logging` has its handler at once."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from casemate_cell.library import LATE

SOURCES = Path(__file__).parents[3] / "src"
START = """
import json, sys
sys.path.insert(0, {sources!r})
from casemate_cell import invoking
from casemate_cell.starting import Started
before = set(sys.modules)
started = Started(dict(
    function=dict(log_format={log_format!r}), handler="app.handler",
    environment=dict(AWS_LAMBDA_LOG_LEVEL="ERROR"), task_root={root!r},
))
sys.path.insert(0, {root!r})
"""


def ran(root: Path, code: str, log_format: str = "Text") -> list[str]:
    """The lines that a process says which was assigned a function."""
    start = START.format(sources=str(SOURCES), root=str(root), log_format=log_format)
    command = [sys.executable, "-I", "-S", "-c", start + code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.splitlines()


def test_all_that_logging_needs_is_the_librarys(tmp_path: Path) -> None:
    """Whatever `logging` and an error's stack bring in cannot be replaced."""
    (said,) = ran(
        tmp_path,
        "import logging, importlib, traceback, linecache, tokenize\n"
        "print(json.dumps(sorted(n for n in set(sys.modules) - before\n"
        "  if '.' not in n and n not in sys.builtin_module_names)))",
    )
    assert set(json.loads(said)) - {"casemate_cell"} <= LATE


def test_a_package_does_not_take_their_place(tmp_path: Path) -> None:
    """A module of the package under such a name is not run."""
    for name in LATE:
        (tmp_path / f"{name}.py").write_text("raise SystemExit(9)")
    (tmp_path / "mine.py").write_text("HERE = True")
    names = ", ".join(sorted(LATE))
    (said,) = ran(tmp_path, f"import mine, {names}\nprint(mine.HERE)")
    assert said == "True"


def test_logging_is_set_up_for_whoever_imports_it(tmp_path: Path) -> None:
    """The root logger has one handler and the function's level on first sight."""
    code = (
        "started.running.request_id = 'r1'\n"
        "import logging\n"
        "root = logging.getLogger()\n"
        "loader = logging.__loader__\n"
        "print(len(root.handlers), root.level == logging.ERROR,\n"
        "  type(loader).__name__, logging.__spec__.loader is loader)\n"
        "root.warning('low')\n"
        "root.error('high')\n"
    )
    facts, said = ran(tmp_path, code)
    assert facts == "1 True SourceFileLoader True"
    level, _time, request, text = said.split("\t")
    assert (level, request, text) == ("[ERROR]", "r1", "high")

    facts, said = ran(tmp_path, code, "JSON")
    record: dict[str, Any] = json.loads(said)
    assert (record["requestId"], record["message"]) == ("r1", "high")


def test_what_never_logs_never_loads_it(tmp_path: Path) -> None:
    """An idle cell does not pay for it."""
    (said,) = ran(
        tmp_path, "print(sorted({'logging', 'threading'} & set(sys.modules)))"
    )
    assert said == "[]"
