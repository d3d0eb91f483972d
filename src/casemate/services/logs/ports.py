"""What this service needs of its neighbours; the composer hands it in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Accounts(Protocol):
    """The accounts of this platform."""

    def all(self) -> Sequence[str]:
        """List the accounts' ids."""
        ...


class Tokens(Protocol):
    """
    Pagination tokens that their bearer can neither read nor change.

    operation: `logs:GetLogEvents`.  query: canonical bytes of what must stay
    the same from page to page.
    """

    def seal(
        self, account: str, operation: str, query: bytes, position: bytes, /
    ) -> str:
        """Make a token for the page after a position."""
        ...

    def open(
        self, account: str, operation: str, query: bytes, token: str, /
    ) -> bytes | None:
        """Give the position back; None if the token is of anything else."""
        ...


class LogLine(Protocol):
    """One line of a function's log.  at: epoch milliseconds."""

    @property
    def at(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def platform(self) -> bool: ...
