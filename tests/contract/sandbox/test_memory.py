"""
A function has the memory that it was given, whatever its `/tmp` may hold.

The kernel has one limit for both; the platform tells them apart.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from casemate.core.errors import Throttled, Unavailable
from casemate.core.function import Ending, FunctionVersion
from contract.sandbox.conftest import staged
from contract.sandbox.stage import Stage

SCRATCH_MB = 4_096
NODE_MB = 8_192
OVERSHOOT_MB = 1_024
"""More than is ever taken between two looks, and far less than `SCRATCH_MB`."""

BOMBS = {
    "memory file": """
import os
def handler(event, context):
    made, held = os.memfd_create("m"), 0
    while True:
        os.posix_fallocate(made, held << 20, 8 << 20)
        held += 8
        print("held", held, flush=True)
""",
    "shared map": """
import mmap
def handler(event, context):
    kept, block = [], b"x" * (8 << 20)
    while True:
        page = mmap.mmap(-1, 8 << 20)
        page.write(block)
        kept.append(page)
        print("held", 8 * len(kept), flush=True)
""",
    "memory file beside a full /tmp": """
import os
def handler(event, context):
    scratch = os.open("/tmp/x", os.O_CREAT | os.O_RDWR)
    os.posix_fallocate(scratch, 0, 300 << 20)
    made, held = os.memfd_create("m"), 0
    while True:
        os.posix_fallocate(made, held << 20, 8 << 20)
        held += 8
        print("held", held, flush=True)
""",
    # Reading what was never written takes no page, but a table of 4 KiB for each
    # 2 MiB of addresses: memory that only the kernel has.
    "page tables": """
import mmap
def handler(event, context):
    kept, tables = [], 0
    while True:
        page = mmap.mmap(-1, 4 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        page.madvise(mmap.MADV_NOHUGEPAGE)
        kept.append(page)
        for place in range(0, 4 << 30, 2 << 20):
            page[place]
        tables += 8
        print("held", tables, flush=True)
""",
}


@pytest.fixture(scope="module")
def large(images: list[Any]) -> Iterator[Stage]:
    """A node that has memory for large scratch."""
    with staged(images, pool=1, memory_mb=NODE_MB) as made:
        yield made


def held(stage: Stage, stream: str) -> int:
    """What the function last said that it held, in MB."""
    said = [line.text for line in stage.lines[stream]]
    return max(int(text.split()[1]) for text in said if text.startswith("held "))


@pytest.mark.parametrize("way", BOMBS)
def test_memory_ends_at_its_size_whatever_tmp_may_hold(large: Stage, way: str) -> None:
    """Q2: 128 MB are 128 MB in every form, with room in `/tmp` or without."""
    function = large.python(BOMBS[way], timeout=60, ephemeral_mb=SCRATCH_MB)
    result = large.invoke(function)

    assert result.ending is Ending.OUT_OF_MEMORY
    assert json.loads(result.payload)["errorType"] == "Runtime.OutOfMemory"
    assert held(large, result.log_stream) < OVERSHOOT_MB


FILL = """
import os
def handler(event, context):
    made, block = 0, b"x" * (1 << 20)
    try:
        with open("/tmp/x", "wb", 0) as file:
            while made < event:
                made += file.write(block) >> 20
    except OSError as error:
        return [made, error.errno]
    return [made, 0]
"""


def test_tmp_is_filled_to_its_size_with_little_memory(stage: Stage) -> None:
    """400 MB fit at 128 MB of memory; past 512 MB it is full, and nobody is ended."""
    function = stage.python(FILL, timeout=60)
    for wanted, told in ((400, [400, 0]), (600, [512, 28])):
        result = stage.invoke(function, str(wanted).encode())
        assert result.ending is Ending.SUCCESS, result.log_tail
        assert json.loads(result.payload) == told
    assert result.init_ms is None  # the same cell, twice


def test_what_comes_and_goes_in_tmp_is_never_taken_for_memory(stage: Stage) -> None:
    """A file that grows and vanishes while it is looked at is still a file."""
    function = stage.python(
        "import os, time\n"
        "def handler(event, context):\n"
        " made = os.open('/tmp/x', os.O_CREAT | os.O_RDWR)\n"
        " end, rounds = time.monotonic() + 4, 0\n"
        " while time.monotonic() < end:\n"
        "  os.posix_fallocate(made, 0, 400 << 20)\n"
        "  os.truncate(made, 0)\n"
        "  rounds += 1\n"
        " return rounds",
        timeout=60,
    )
    result = stage.invoke(function)
    assert result.ending is Ending.SUCCESS, result.log_tail
    assert json.loads(result.payload) > 1


def test_memory_taken_in_the_background_ends_the_cell(stage_with: Any) -> None:
    """Between two events a cell is watched for as long as it is not frozen."""
    source = (
        "import os, threading\n"
        "def grow():\n"
        " made, held = os.memfd_create('m'), 0\n"
        " while held < 512:\n"
        "  os.posix_fallocate(made, held << 20, 8 << 20)\n"
        "  held += 8\n"
        "def handler(event, context):\n"
        " if event: threading.Thread(target=grow, daemon=True).start()"
    )
    with stage_with(pool=1, freeze=60.0) as stage:
        function = stage.python(source)
        assert stage.invoke(function, b"1").ending is Ending.SUCCESS
        _until(stage, lambda facts: "idle" not in facts["cells"])
        again = stage.invoke(function, b"0")
    assert again.ending is Ending.SUCCESS
    assert again.init_ms is not None


def _until(stage: Stage, is_so: Callable[[Mapping[str, Any]], bool]) -> None:
    """Let the sandbox go on until its figures are as wanted."""
    end = time.monotonic() + 20
    while not is_so(stage.sandbox.facts()):
        assert time.monotonic() < end, stage.sandbox.facts()
        stage.run(asyncio.sleep(0.01))


EDGE = 128 + (2_048 - 512)


@pytest.mark.parametrize(("ephemeral_mb", "possible"), [(2_048, True), (2_049, False)])
def test_scratch_past_the_default_is_promised(
    stage_with: Any, ephemeral_mb: int, *, possible: bool
) -> None:
    """What a node does not have is refused before a cell is taken."""
    with stage_with(pool=1, memory_mb=EDGE) as stage:
        function = stage.python(
            "def handler(e, c): return 1", ephemeral_mb=ephemeral_mb
        )
        if possible:
            assert stage.invoke(function).ending is Ending.SUCCESS
            assert stage.sandbox.facts()["committed_mb"] == EDGE
            return
        with pytest.raises(Unavailable, match=f"`{EDGE + 1}` MB"):
            stage.invoke(function)
        assert stage.sandbox.facts()["committed_mb"] == 0


@pytest.mark.parametrize(("spare", "fits"), [(128, True), (127, False)])
def test_the_promise_counts_while_others_wait(
    stage_with: Any, spare: int, *, fits: bool
) -> None:
    """A second function runs beside one with large scratch if both fit."""
    with stage_with(pool=2, memory_mb=EDGE + spare, claim=0.5) as stage:
        slow = "import time\ndef handler(e, c): time.sleep(2)"
        first = stage.python(slow, ephemeral_mb=2_048)
        second = stage.python("def handler(e, c): return 1")
        busy = stage.run(_begun(stage, first))
        _until(stage, lambda facts: facts["committed_mb"] == EDGE)
        if fits:
            assert stage.invoke(second).ending is Ending.SUCCESS
        else:
            with pytest.raises(Throttled):
                stage.invoke(second)
        assert stage.run(asyncio.wait_for(busy, 20)).ending is Ending.SUCCESS


async def _begun(stage: Stage, function: FunctionVersion) -> asyncio.Task[Any]:
    return asyncio.ensure_future(stage.sandbox.run(stage.invocation(function)))
