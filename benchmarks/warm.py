"""Warm synchronous invocation: Casemate and its competitors, round after round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from benchmarks import processes
from benchmarks.client import many, one_by_one
from benchmarks.competitors import Server
from benchmarks.figures import Figure, quantile, ratios

CONNECTIONS: Final = 32


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure: rounds, and seconds of each measurement."""

    rounds: int
    alone: float
    crowd: float
    run_up: float


@final
@dataclass(slots=True, kw_only=True)
class Warm:
    """What one server did, a value a round.  Seconds; rates a second."""

    server: Server
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    crowd_p99: list[float] = field(default_factory=list)
    per_core: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)


def measure(
    servers: Sequence[Server], plan: Plan, say: Callable[[str], None]
) -> list[Warm]:
    """Ask each server in turn, and again; the client has a core of its own."""
    found = [Warm(server=server) for server in servers]
    with processes.on_cores(processes.CLIENT):
        for one in found:
            say(f"warm: run-up of {one.server.name}")
            many(one.server.peer, one.server.asks(), CONNECTIONS, plan.run_up)
        for number in range(plan.rounds):
            say(f"warm: round {number + 1} of {plan.rounds}")
            for one in found:
                _alone(one, plan.alone)
            for one in found:
                _crowd(one, plan.crowd)
    return found


def versus(
    found: Sequence[Warm], other: str, pick: Callable[[Warm], Sequence[float]]
) -> Figure:
    """Divide Casemate's figure by another's, round by round."""
    by_name = {one.server.name: one for one in found}
    return ratios(pick(by_name["Casemate"]), pick(by_name[other]))


def _alone(one: Warm, seconds: float) -> None:
    sample = one_by_one(one.server.peer, one.server.asks(), seconds)
    one.p50.append(quantile(sample.latencies, 0.5))
    one.p99.append(quantile(sample.latencies, 0.99))


def _crowd(one: Warm, seconds: float) -> None:
    asks = one.server.asks()
    before = processes.cpu(one.server.pids())
    sample = many(one.server.peer, asks, CONNECTIONS, seconds)
    used = processes.spent(before, processes.cpu(one.server.pids()))
    one.rate.append(sample.rate)
    one.crowd_p99.append(quantile(sample.latencies, 0.99))
    # The processor's time holds the run-up's answers, so these are counted too.
    one.per_core.append(sample.answers / used)
    one.busy.append(sample.busy)
