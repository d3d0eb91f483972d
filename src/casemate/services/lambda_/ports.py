"""What this service needs of its neighbours; the composer hands it in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from casemate.core.event import AsyncEvent
from casemate.core.function import Invocation, InvocationResult

NewId = Callable[[], str]
"""Makes a UUID in its text form, unpredictable."""


Chance = Callable[[], float]
"""Draws a number from 0, which can come, to 1, which cannot; unpredictable."""


class Runtimes(Protocol):
    """The registry of what this node can run."""

    def runtimes(self) -> tuple[str, ...]:
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


class Rights(Protocol):
    """What roles may, by their own policies and those of the resource."""

    def may(self, role_arn: str, action: str, resource: str, /) -> bool:
        """Tell whether a session of a role may do something now."""
        ...


class Events(Protocol):
    """Takes asynchronous events."""

    async def accept(self, event: AsyncEvent, /) -> None:
        """Take one; return once it is durable.  Raises Throttled, Unavailable."""
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

    async def retire(
        self, arn: str, /, *, version: str | None = None, keep: str | None = None
    ) -> None:
        """
        End the cells of a function once they are idle.

        arn: unqualified.  version: whose cells, None for those of all.  keep:
        the revision whose cells stay; None for none.
        """
        ...
