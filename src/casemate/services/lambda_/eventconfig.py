"""
What a function's owner wants done with its asynchronous events, as kept.

    account  table          key                    value
    tenant   lambda.events  REGION/NAME/QUALIFIER  EventConfig

The qualifier is `$LATEST` where the caller gave none, as on AWS.  The records of
a function go with it, in the same commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import msgspec

from casemate.core.event import MAX_AGE, RETRIES
from casemate.services.lambda_.changes import EVENTS, function_key
from casemate.services.lambda_.names import LATEST, FunctionRef
from casemate.services.lambda_.refusals import busy
from casemate.services.lambda_.store import translated
from casemate.substrate.ports import Delete, Put, Records, RevisionConflictError


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class EventConfig:
    """
    How events of one qualifier of a function are treated.

    retries, max_age: None where the caller set none.  on_success, on_failure:
    ARNs; empty for none.  modified_at: epoch seconds.
    """

    modified_at: float
    retries: int | None = None
    max_age: int | None = None
    on_success: str = ""
    on_failure: str = ""

    @property
    def effective_retries(self) -> int:
        """Give what holds."""
        return RETRIES if self.retries is None else self.retries

    @property
    def effective_max_age(self) -> int:
        """Give what holds, in seconds."""
        return MAX_AGE if self.max_age is None else self.max_age


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(EventConfig).decode


def qualifier_of(ref: FunctionRef) -> str:
    """Give the qualifier that a reference means."""
    return ref.qualifier or LATEST


@final
class EventConfigs:
    """The records of all functions."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._found: dict[tuple[str, str], EventConfig | None] = {}
        records.watch(EVENTS, self._changed)

    def find(self, ref: FunctionRef) -> EventConfig | None:
        """Find that of a function's qualifier."""
        place = (ref.account, _key(ref))
        if place not in self._found:
            if len(self._found) >= _ENTRIES:
                self._found.pop(next(iter(self._found)))
            record = self._records.get(ref.account, EVENTS, place[1])
            self._found[place] = _decode(record.value) if record else None
        return self._found[place]

    def page(
        self, ref: FunctionRef, *, after: str, limit: int
    ) -> Sequence[tuple[str, EventConfig]]:
        """List those of a function by qualifier, past one."""
        prefix = f"{function_key(ref)}/"
        found = self._records.scan(
            ref.account,
            EVENTS,
            prefix=prefix,
            after=prefix + after if after else "",
            limit=limit,
        )
        return [(r.key.removeprefix(prefix), _decode(r.value)) for r in found]

    async def put(
        self, ref: FunctionRef, config: EventConfig, before: EventConfig | None
    ) -> None:
        """Write one over what there was.  Raises Conflict if that has changed."""
        account, key = ref.account, _key(ref)
        record = self._records.get(account, EVENTS, key)
        if (_decode(record.value) if record else None) != before:
            raise busy(ref.arn)
        put = Put(
            account=account,
            table=EVENTS,
            key=key,
            value=_encode(config),
            expected=record.revision if record else 0,
        )
        with translated():
            try:
                await self._records.commit(put)
            except RevisionConflictError as lost:
                raise busy(ref.arn) from lost

    async def remove(self, ref: FunctionRef) -> None:
        """Remove one."""
        with translated():
            await self._records.commit(
                Delete(account=ref.account, table=EVENTS, key=_key(ref))
            )

    def _changed(self, account: str, key: str) -> None:
        self._found.pop((account, key), None)


_ENTRIES: Final = 20_000
"""Answers kept, also that there is none; beyond that the oldest goes."""


def _key(ref: FunctionRef) -> str:
    return f"{function_key(ref)}/{qualifier_of(ref)}"
