"""docs/performance.md, written from what was measured: nothing is left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, final

from benchmarks import cold, events
from benchmarks.casemate_server import MEMORY_MB
from benchmarks.cells import BURST, CALLERS, Burst, Memory
from benchmarks.figures import Figure, number, ratios
from benchmarks.rooms import Rooms
from benchmarks.warm import CONNECTIONS, Warm, versus

US: Final = 1e6
MS: Final = 1e3
MIB: Final = 1 / (1 << 20)
FRAMEWORK: Final = "functions-framework"
UVICORN: Final = "uvicorn"
_CLIENT_BOUND: Final = 0.9


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that a run found."""

    conditions: Sequence[tuple[str, str]]
    warm: Sequence[Warm]
    rooms: Rooms
    starts: cold.Starts
    new_cells: float
    burst: Burst
    events: events.Events
    generic: Memory
    serving: Memory


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What was to be reached.  bound: the most, or the least, of `value`."""

    what: str
    value: float
    bound: float
    told: str
    at_least: bool = False

    @property
    def is_reached(self) -> bool:
        """Compare."""
        if self.at_least:
            return self.value >= self.bound
        return self.value <= self.bound


def written(found: Findings, *, seconds: float) -> str:
    """Write the page.  seconds: how long the run took."""
    parts = [
        _opening(seconds),
        _targets(found),
        _warm(found.warm),
        _rooms(found.rooms),
        _cold(found.starts),
        _cells(found),
        _events(found.events),
        _conditions(found.conditions),
    ]
    return "\n\n".join(parts) + "\n"


def _opening(seconds: float) -> str:
    return f"""# Performance

`make bench` measured all of this in one run of {seconds / 60:.1f} minutes and wrote \
this page; nothing is added or left out by hand.
Every figure is a median with the 10th and the 90th percentile beside it, \
unless it says otherwise.
Ratios are taken round by round, since a slow moment slows everybody in its round."""


def _targets(found: Findings) -> str:
    rows = [
        (
            target.what,
            target.told,
            f"{'at least' if target.at_least else 'at most'} {target.bound:g}",
            "yes" if target.is_reached else "**no**",
        )
        for target in targets(found)
    ]
    table = _table(("to be reached", "measured", "bound", "reached"), rows)
    return f"## What was to be reached\n\n{table}"


def targets(found: Findings) -> list[Target]:
    """Compare with what was set out to be reached."""
    framework = versus(found.warm, FRAMEWORK, lambda one: one.p50)
    uvicorn = versus(found.warm, UVICORN, lambda one: one.p50)
    per_core = versus(found.warm, FRAMEWORK, lambda one: one.per_core)
    start = ratios(found.starts[cold.HIT], found.starts[cold.BARE])
    weight = found.generic.each * MIB
    drain = ratios(found.events.drained, found.events.synchronous)
    return [
        Target(
            what=f"warm p50, as a multiple of {FRAMEWORK}'s",
            value=framework.median,
            bound=0.5,
            told=framework.text(),
        ),
        Target(
            what=f"warm p50, as a multiple of {UVICORN}'s",
            value=uvicorn.median,
            bound=3,
            told=uvicorn.text(),
        ),
        Target(
            what=f"calls a second and core, as a multiple of {FRAMEWORK}'s",
            value=per_core.median,
            bound=4,
            told=per_core.text(),
            at_least=True,
        ),
        Target(
            what="cold start on a pool's cell, as a multiple of a bare Python start",
            value=start.median,
            bound=0.25,
            told=start.text(),
        ),
        Target(
            what="memory of an idle cell of the pool, MiB (PSS)",
            value=weight,
            bound=6,
            told=number(weight),
        ),
        Target(
            what="events run a second, as a multiple of synchronous calls",
            value=drain.median,
            bound=0.6,
            told=drain.text(),
            at_least=True,
        ),
    ]


def _warm(found: Sequence[Warm]) -> str:
    rows = [
        (
            one.server.name,
            Figure.of(one.p50).text(0, US),
            Figure.of(one.p99).text(0, US),
            Figure.of(one.rate).text(0),
            Figure.of(one.crowd_p99).text(1, MS),
            Figure.of(one.per_core).text(0),
            _busy(one),
        )
        for one in found
    ]
    head = (
        "server",
        "p50, µs",
        "p99, µs",
        "calls a second",
        "p99 then, ms",
        "calls a second and core",
        "client's core",
    )
    ways = "\n".join(f"- {one.server.name}: {one.server.how}." for one in found)
    return f"""## Warm synchronous invocation

The same hello function takes `{{"name": "..."}}` and gives \
`{{"message": "hello, ..."}}`, over HTTPS where the server can.
The first two columns are of one keep-alive connection, each request sent after the \
last answer; the others of {CONNECTIONS} connections.
All servers share one core, one of them asked at a time; the client has the other core.
A second and core means a second of processor time, of all processes that the server \
has, the function's own included.
Where the client's core is nearly busy the rate is the client's, not the server's.

{_table(head, rows)}

How each was run:

{ways}

Casemate's function has {MEMORY_MB} MB, and thus {MEMORY_MB / 1769:.0%} of a core \
for each of its cells; no other server has such a limit.
Only Casemate knows who calls, decides whether they may, runs the function apart from \
all else, and keeps a record; the others are the cost of doing none of that."""


def _busy(one: Warm) -> str:
    share = Figure.of(one.busy).median
    return f"{share:.0%}{', its limit' if share > _CLIENT_BOUND else ''}"


def _rooms(found: Rooms) -> str:
    rest = found.whole - sum(found.rooms.values())
    rooms = [(name, number(value * US, 0)) for name, value in found.rooms.items()]
    rooms += [
        ("record and the steps between rooms", number(rest * US, 0)),
        ("the whole call", number(found.whole * US, 0)),
    ]
    cpu = [(kind, number(value * US, 0)) for kind, value in found.cpu.items()]
    cpu += [("together", number(sum(found.cpu.values()) * US, 0))]
    return f"""## Where a warm call goes

Means over one connection, of the middle one of five stretches: \
from the platform's own metrics, and from /proc.
`dispatch` holds the way to the cell, the function and the way back; \
TLS, HTTP and the reading of the request are before the call begins.

{_table(("room", "µs a call"), rooms)}

{_table(("processes", "µs of processor a call"), cpu)}"""


def _cold(starts: cold.Starts) -> str:
    rows = [
        (
            name,
            Figure.of(values).text(1, MS),
            ratios(values, starts[cold.BARE]).text(),
        )
        for name, values in starts.items()
    ]
    head = ("started", "ms", f"as a multiple of {cold.BARE}")
    count = len(starts[cold.BARE])
    return f"""## Cold start

{count} of each, one after the other in turn; both cores are there for all of them.
A start of Casemate is a whole signed call over an open connection, to a function \
that has no cell: until the last byte of the function's answer.
The others are timed from their start to their end.
A package's first use unpacks it in a cell of its own before the function's cell \
can start; it is paid once for a package and node.

{_table(head, rows)}"""


def _cells(found: Findings) -> str:
    begun = found.burst.begun
    rows = [
        (
            f"new cells a second, {CALLERS} callers whose every call ends its cell",
            number(found.new_cells, 1),
        ),
        *(
            (
                f"0 to {BURST} cells: code runs in cell {place}, s",
                number(begun[place - 1]),
            )
            for place in (1, 10, 30, BURST)
            if place <= len(begun)
        ),
        (f"0 to {BURST} cells: calls refused", str(found.burst.refused)),
        _weight("waiting in the pool", found.generic),
        _weight("serving a function, idle and frozen", found.serving),
    ]
    return f"""## Cells

Both cores make cells; the client is among them.
Memory is the proportional set size (PSS) of all processes in a cell: what is shared \
is divided among those that share it, so it falls as cells become more.

{_table(("what", "measured"), rows)}"""


def _events(found: events.Events) -> str:
    rows = [
        (what, Figure.of(values).text(0), ratios(found.taken, values).text())
        for what, values in (
            ("Casemate: events acknowledged with 202", found.taken),
            ("SQLite alone: rows, in groups of as many as wait", found.sqlite),
            (f"Redis {found.redis}: entries, `appendfsync always`", found.stream),
        )
    ]
    ran = [
        ("synchronous calls", Figure.of(found.synchronous).text(0), ""),
        (
            "events that had piled up, each run and gone from the queue",
            Figure.of(found.drained).text(0),
            ratios(found.drained, found.synchronous).text(),
        ),
    ]
    head = ("a second", "measured", "Casemate's, as a multiple of it")
    return f"""## Asynchronous events

Taken: {events.BODY} bytes each, durable before the answer, {events.CONNECTIONS} \
waiting at once; the servers share one core, one of them asked at a time.
Casemate's are signed, authorized, encrypted and put on record; SQLite is a bare \
writer in one process, with `synchronous=FULL`, and a Redis stream is asked over plain \
TCP.
They show what the disk and the promise cost, not what is in the way to them.

{_table(head, rows)}

Run: the hello function, on that core, {events.AT_ONCE} at once: connections of the \
synchronous calls, and the places that events of one function have.

{_table(("a second", "measured", "as a multiple of the first"), ran)}"""


def _weight(what: str, memory: Memory) -> tuple[str, str]:
    return (
        f"memory of a Python cell {what}, MiB (mean of {memory.cells})",
        number(memory.each * MIB),
    )


def _conditions(told: Sequence[tuple[str, str]]) -> str:
    return f"""## Conditions

The run has a network namespace with a loopback and nothing else.
Other work on the machine makes every figure worse, so the load is told.

{_table(("what", "which"), told)}"""


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
