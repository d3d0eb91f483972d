"""What asynchronous events need of their neighbours; the composer hands it in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, final

from casemate.core.event import AsyncEvent, Plan
from casemate.road.dispatch.events.life import Response
from casemate.road.dispatch.events.quarantine import Summary


class Plans(Protocol):
    """Knows what is to be done with the events of a function."""

    def plan(self, target: str, /) -> Plan | None:
        """Give the plan as it is now; None if there is no such function."""
        ...


class Run(Protocol):
    """Runs a function, as a call on the road."""

    async def __call__(self, event: AsyncEvent, /) -> Response:
        """Run it once.  Raises NotFound if it is gone, another Refusal."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """
    What is to be delivered, for whom.

    target: the ARN of a queue or a function.  attributes: of a message, each
    with its type.
    """

    event: AsyncEvent
    plan: Plan
    target: str
    body: bytes
    attributes: Mapping[str, tuple[str, str]]


class Tell(Protocol):
    """Puts on record what an operator should hear of."""

    def __call__(self, account: str, summary: Summary, /) -> None:
        """Say that an event went into quarantine."""
        ...


class Deliver(Protocol):
    """Delivers, as a call on the road under a session of the function's role."""

    async def __call__(self, parcel: Parcel, /) -> None:
        """Deliver once; return once it is durable there.  Raises a Refusal."""
        ...
