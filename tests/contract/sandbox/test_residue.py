"""What one event finds of another's, under each residue policy, in real cells."""

from __future__ import annotations

import json
from typing import Any

import pytest

from casemate.core.function import FunctionVersion, InvocationResult, Residue
from contract.sandbox.stage import Stage, package

PROBE = """
import os, threading

seen = 0
kept = []

def leave_file():
    open("/tmp/left", "w").close()

def leave_folder():
    os.mkdir("/tmp/left")

def leave_unnamed_file():
    kept.append(open("/tmp/left", "w"))
    os.unlink("/tmp/left")

def leave_process():
    if os.fork() == 0:
        os.setsid()
        threading.Event().wait()

def leave_thread():
    threading.Thread(target=threading.Event().wait, daemon=True).start()

def leave_nothing():
    with open("/tmp/mine", "w") as file:
        file.write("x" * 100_000)
    os.unlink("/tmp/mine")
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)

def handler(event, context):
    global seen
    found = {
        "events": seen,
        "files": len(os.listdir("/tmp")),
        "threads": threading.active_count() - 1,
        "processes": sum(name.isdigit() for name in os.listdir("/proc")) - 1,
    }
    seen += 1
    for what in event:
        globals()["leave_" + what]()
    return found
"""
NEW = {"events": 0, "files": 0, "threads": 0, "processes": 0}
NODE = "let n = 0;\nexports.handler = async () => n++;\n"


def probe(stage: Stage, residue: Residue) -> FunctionVersion:
    return stage.python(PROBE, residue=residue)


def call(
    stage: Stage, function: FunctionVersion, *leave: str
) -> tuple[dict[str, int], InvocationResult]:
    result = stage.invoke(function, json.dumps(leave).encode())
    found: Any = json.loads(result.payload)
    return found, result


def not_reused(stage: Stage) -> int:
    count = stage.sandbox.facts()["not_reused"]
    assert isinstance(count, int)
    return count


def test_keep_keeps_all_as_aws_does(stage: Stage) -> None:
    """A file, a process, a thread and the globals are there for the next event."""
    function = probe(stage, Residue.KEEP)
    first, _ = call(stage, function, "file", "process", "thread")
    second, _ = call(stage, function)

    assert NEW == first
    assert {"events": 1, "files": 1, "threads": 1, "processes": 1} == second


@pytest.mark.parametrize("left", ["file", "folder", "unnamed_file", "process"])
def test_wipe_uses_no_cell_in_which_something_was_left(stage: Stage, left: str) -> None:
    """The next event has a new cell, and the old one is destroyed at once."""
    function, before = probe(stage, Residue.WIPE), not_reused(stage)
    _, used = call(stage, function, left)
    assert before + 1 == not_reused(stage)
    found, next_ = call(stage, function)

    assert NEW == found
    assert used.log_stream != next_.log_stream
    assert next_.init_ms is not None


def test_wipe_uses_a_cell_again_that_is_clean(stage: Stage) -> None:
    """What was made and removed within the event is nothing that was left."""
    function = probe(stage, Residue.WIPE)
    _, used = call(stage, function, "nothing")
    found, next_ = call(stage, function)

    assert NEW | {"events": 1} == found
    assert used.log_stream == next_.log_stream


def test_wipe_leaves_what_is_within_the_runtime(stage: Stage) -> None:
    """Globals and threads are the interpreter's, and stay; `fresh` has neither."""
    function = probe(stage, Residue.WIPE)
    call(stage, function, "thread")
    found, _ = call(stage, function)

    assert NEW | {"events": 1, "threads": 1} == found


def test_wipe_fits_runtimes_that_took_a_shells_place(stage: Stage) -> None:
    """A runtime that is one process of many threads is clean."""
    function = stage.function(
        package({"app.js": NODE}), runtime="nodejs20.x", residue=Residue.WIPE
    )
    said = [stage.invoke(function).payload for _ in range(3)]

    assert [b"0", b"1", b"2"] == said


def test_fresh_gives_each_event_a_cell_of_its_own(stage: Stage) -> None:
    """Nothing of an event is there for the next, whatever it left."""
    function, before = probe(stage, Residue.FRESH), not_reused(stage)
    everything = ("file", "folder", "process", "thread")
    told = [call(stage, function, *everything[n : n + 1]) for n in range(3)]

    assert [NEW] * 3 == [found for found, _ in told]
    assert len({result.log_stream for _, result in told}) == 3
    assert all(result.init_ms is not None for _, result in told)
    assert before + 3 == not_reused(stage)


def test_a_cell_of_another_policy_is_not_used(stage: Stage) -> None:
    """Under a stricter policy no event lands where an earlier one left something."""
    function = probe(stage, Residue.KEEP)
    call(stage, function, "file")
    for residue in (Residue.WIPE, Residue.FRESH):
        changed = stage.function(
            stage.packages[function.code_sha256],
            name=function.name,
            arn=function.arn,
            residue=residue,
        )
        found, _ = call(stage, changed)
        assert NEW == found
