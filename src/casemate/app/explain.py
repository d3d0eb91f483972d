"""
The story of one request: its record, and what the function wrote.

An older record is looked for in the log, which may take long: that is done beside
the loop, and by few at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

from casemate.core.arn import Arn, NotAnArnError
from casemate.core.identifier import moment
from casemate.road.record.story import Found, Stories
from casemate.services.logs.model import GroupRef
from casemate.services.logs.requests import RequestLines

_FUNCTION: Final = "function:"
_RUN: Final = ("Invoke", "InvokeWithResponseStream")
_AT_ONCE: Final = 2


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A story.  position: in the audit chain; None while it waits."""

    record: Mapping[str, object]
    position: int | None
    log_lines: Sequence[str]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Explainer:
    """Finds the stories of an account's own requests."""

    stories: Stories
    lines: RequestLines
    _seats: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(_AT_ONCE)
    )

    async def story(self, account: str, request_id: str) -> Told | None:
        """Give the story, or None for a request that is not the account's."""
        async with self._seats:
            return await asyncio.to_thread(self._story, account, request_id)

    def _story(self, account: str, request_id: str) -> Told | None:
        found = self.stories.find(account, request_id)
        if found is None:
            return None
        return Told(
            record=found.record,
            position=found.position,
            log_lines=self._lines(account, found, request_id),
        )

    def _lines(self, account: str, found: Found, request_id: str) -> list[str]:
        """Read the lines of the account's own function; another's log is another's."""
        group = _group(found.record)
        at = moment(request_id)
        if group is None or at is None or group.account != account:
            return []
        return self.lines.find(group, request_id, int(at * 1000))


def _group(record: Mapping[str, object]) -> GroupRef | None:
    """Name the log group of the function that a call ran."""
    house = record.get("additionalEventData")
    if record.get("eventName") not in _RUN or not isinstance(house, Mapping):
        return None
    try:
        arn = Arn.parse(str(house.get("resource")))
    except NotAnArnError:
        return None
    if not arn.resource.startswith(_FUNCTION):
        return None
    name = arn.resource.removeprefix(_FUNCTION).partition(":")[0]
    return GroupRef(account=arn.account, region=arn.region, name=f"/aws/lambda/{name}")
