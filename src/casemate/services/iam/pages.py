"""
Lists in pages, with markers that nobody but the platform can make or read.

A marker is bound to the account, the operation and the query; brought to
another, it is no marker.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

import msgspec

from casemate.core.call import Admitted
from casemate.core.errors import Invalid
from casemate.seal.token import TokenError, Tokens

DEFAULT_ITEMS = 100
MOST_ITEMS = 1000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[Item]):
    """Some items of a list, and the marker of the next page, if there is one."""

    items: list[Item]
    marker: str | None

    def members(self) -> dict[str, object]:
        """Write the output members that every list has."""
        if self.marker is None:
            return {"IsTruncated": False}
        return {"IsTruncated": True, "Marker": self.marker}


@dataclass(frozen=True, slots=True)
class Pages:
    """Cuts lists into pages."""

    tokens: Tokens

    def cut(
        self, call: Admitted, rows: Callable[[str], Iterable[tuple[str, Item]]]
    ) -> Page[Item]:
        """
        Give the page that the call asks for.

        rows: gives keys and items past a position, in the order of keys.
        Raises Invalid.
        """
        most = _most(call.parameters.get("MaxItems"))
        taken = list(islice(rows(self._position(call)), most + 1))
        marker = None
        if len(taken) > most:
            taken = taken[:most]
            marker = self.tokens.seal(*_bound(call), taken[-1][0].encode())
        return Page(items=[item for _, item in taken], marker=marker)

    def _position(self, call: Admitted) -> str:
        marker = call.parameters.get("Marker")
        if not marker:
            return ""
        try:
            return self.tokens.open(*_bound(call), str(marker)).decode()
        except TokenError as cause:
            raise Invalid(
                "the marker was not given for this query; start from the first page",
                code="ValidationError",
            ) from cause


def _bound(call: Admitted) -> tuple[str, str, bytes]:
    query = {
        member: value
        for member, value in call.parameters.items()
        if member not in ("Marker", "MaxItems")
    }
    return (
        call.principal.account,
        f"iam:{call.arrival.operation.name}",
        msgspec.json.encode(query, order="sorted"),
    )


def _most(given: object) -> int:
    if given is None:
        return DEFAULT_ITEMS
    if not isinstance(given, int) or not 1 <= given <= MOST_ITEMS:
        raise Invalid(
            f"`MaxItems` must be between 1 and {MOST_ITEMS}", code="ValidationError"
        )
    return given


def after(
    rows: Iterable[tuple[str, Item]],
) -> Callable[[str], Iterable[tuple[str, Item]]]:
    """Serve a list that is at hand from past a position, in the order of keys."""
    ordered = sorted(rows, key=lambda row: row[0])
    return lambda position: (row for row in ordered if row[0] > position)
