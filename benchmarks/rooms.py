"""Where a warm call's time and processor go: rooms of the road, processes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from benchmarks import processes
from benchmarks.casemate_server import Casemate
from benchmarks.client import one_by_one

ROOMS: Final = ("authn", "authz", "validate", "admit", "dispatch")
"""In their order; ingress and record are what the whole has beyond them."""

_STRETCHES: Final = 5
_ROOM: Final = "casemate_room_seconds"
_CALL: Final = "casemate_call_seconds"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Seconds a call.  rooms: time spent in each; cpu: of each kind of process."""

    whole: float
    rooms: Mapping[str, float]
    cpu: Mapping[str, float]


def measure(platform: Casemate, name: str, seconds: float) -> Rooms:
    """Give the one in the middle of some equal stretches of the seconds."""
    found = [_stretch(platform, name, seconds / _STRETCHES) for _ in range(_STRETCHES)]
    return sorted(found, key=lambda one: one.whole)[_STRETCHES // 2]


def _stretch(platform: Casemate, name: str, seconds: float) -> Rooms:
    """Call a warm function one by one, and read the platform's own metrics."""
    platform.rest()
    server = platform.server(name)
    with processes.on_cores(processes.CLIENT):
        before, used = platform.metrics(), _used(platform)
        sample = one_by_one(server.peer, server.asks(), seconds)
        after, then = platform.metrics(), _used(platform)
    return Rooms(
        whole=_mean(before, after, _CALL, 'service="lambda"'),
        rooms={name: _mean(before, after, _ROOM, f'room="{name}"') for name in ROOMS},
        cpu={kind: (then[kind] - used[kind]) / sample.answers for kind in then},
    )


def _mean(
    before: Mapping[str, float], after: Mapping[str, float], name: str, label: str
) -> float:
    """Give a histogram's mean between two readings."""
    total, count = (
        after[key] - before.get(key, 0.0)
        for key in (f"{name}_sum{{{label}}}", f"{name}_count{{{label}}}")
    )
    return total / count


def _used(platform: Casemate) -> dict[str, float]:
    kinds: dict[str, float] = dict.fromkeys(
        ("node", "keyholder", "egress", "warden"), 0
    )
    for pid in platform.own():
        kind = _kind(processes.command(pid))
        kinds[kind] += sum(processes.cpu([pid]).values())
    inside = [pid for pids in platform.cells().values() for pid in pids]
    kinds["cells"] = sum(processes.cpu(inside).values())
    return kinds


def _kind(command: str) -> str:
    for word, kind in (
        ("casemate.app", "node"),
        ("casemate_keyholder", "keyholder"),
        ("casemate.road.egress", "egress"),
    ):
        if word in command:
            return kind
    return "warden"
