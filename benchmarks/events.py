"""Asynchronous events: how fast they are taken durably, and how fast they are run."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, final

from benchmarks import casemate_server, durable, processes
from benchmarks.casemate_server import Casemate
from benchmarks.client import Ask, many
from benchmarks.competitors import greetings

CONNECTIONS: Final = 32
"""That ask for events to be taken; the others have as many waiting at once."""
AT_ONCE: Final = 16
"""Events of one function that are run at once: the synchronous rate's connections."""
BODY: Final = 1024
"""Bytes of an event, for all three."""
SLEEPER: Final = """
import time

def handler(event, context):
    time.sleep(600)
"""
"""Holds its lane's places without a processor, so that taking is measured alone."""
_WAITING: Final = "casemate_events_waiting"
_PATIENCE: Final = 120.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure: rounds, and seconds of each measurement."""

    rounds: int
    seconds: float


@final
@dataclass(slots=True, kw_only=True)
class Events:
    """A value a round, each a second.  redis: the server's version."""

    taken: list[float] = field(default_factory=list)
    sqlite: list[float] = field(default_factory=list)
    stream: list[float] = field(default_factory=list)
    synchronous: list[float] = field(default_factory=list)
    drained: list[float] = field(default_factory=list)
    redis: str = ""


def measure(plan: Plan, say: Callable[[str], None]) -> Events:
    """Measure on platforms of its own, round after round."""
    found = Events(redis=durable.redis_version())
    body = json.dumps({"name": "x" * (BODY - 12)}).encode()
    with (
        tempfile.TemporaryDirectory(prefix="casemate-bench-", dir="/var/tmp") as work,
        casemate_server.running(pool=2, cores=processes.SERVERS) as platform,
        durable.redis(Path(work)) as port,
    ):
        platform.deploy("sleeper", SLEEPER, MemorySize=128, Timeout=900)
        platform.deploy("hello", casemate_server.hello())
        for number in range(plan.rounds):
            say(f"events: round {number + 1} of {plan.rounds}")
            with processes.on_cores(processes.CLIENT):
                found.taken.append(_taken(platform, body, plan.seconds))
                found.stream.append(
                    durable.redis_rate(port, body, CONNECTIONS, plan.seconds)
                )
            found.sqlite.append(
                durable.sqlite_rate(Path(work), body, CONNECTIONS, plan.seconds)
            )
            with processes.on_cores(processes.CLIENT):
                found.synchronous.append(_synchronous(platform, plan.seconds))
                found.drained.append(_drained(platform, plan.seconds))
    return found


def _taken(platform: Casemate, body: bytes, seconds: float) -> float:
    """Give the events a second that are durable before their 202."""
    asks = [platform.event("sleeper", body) for _ in range(64)]
    return many(platform.peer, asks, CONNECTIONS, seconds).rate


def _synchronous(platform: Casemate, seconds: float) -> float:
    asks = [platform.invocation("hello", *one) for one in greetings()]
    return many(platform.peer, asks, AT_ONCE, seconds).rate


def _drained(platform: Casemate, seconds: float) -> float:
    """Let events pile up, then give the rate at which they are run to their end."""
    held = _waiting(platform)
    asks: list[Ask] = [platform.event("hello", event) for event, _ in greetings()]
    many(platform.peer, asks, CONNECTIONS, seconds)
    begin, first = time.perf_counter(), _waiting(platform) - held
    if first < AT_ONCE:
        raise AssertionError(f"only {first} events waited: nothing piled up")
    end = begin + _PATIENCE
    while (left := _waiting(platform) - held) > 0:
        if time.perf_counter() > end:
            raise TimeoutError(f"{left} events still wait")
        time.sleep(0.005)
    return first / (time.perf_counter() - begin)


def _waiting(platform: Casemate) -> int:
    return int(platform.metrics()[_WAITING])
