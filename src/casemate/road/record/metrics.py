"""
Metrics, in the text format of Prometheus.

No label ever holds a name that a tenant chose: the operations of the platform,
the rooms and the endings are few and known, so no caller can grow this.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, final

BOUNDS: Final = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.05,
    0.1,
    0.5,
    1.0,
    5.0,
    30.0,
    900.0,
)
"""Upper bounds of the latency buckets, in seconds."""

Gauges = Callable[[], Mapping[str, float]]


@final
@dataclass(slots=True)
class _Histogram:
    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


@final
@dataclass(slots=True)
class Metrics:
    """Counts and times of calls, and whatever gauges the platform hands in."""

    gauges: list[Gauges] = field(default_factory=list)
    _calls: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _rooms: dict[str, _Histogram] = field(default_factory=dict)
    _whole: dict[str, _Histogram] = field(default_factory=dict)
    _stages: dict[str, _Histogram] = field(default_factory=dict)
    _strangers: dict[str, int] = field(default_factory=dict)

    def call(self, service: str, operation: str, ending: str, seconds: float) -> None:
        """Count a call that ended.  ending: `ok`, or the kind of refusal."""
        key = (service, operation, ending)
        self._calls[key] = self._calls.get(key, 0) + 1
        self._whole.setdefault(service, _Histogram()).add(seconds)

    def room(self, name: str, seconds: float) -> None:
        """Count the time that a call spent in a room."""
        histogram = self._rooms.get(name)
        if histogram is None:
            histogram = self._rooms[name] = _Histogram()
        histogram.add(seconds)

    def stage(self, name: str, seconds: float) -> None:
        """Count the time that a cold start spent in a stage."""
        self._stages.setdefault(name, _Histogram()).add(seconds)

    def stranger(self, reason: str) -> None:
        """Count a request that was refused before it was a call."""
        self._strangers[reason] = self._strangers.get(reason, 0) + 1

    def text(self) -> str:
        """Write everything."""
        lines: list[str] = []
        lines += _counter(
            "casemate_calls_total",
            "Calls that ended.",
            (
                (f'service="{s}",operation="{o}",ending="{e}"', n)
                for (s, o, e), n in sorted(self._calls.items())
            ),
        )
        lines += _counter(
            "casemate_strangers_total",
            "Requests refused before they were a call.",
            ((f'reason="{r}"', n) for r, n in sorted(self._strangers.items())),
        )
        lines += _histograms("casemate_call_seconds", "service", self._whole)
        lines += _histograms("casemate_room_seconds", "room", self._rooms)
        lines += _histograms("casemate_start_seconds", "stage", self._stages)
        for gauge in self.gauges:
            for name, value in gauge().items():
                lines += [f"# TYPE casemate_{name} gauge", f"casemate_{name} {value:g}"]
        return "\n".join(lines) + "\n"


def _counter(name: str, told: str, samples: Iterable[tuple[str, int]]) -> list[str]:
    head = [f"# HELP {name} {told}", f"# TYPE {name} counter"]
    return head + [f"{name}{{{labels}}} {n}" for labels, n in samples]


def _histograms(
    name: str, label: str, histograms: Mapping[str, _Histogram]
) -> list[str]:
    lines = [f"# TYPE {name} histogram"]
    for value, histogram in sorted(histograms.items()):
        so_far = 0
        for bound, count in zip((*BOUNDS, None), histogram.counts, strict=True):
            so_far += count
            le = "+Inf" if bound is None else f"{bound:g}"
            lines.append(f'{name}_bucket{{{label}="{value}",le="{le}"}} {so_far}')
        lines.append(f'{name}_sum{{{label}="{value}"}} {histogram.total:.6f}')
        lines.append(f'{name}_count{{{label}="{value}"}} {so_far}')
    return lines
