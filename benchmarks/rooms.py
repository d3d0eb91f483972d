"""Where a warm call's time and processor go: rooms of the road, processes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

from benchmarks import processes
from benchmarks.casemate_server import Casemate
from benchmarks.client import one_by_one

ROOMS: Final = ("authn", "authz", "validate", "admit", "dispatch")
_ROOM: Final = re.compile(r'^casemate_room_seconds_sum\{room="(\w+)"\}$')


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """Seconds a call.  rooms: time spent in each; cpu: of each kind of process."""

    whole: float
    rooms: Mapping[str, float]
    cpu: Mapping[str, float]


def measure(platform: Casemate, name: str, seconds: float) -> Rooms:
    """Call a warm function one by one, and read the platform's own metrics."""
    server = platform.server(name)
    with processes.on_cores(processes.CLIENT):
        before, used = platform.metrics(), _used(platform)
        sample = one_by_one(server.peer, server.asks(), seconds)
        after, then = platform.metrics(), _used(platform)
    cpu = {kind: (then[kind] - used.get(kind, 0.0)) / sample.answers for kind in then}
    return Rooms(
        whole=_mean(before, after, 'casemate_call_seconds{}{{service="lambda"}}'),
        rooms={
            found[1]: _mean(before, after, f'casemate_room_seconds{{}}{{{{room="{found[1]}"}}}}')
            for key in after
            if (found := _ROOM.match(key))
        },
        cpu=cpu,
    )


def _mean(before: Mapping[str, float], after: Mapping[str, float], name: str) -> float:
    """Give a histogram's mean between two readings; its calls are of one kind."""
    total, count = (
        after.get(key, 0.0) - before.get(key, 0.0)
        for key in (name.format("_sum"), name.format("_count"))
    )
    return total / count if count else 0.0


def _used(platform: Casemate) -> dict[str, float]:
    kinds: dict[str, float] = dict.fromkeys(("node", "keyholder", "egress", "warden"), 0)
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
