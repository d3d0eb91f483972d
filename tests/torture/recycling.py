"""A thousand cells come and go: nothing of them stays on the host."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from security.crash.stand import Stand, invoke
from security.edge.attacker import Attacker, Line, Watch
from security.edge.signing import Keys
from torture.kills import Say
from torture.victim import Victim, victim

ENDING: Final = """
import os

def handler(event, context):
    with open("/tmp/left", "wb") as file:
        file.write(bytes(1 << 20))
    os._exit(0)
"""
"""Its cell ends with every call, so each call needs a new one."""
CALLERS: Final = 4
OWN: Final = "private bytes of the platform's processes"
CELLS: Final = "bytes charged to the cells' control group"
ROOM: Final = {OWN: 32 << 20, CELLS: 16 << 20}
"""How much more there may be afterwards.  The store's page cache alone may grow to
32 MiB; a thousand cells that left their MiB of /tmp would be a GiB."""
_PATIENCE: Final = 60.0
_GAUGE: Final = re.compile(r"^(casemate_\w+) (\S+)$", re.MULTILINE)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Recycled:
    """What there was before and after so many cells, and in how many seconds."""

    cells: int
    seconds: float
    before: Mapping[str, int]
    after: Mapping[str, int]

    def faults(self) -> list[str]:
        """Name what became more."""
        return [
            f"{what}: {self.before[what]} before, {self.after[what]} after"
            for what in self.before
            if self.after[what] > self.before[what] + ROOM.get(what, 0)
        ]


def run(cells: int, *, say: Say) -> Recycled:
    """Have so many cells made and ended, after a fifth as many that do not count."""
    with victim() as platform:
        role = platform.role("runner")
        platform.function("ending", ENDING, role=role)
        say("run-up")
        _recycle(platform, max(20, cells // 5))
        before = _held(platform)
        begin = time.monotonic()
        for done in range(0, cells, 100):
            say(f"cells recycled: {done} of {cells}")
            _recycle(platform, min(100, cells - done))
        seconds = time.monotonic() - begin
        return Recycled(
            cells=cells, seconds=seconds, before=before, after=_held(platform)
        )


def _recycle(platform: Victim, cells: int) -> None:
    before = _gauges(platform)["casemate_sandbox_cold"]
    shares = [cells // CALLERS + (i < cells % CALLERS) for i in range(CALLERS)]
    with ThreadPoolExecutor(CALLERS) as pool:
        list(pool.map(lambda share: _call(platform, share), shares))
    made = _gauges(platform)["casemate_sandbox_cold"] - before
    assert made >= cells, (made, cells)


def _call(platform: Victim, times: int) -> None:
    attacker, keys = Attacker(platform), Keys.of(platform.variables)
    with attacker.line() as line:
        for number in range(times):
            _ended(line, attacker, keys, number)


def _ended(line: Line, attacker: Attacker, keys: Keys, number: int) -> None:
    line.say(attacker.written(invoke("ending", str(number)), keys))
    answer = line.hear()
    assert (answer.status, b"ExitError" in answer.body) == (200, True), answer


def _gauges(stand: Stand) -> dict[str, float]:
    text = Watch(stand).metrics()
    return {name: float(value) for name, value in _GAUGE.findall(text)}


def _rest(stand: Stand) -> None:
    """Wait until nothing opens, closes, runs, or waits to be written."""
    end = time.monotonic() + _PATIENCE
    while True:
        now = _gauges(stand)
        busy = [
            now.get(f"casemate_{name}", 0)
            for name in ("sandbox_opening", "sandbox_closing", "sandbox_running")
        ]
        if not any(busy) and now.get("casemate_cells_waiting", 0) >= 4:
            return
        assert time.monotonic() < end, now
        time.sleep(0.02)


def _held(platform: Victim) -> dict[str, int]:
    """Count what the platform holds of the host, once it is at rest."""
    _rest(platform)
    assert platform.process is not None
    everything = [pid for pid, _ in platform.everything()]
    parts = {name: platform.child(name) for name in ("node", "keyholder", "egress")} | {
        "warden": platform.process.pid,
        "guard": platform.guard(),
    }
    held = {f"descriptors of {name}": _descriptors(pid) for name, pid in parts.items()}
    held |= {f"mounts of {name}": _mounts(pid) for name, pid in parts.items()}
    held["processes"] = len(everything)
    held["namespaces"] = len(_namespaces(everything))
    held["control groups"] = sum(1 for _ in _groups(platform))
    held["files outside of the store"] = sum(1 for _ in _files(platform))
    held[OWN] = sum(_private(pid) for pid in parts.values())
    held[CELLS] = _charged(platform)
    return held


def _descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def _mounts(pid: int) -> int:
    return len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines())


def _namespaces(pids: list[int]) -> set[str]:
    found = set()
    for pid in pids:
        with suppress(OSError):
            for link in Path(f"/proc/{pid}/ns").iterdir():
                found.add(str(link.readlink()))
    return found


def _groups(platform: Victim) -> Iterator[str]:
    groups = Path("/sys/fs/cgroup")
    for at in ("", "*/"):
        for top in groups.glob(f"{at}casemate-{platform.instance}"):
            for folder, _, _ in os.walk(top):
                yield folder


def _files(platform: Victim) -> Iterator[Path]:
    """What lies in the data and the run folder; the store's own files grow."""
    tops = (platform.data, Path("/run/casemate") / platform.instance)
    for top in tops:
        for folder, _, names in os.walk(top):
            yield from (Path(folder, n) for n in names if not n.startswith("state."))


def _private(pid: int) -> int:
    """Bytes of memory that a process shares with nobody."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.findall(r"^Private_(?:Clean|Dirty):\s+(\d+) kB$", text, re.MULTILINE)
    return sum(int(kib) << 10 for kib in found)


def _charged(platform: Victim) -> int:
    groups, name = Path("/sys/fs/cgroup"), f"casemate-{platform.instance}"
    for file in (f"memory/{name}/memory.usage_in_bytes", f"{name}/memory.current"):
        with suppress(FileNotFoundError):
            return int((groups / file).read_text())
    raise AssertionError("the cells have no control group of memory")
