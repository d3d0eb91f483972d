"""What this service needs of its neighbours; the composer hands it in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Accounts(Protocol):
    """The accounts of this platform."""

    def all(self) -> Sequence[str]:
        """List the accounts' ids."""
        ...


class LogLine(Protocol):
    """One line of a function's log.  at: epoch milliseconds."""

    @property
    def at(self) -> int: ...
    @property
    def text(self) -> str: ...
    @property
    def platform(self) -> bool: ...
