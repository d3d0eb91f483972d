"""The facts of resources, from the service that owns them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from casemate.core.arn import Arn
from casemate.road.authz.room import Facts

FactsOf = Callable[[Arn, str], Facts | None]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Ask the owner of an ARN; a service that owns none has no facts."""

    owners: Mapping[str, FactsOf]

    def facts(self, arn: Arn, action: str) -> Facts | None:
        """Give what governs a resource for an action, or None."""
        owner = self.owners.get(arn.service)
        return owner(arn, action) if owner else None
