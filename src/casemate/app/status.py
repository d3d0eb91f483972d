"""What is running here, for those who may know."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import final

import casemate
from casemate.app.settings import Settings
from casemate.app.witness import Witness
from casemate.core.clock import Clock
from casemate.road.sandbox.invoke import Sandbox


@final
class Status:
    """Says what is running."""

    def __init__(
        self,
        *,
        settings: Settings,
        sandbox: Sandbox,
        clock: Clock,
        witness: Witness | None,
    ) -> None:
        self._settings = settings
        self._sandbox = sandbox
        self._witness = witness
        self._started = datetime.datetime.fromtimestamp(clock.now(), tz=datetime.UTC)

    def runtimes(self) -> tuple[str, ...]:
        """Name the runtimes that functions can have."""
        return self._settings.runtimes

    async def status(self) -> Mapping[str, object]:
        """Give the members of GetStatus's answer."""
        facts = self._sandbox.facts()
        waiting, cells = _counts(facts, "generic"), _counts(facts, "cells")
        return {
            "Version": casemate.__version__,
            "Instance": self._settings.instance,
            "Region": self._settings.region,
            "StartedAt": self._started,
            "Runtimes": [
                {"Name": name, "Waiting": waiting.get(name, 0)}
                for name in self._settings.runtimes
            ],
            "Cells": {
                "Waiting": sum(waiting.values()),
                "Busy": cells.get("busy", 0),
                "Idle": cells.get("idle", 0),
            },
            **({} if self._witness is None else {"Witness": _told(self._witness)}),
        }


def _told(witness: Witness) -> Mapping[str, object]:
    reached = {"Count": witness.count, "Waiting": witness.waiting}
    return {**reached, "Failing": witness.failing} if witness.failing else reached


def _counts(facts: Mapping[str, object], name: str) -> Mapping[str, int]:
    found = facts.get(name)
    return found if isinstance(found, Mapping) else {}
