"""
The node's certificates: asked of the keyholder, renewed before they end.

One context for the world (edge) and one for cells; a new leaf is put into the
context that is in use, so connections under way keep theirs.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from typing import Final, Protocol, final

from casemate.core.clock import Clock
from casemate.seal.keyholder import KeyholderError

_EARLY: Final = 7 * 86_400.0
_LOOK: Final = 3600.0


class Leaf(Protocol):
    """A certificate chain and its key, PEM; not_after: epoch seconds."""

    @property
    def certificate_chain(self) -> str: ...
    @property
    def private_key(self) -> str: ...
    @property
    def not_after(self) -> float: ...


class Issuer(Protocol):
    """Issues leaves: the keyholder."""

    async def leaf(self, authority: str, names: Sequence[str]) -> Leaf: ...


Make = Callable[[str, str], ssl.SSLContext]
"""Makes a server's context from a chain and a key."""

Load = Callable[[ssl.SSLContext, str, str], None]
"""Puts a chain and a key into a context that is in use."""


@final
class Certificate:
    """One name's certificate, always fresh."""

    def __init__(
        self,
        issuer: Issuer,
        *,
        authority: str,
        names: Sequence[str],
        make: Make,
        load: Load,
        clock: Clock,
    ) -> None:
        self._issuer = issuer
        self._authority = authority
        self._names = tuple(names)
        self._make = make
        self._load = load
        self._clock = clock
        self._not_after = 0.0

    async def issue(self) -> ssl.SSLContext:
        """Ask for the first leaf and make the context of a server with it."""
        leaf = await self._issuer.leaf(self._authority, self._names)
        self._not_after = leaf.not_after
        return self._make(leaf.certificate_chain, leaf.private_key)

    async def keep(self, context: ssl.SSLContext) -> None:
        """Renew for ever, a week before the end; handshakes from then on use it."""
        while True:
            await asyncio.sleep(_LOOK)
            if self._clock.now() <= self._not_after - _EARLY:
                continue
            try:
                leaf = await self._issuer.leaf(self._authority, self._names)
            except KeyholderError:
                # Asked again in an hour: there is a week for it, and a task that
                # ended here would let the certificate run out.
                continue
            self._load(context, leaf.certificate_chain, leaf.private_key)
            self._not_after = leaf.not_after
