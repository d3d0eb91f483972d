"""
Leading an alias back: what `casemate rollback` does, and what it says.

Without `--to`, an alias that is trying out a second version gets its first one
alone again; any other goes to the published version before the one that it
leads to.  The alias is changed only if it is still what was looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

from casemate.cli.api import client
from casemate.cli.terminal import clean

_LATEST = "$LATEST"


class NowhereError(Exception):
    """There is nothing to go back to; the text says why."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """
    A move of an alias to one version.

    weights: what it gave to a second version.  revision: of the alias that was
    looked at.
    """

    function: str
    alias: str
    version: str
    weights: dict[str, float]
    revision: str
    to: str

    @property
    def is_needed(self) -> bool:
        """Tell whether it changes anything."""
        return self.to != self.version or bool(self.weights)

    def told(self, *, done: bool) -> str:
        """Say it in one line."""
        what = f"alias `{self.alias}` of `{self.function}`"
        if not self.is_needed:
            return clean(f"{what} leads to version {self.to} already; nothing to do")
        verb = "now leads" if done else "would lead"
        return clean(f"{what} {verb} to version {self.to}; before: {self._before()}")

    def _before(self) -> str:
        second = [f"version {v} ({w:.4g} of calls)" for v, w in self.weights.items()]
        return ", ".join([f"version {self.version}", *second])


def plan(function: str, alias: str, to: str | None) -> Move:
    """Look at an alias and say where it goes.  Raises NowhereError."""
    told = client("lambda").get_alias(FunctionName=function, Name=alias)
    routing = told.get("RoutingConfig", {})
    version: str = told["FunctionVersion"]
    weights: dict[str, float] = routing.get("AdditionalVersionWeights", {})
    goal = to or (version if weights else _before(function, version))
    return Move(
        function=function,
        alias=alias,
        version=version,
        weights=weights,
        revision=told["RevisionId"],
        to=goal,
    )


def carry_out(move: Move) -> None:
    """Change the alias; it must not have been changed meanwhile."""
    client("lambda").update_alias(
        FunctionName=move.function,
        Name=move.alias,
        FunctionVersion=move.to,
        RoutingConfig={"AdditionalVersionWeights": {}},
        RevisionId=move.revision,
    )


def _before(function: str, version: str) -> str:
    """Name the published version before one; before `$LATEST`, the newest."""
    pages = client("lambda").get_paginator("list_versions_by_function")
    numbers = _numbers(pages.paginate(FunctionName=function))
    lower = [n for n in numbers if version == _LATEST or n < int(version)]
    if not lower:
        raise NowhereError(
            f"there is no published version before {clean(version)}; `--to VERSION` "
            "names another"
        )
    return str(max(lower))


def _numbers(pages: Any) -> list[int]:
    """Give the numbers of all published versions."""
    versions = [v["Version"] for page in pages for v in page["Versions"]]
    return [int(v) for v in versions if v != _LATEST]
