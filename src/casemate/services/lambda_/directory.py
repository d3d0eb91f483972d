"""
Functions as the hot path needs them: compiled once, found by a dictionary.

An entry is dropped the moment a commit touches its function's record, which
every change of a version or an alias does as well, so what is served is never
older than the last commit that was acknowledged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from casemate.core.arn import Arn
from casemate.core.function import FunctionVersion, Residue
from casemate.services.lambda_ import layer_policy
from casemate.services.lambda_.changes import FUNCTIONS
from casemate.services.lambda_.facts import ResourceFacts
from casemate.services.lambda_.idempotency.policy import Plan, planned, tagged
from casemate.services.lambda_.layer_model import is_layer, refer_version
from casemate.services.lambda_.layer_store import LayerStore
from casemate.services.lambda_.model import (
    Alias,
    Configuration,
    Function,
    Holder,
    Version,
    runnable,
)
from casemate.services.lambda_.names import LATEST, FunctionRef, refer_arn
from casemate.services.lambda_.policy import compiled, taken_events
from casemate.services.lambda_.state import Life
from casemate.services.lambda_.store import Store
from casemate.substrate.ports import Records

_ENTRIES: Final = 20_000
"""Functions kept; beyond that the one that came first goes."""

_QUALIFIERS: Final = 100
"""Qualifiers kept of one function; beyond that the one that came first goes."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """
    A function under one qualifier, and what was made of it.

    published, alias: what the qualifier names, if it names one; of an alias,
    published is the version that it leads to first.  life: of what is named.
    version: None until it was Active.  second: what gets `weight` of the
    invocations in its place.  once: the function's policy on idempotency; None
    for none.
    """

    function: Function
    life: Life
    version: FunctionVersion | None
    facts: ResourceFacts
    published: Version | None = None
    alias: Alias | None = None
    second: FunctionVersion | None = None
    weight: float = 0.0
    once: Plan | None = None

    @property
    def configuration(self) -> Configuration:
        """Give how it runs; of an alias, the version that it leads to first."""
        build = self.published.build if self.published else self.function.wanted
        return build.configuration

    @property
    def holder(self) -> Holder:
        """Give what a policy under this qualifier is on."""
        return self.alias or self.published or self.function


class Directory:
    """Finds functions."""

    def __init__(self, records: Records, store: Store, layers: LayerStore) -> None:
        self._store = store
        self._layers = layers
        self._entries: dict[tuple[str, str, str], dict[str, Deployed]] = {}
        records.watch(FUNCTIONS, self._changed)

    def find(self, ref: FunctionRef) -> Deployed | None:
        """Find what a reference names; None if there is no such qualifier either."""
        found = self._entries.get((ref.account, ref.region, ref.name))
        if found is not None:
            deployed = found.get(ref.qualifier)
            if deployed is not None:
                return deployed
        return self._load(ref)

    def resource_facts(self, arn: Arn) -> ResourceFacts | None:
        """
        Give the facts of what an ARN names, or None.

        A policy is of its qualifier alone, tags are of the function: under a
        qualifier that is not there nobody is let in.
        """
        if is_layer(arn):
            return self._layer_facts(arn)
        ref = refer_arn(arn)
        if ref is None:
            return None
        found = self.find(ref)
        if found is not None:
            return found.facts
        whole = self.find(ref.whole)
        return ResourceFacts(tags=whole.function.tags) if whole else None

    def _layer_facts(self, arn: Arn) -> ResourceFacts | None:
        ref = refer_version(str(arn))
        version = self._layers.version(ref) if ref else None
        return (
            ResourceFacts(policies=layer_policy.compiled(version)) if version else None
        )

    def _load(self, ref: FunctionRef) -> Deployed | None:
        function = self._store.read(ref)
        if function is None:
            return None
        deployed = self._deployed(function, ref.qualifier)
        if deployed is None:
            return None
        found = self._kept(ref)
        if len(found) >= _QUALIFIERS:
            del found[next(iter(found))]
        found[ref.qualifier] = deployed
        return deployed

    def _kept(self, ref: FunctionRef) -> dict[str, Deployed]:
        place = (ref.account, ref.region, ref.name)
        found = self._entries.get(place)
        if found is None:
            if len(self._entries) >= _ENTRIES:
                del self._entries[next(iter(self._entries))]
            found = self._entries[place] = {}
        return found

    def _deployed(self, function: Function, qualifier: str) -> Deployed | None:
        if qualifier in ("", LATEST):
            # The policy's statements name the unqualified ARN, so they do not
            # speak of `:$LATEST`, here as on AWS.
            return Deployed(
                function=function,
                life=function.life,
                version=self._runnable(function),
                facts=_facts(function, function),
                once=plan(function),
            )
        if published := self._store.version(function.ref, qualifier):
            return Deployed(
                function=function,
                life=published.life,
                version=self._runnable(published),
                facts=_facts(function, published),
                published=published,
                once=plan(function),
            )
        alias = self._store.alias(function.ref, qualifier)
        return self._aliased(function, alias) if alias else None

    def _aliased(self, function: Function, alias: Alias) -> Deployed | None:
        first = self._deployed(function, alias.version)
        second = self._deployed(function, alias.second) if alias.second else None
        if first is None:
            return None  # no commit takes a version that an alias leads to
        return Deployed(
            function=function,
            life=first.life,
            version=first.version,
            facts=_facts(function, alias),
            published=first.published,
            alias=alias,
            second=second.version if second else None,
            weight=alias.weight if second else 0.0,
            once=first.once,
        )

    def _runnable(self, shown: Function | Version) -> FunctionVersion | None:
        # Calls that have places of their own do not wait behind those that share.
        is_reserved = self._store.reserved(shown.ref) is not None
        residual = self._store.residual(shown.ref)
        return runnable(
            shown,
            line=shown.name if is_reserved else "",
            residue=residual.residue if residual else Residue.KEEP,
        )

    def _changed(self, account: str, key: str) -> None:
        region, _, name = key.partition("/")
        self._entries.pop((account, region, name), None)


def plan(function: Function) -> Plan | None:
    """Give the policy on idempotency that is in force: put, or said by tags."""
    policy = function.idempotency or tagged(function.tags)
    return planned(policy) if policy else None


def _facts(function: Function, holder: Holder) -> ResourceFacts:
    return ResourceFacts(
        policies=(*compiled(holder), taken_events(function)), tags=function.tags
    )
