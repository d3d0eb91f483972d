"""Data keys: made here, wrapped for a context, never stored here."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Self

from casemate_keyholder.refusal import RefusedError
from casemate_keyholder.root import KEY_BYTES, Root, SealBrokenError, Sealer


@dataclass(frozen=True, slots=True, kw_only=True)
class DataKeys:
    """Wraps AES-256 keys under a subkey, the context as associated data."""

    sealer: Sealer

    @classmethod
    def under(cls, root: Root) -> Self:
        """Take the subkey of this purpose."""
        return cls(sealer=root.sealer("data keys"))

    def new(self, context: str) -> tuple[bytes, bytes]:
        """Make a key: its wrapping, and its 32 bytes."""
        plaintext = secrets.token_bytes(KEY_BYTES)
        return self.sealer.seal(plaintext, context), plaintext

    def open(self, context: str, wrapped: bytes) -> bytes:
        """Unwrap a key.  Raises RefusedError: another context, key, or altered."""
        try:
            return self.sealer.open(wrapped, context)
        except SealBrokenError:
            raise RefusedError(
                "WrongContext", "the wrapped key was not made here for this context"
            ) from None
