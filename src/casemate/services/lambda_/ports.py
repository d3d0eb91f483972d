"""What this service needs of its neighbours; the composer hands it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from casemate.core.function import Invocation, InvocationResult

NewId = Callable[[], str]
"""Makes a UUID in its text form, unpredictable."""


class Runtimes(Protocol):
    """The registry of what this node can run."""

    def available(self) -> tuple[str, ...]:
        """Name the runtimes that are there, in order."""
        ...


class RoleView(Protocol):
    """A role that a function may run as."""

    @property
    def arn(self) -> str: ...
    @property
    def id(self) -> str: ...


class Roles(Protocol):
    """The roles of all accounts."""

    def trusts(self, role_arn: str, service: str, /) -> RoleView | None:
        """Give the role if it exists and its trust lets the service assume it."""
        ...


class Unpacked(Protocol):
    """A package that was read whole: files in it, and their bytes."""

    @property
    def files(self) -> int: ...
    @property
    def bytes(self) -> int: ...


class Packages(Protocol):
    """Reads packages where they can do no harm."""

    async def check(
        self, account: str, runtime: str, package: bytes, sha256: str, /
    ) -> Unpacked:
        """
        Unpack a zip in a workshop cell, by the runtime's own interpreter.

        sha256: its lower-case hex digest.  Raises `Invalid` with the reason if
        the package is bad, another Refusal if the platform cannot look.
        """
        ...


class Run(Protocol):
    """The cells."""

    async def run(self, invocation: Invocation, /) -> InvocationResult:
        """Run one event; raises a Refusal when there is no room or no cell."""
        ...

    async def retire(self, arn: str, /, *, keep: str | None = None) -> None:
        """
        End the cells of a function once they are idle.

        arn: unqualified.  keep: the revision whose cells stay; None for none.
        """
        ...


class Tokens(Protocol):
    """
    Pagination tokens that their bearer can neither read nor change.

    operation: `lambda:ListFunctions`.  query: canonical bytes of what must stay
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
