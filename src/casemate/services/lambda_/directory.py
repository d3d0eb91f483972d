"""
Functions as the hot path needs them: compiled once, found by a dictionary.

An entry is dropped the moment a commit touches its record, so what is served
is never older than the last commit that was acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from casemate.core.arn import Arn
from casemate.core.function import FunctionVersion
from casemate.services.lambda_.facts import ResourceFacts
from casemate.services.lambda_.model import Function, version_of
from casemate.services.lambda_.names import FunctionRef, refer_arn
from casemate.services.lambda_.policy import compiled
from casemate.services.lambda_.store import FUNCTIONS, Store
from casemate.substrate.ports import Records

_ENTRIES: Final = 20_000
"""Entries kept; beyond that the one that came first goes."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """A function, and what was made of it.  version: None until it was Active."""

    function: Function
    version: FunctionVersion | None
    facts: ResourceFacts


class Directory:
    """Finds functions."""

    def __init__(self, records: Records, store: Store) -> None:
        self._store = store
        self._entries: dict[tuple[str, str, str], Deployed] = {}
        records.watch(FUNCTIONS, self._changed)

    def find(self, ref: FunctionRef) -> Deployed | None:
        """Find a function, whatever the qualifier says."""
        found = self._entries.get((ref.account, ref.region, ref.name))
        return found or self._load(ref)

    def resource_facts(self, arn: Arn) -> ResourceFacts | None:
        """Give the facts of the function that an ARN names, or None."""
        ref = refer_arn(arn)
        found = self.find(ref) if ref else None
        return found.facts if found else None

    def _load(self, ref: FunctionRef) -> Deployed | None:
        function = self._store.read(ref)
        if function is None:
            return None
        deployed = Deployed(
            function=function,
            version=version_of(function),
            facts=ResourceFacts(policies=compiled(function), tags=function.tags),
        )
        if len(self._entries) >= _ENTRIES:
            self._entries.pop(next(iter(self._entries)))
        self._entries[ref.account, ref.region, ref.name] = deployed
        return deployed

    def _changed(self, account: str, key: str) -> None:
        region, _, name = key.partition("/")
        self._entries.pop((account, region, name), None)
