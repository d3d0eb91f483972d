"""What this service needs of its neighbours; the composer hands it in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

NewId = Callable[[], str]
"""Makes an id that was never made before, unpredictable."""


class Accounts(Protocol):
    """The accounts of this platform."""

    def all(self) -> Sequence[str]:
        """List the accounts' ids."""
        ...
