"""Lists in pages, under opaque markers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

from casemate.core.call import Admitted
from casemate.seal.token import TokenError, Tokens
from casemate.services.lambda_.parameters import integer, text
from casemate.services.lambda_.refusals import invalid

PAGE: Final = 50
"""Items of one answer: AWS gives at most that many, whatever is asked for."""

_MOST: Final = 10_000


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    """
    The pages of one list, as one call asks for them.

    operation: `lambda:Name`.  query: what must stay the same from page to page.
    account: whose list it is.
    """

    tokens: Tokens
    account: str
    operation: str
    query: bytes

    def after(self, call: Admitted) -> str:
        """Give the position past which the page begins; empty for the first."""
        marker = text(call.parameters, "Marker")
        if not marker:
            return ""
        try:
            position = self.tokens.open(
                self.account, self.operation, self.query, marker
            )
        except TokenError as cause:
            raise invalid(
                "`Marker` was not given for this account and this query"
            ) from cause
        return position.decode()

    def next(self, position: str) -> str:
        """Make the marker of the page past a position."""
        return self.tokens.seal(
            self.account, self.operation, self.query, position.encode()
        )


def size(call: Admitted) -> int:
    """Say how many items the page may have.  Raises Invalid."""
    asked = integer(call.parameters, "MaxItems")
    if asked is not None and not 1 <= asked <= _MOST:
        raise invalid(f"`MaxItems` must be from 1 to {_MOST}")
    return min(asked or PAGE, PAGE)
