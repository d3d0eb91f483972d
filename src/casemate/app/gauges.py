"""The gauges of the node: what is held, by whom nobody can tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from casemate.app.compose import House
from casemate.road.ingress.front import Front

_WHOLE: Final = (
    "opening",
    "closing",
    "waiting_calls",
    "committed_mb",
    "running",
    "late_answers",
    "cold",
    "warm",
    "not_reused",
    "refill_failures",
    "close_failures",
)


def gauges(house: House, front: Front) -> Callable[[], Mapping[str, float]]:
    """Make the function that reads them all."""

    def read() -> Mapping[str, float]:
        facts, health = house.sandbox.facts(), house.store.health()
        values: dict[str, float] = {
            "connections": front.connections,
            "bodies_held_bytes": front.held,
            "calls_inside": house.admit.inside(),
            "calls_waiting": house.admit.waiting(),
            "audit_records": house.ledger.head.count,
            "audit_backlog": house.ledger.backlog,
            "store_file_bytes": health.file_bytes,
            "store_free_bytes": health.free_bytes,
            "store_dropped_entries": health.dropped,
            "log_dropped_lines": house.logs.intake.dropped_lines,
            "events_waiting": house.intake.waiting(),
            "events_worked_on": house.driver.busy(),
            "events_retried": house.driver.counts.retried,
            "events_delivered": house.driver.counts.delivered,
            "events_failed": house.driver.counts.failed,
            "events_quarantined": house.driver.counts.quarantined,
            "events_unreadable": house.driver.counts.unreadable,
            "events_unwritten": house.driver.counts.unwritten,
            "messages_damaged": health.damaged,
        }
        if house.replays is not None:
            values["signatures_remembered"] = len(house.replays)
        if house.witness is not None:
            values |= {
                "witness_records": house.witness.count,
                "witness_waiting": house.witness.waiting,
                "witness_failing": bool(house.witness.failing),
            }
        for name in _WHOLE:
            value = facts.get(name)
            if isinstance(value, int | float):
                values[f"sandbox_{name}"] = value
        cells = facts.get("cells")
        if isinstance(cells, Mapping):
            values |= {f"cells_{stage}": n for stage, n in cells.items()}
        return values

    return read
