"""How many cells, how soon, and what each costs in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, final

from benchmarks import processes
from benchmarks.casemate_server import Casemate
from benchmarks.client import Ask, Line

BURST: Final = 60
CALLERS: Final = 8
MEMORY_MB: Final = 128

ENDING: Final = """
import os

def handler(event, context):
    os._exit(0)
"""
"""Its cell ends with every call, so each call needs a new one."""

SLEEPING: Final = """
import time
import uuid

ME = str(uuid.uuid4())

def handler(event, context):
    begun = time.time()
    time.sleep(max(0.0, event["until"] - begun))
    return {"cell": ME, "begun": begun}
"""
"""No call ends before all have begun, so each needs a cell of its own."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """When the code of each cell began, in seconds after the first byte was sent."""

    begun: tuple[float, ...]
    refused: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes a cell (PSS), and how many cells shared what they share."""

    each: float
    cells: int


def new_cells(platform: Casemate, seconds: float) -> float:
    """Give the new cells a second that the platform sustains."""
    platform.deploy("ending", ENDING, MemorySize=MEMORY_MB)
    platform.rest()
    end = time.monotonic() + seconds
    begin, before = time.monotonic(), platform.metrics()["casemate_sandbox_cold"]
    with ThreadPoolExecutor(CALLERS) as pool:
        for work in [pool.submit(_keep_calling, platform, end) for _ in range(CALLERS)]:
            work.result()
    made = platform.metrics()["casemate_sandbox_cold"] - before
    return made / (time.monotonic() - begin)


def burst(platform: Casemate, patience: float) -> Burst:
    """
    Call a function that has no cell 60 times at once.

    patience: seconds within which all are expected to begin.
    """
    platform.deploy("sleeping", SLEEPING, MemorySize=MEMORY_MB)
    platform.rest()
    begin = time.time()
    event = json.dumps({"until": begin + patience}).encode()
    asks = [platform.invocation("sleeping", event, b"begun") for _ in range(BURST)]
    lines = [Line(platform.peer) for _ in range(BURST)]
    begin = time.time()
    with ThreadPoolExecutor(BURST) as pool:
        answers = list(pool.map(_exchange, lines, asks))
    told = [json.loads(body) for status, body in answers if status == b"200"]
    began = [one["begun"] - begin for one in told if "begun" in one]
    if len({one["cell"] for one in told if "cell" in one}) != len(began):
        raise AssertionError("two calls of the burst met in one cell")
    return Burst(begun=tuple(sorted(began)), refused=BURST - len(began))


def generic_memory(platform: Casemate) -> Memory:
    """Weigh the Python cells that wait in the pool."""
    platform.rest()
    return _weigh(
        {n: p for n, p in platform.python_cells().items() if not processes.has_code(p)}
    )


def function_memory(platform: Casemate) -> Memory:
    """Weigh the Python cells that serve a function, and are idle."""
    platform.rest()
    return _weigh(
        {n: p for n, p in platform.python_cells().items() if processes.has_code(p)}
    )


def _weigh(found: Mapping[str, list[int]]) -> Memory:
    sizes = [processes.pss(pids) for pids in found.values()]
    return Memory(each=sum(sizes) / len(sizes), cells=len(sizes))


def _keep_calling(platform: Casemate, end: float) -> None:
    line = Line(platform.peer)
    try:
        while time.monotonic() < end:
            line.exchange(platform.invocation("ending", b"{}", b"").request)
    finally:
        line.close()


def _exchange(line: Line, ask: Ask) -> tuple[bytes, bytes]:
    try:
        return line.exchange(ask.request)
    finally:
        line.close()
