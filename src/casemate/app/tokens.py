"""Pagination tokens, sealed under a key of the node's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from casemate.core.clock import Clock
from casemate.seal import token
from casemate.seal.envelope import Envelope


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """Seals positions for those who list; `open` raises TokenError."""

    key: bytes
    envelope: Envelope
    clock: Clock

    def seal(
        self, account: str, operation: str, query: bytes, position: bytes, /
    ) -> str:
        """Make a token for the page after a position."""
        return token.seal_token(
            self.key,
            account,
            operation,
            query,
            position,
            envelope=self.envelope,
            now=self.clock.now(),
        )

    def open(self, account: str, operation: str, query: bytes, given: str, /) -> bytes:
        """Give the position back."""
        return token.open_token(
            self.key,
            account,
            operation,
            query,
            given,
            envelope=self.envelope,
            now=self.clock.now(),
        )


@final
@dataclass(frozen=True, slots=True)
class LenientTokens:
    """The same, for those who take None for a token of something else."""

    tokens: Tokens

    def seal(
        self, account: str, operation: str, query: bytes, position: bytes, /
    ) -> str:
        """Make a token for the page after a position."""
        return self.tokens.seal(account, operation, query, position)

    def open(
        self, account: str, operation: str, query: bytes, given: str, /
    ) -> bytes | None:
        """Give the position back, or None."""
        try:
            return self.tokens.open(account, operation, query, given)
        except token.TokenError:
            return None
