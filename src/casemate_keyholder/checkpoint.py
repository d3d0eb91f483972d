"""
Checkpoints of the audit chain, signed once each.

A node that was rolled back (a restored disk, a cut tail) asks for a signature
over fewer records, or over as many with another head: both are refused, and
what was signed last survives a restart.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from casemate_keyholder.refusal import RefusedError
from casemate_keyholder.vault import Memory, Vault

_KEY = "audit.sealed"
_LAST = "checkpoint.sealed"
_NONE_YET: Memory = {"count": 0, "head": ""}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """
    A signed checkpoint.

    statement: the exact bytes signed, JSON with sorted keys `at`, `count`,
    `head`, `key_id`, `type`.  signature: 64 bytes, Ed25519.
    """

    statement: bytes
    signature: bytes
    key_id: str


def _make_key() -> Memory:
    raw = Ed25519PrivateKey.generate().private_bytes_raw()
    return {"private": base64.b64encode(raw).decode()}


@final
class Checkpoints:
    """Signs checkpoints that never go back."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        private = str(vault.load(_KEY, _make_key)["private"])
        self._key = Ed25519PrivateKey.from_private_bytes(base64.b64decode(private))
        self._last = vault.load(_LAST, lambda: _NONE_YET)
        raw = self._key.public_key().public_bytes_raw()
        self.key_id = "ed25519:" + hashlib.sha256(raw).hexdigest()[:16]

    def public_pem(self) -> str:
        """Give the public key, as PEM of its SubjectPublicKeyInfo."""
        return (
            self._key.public_key()
            .public_bytes(
                serialization.Encoding.PEM,
                serialization.PublicFormat.SubjectPublicKeyInfo,
            )
            .decode()
        )

    def sign(self, count: int, head: str, at: float) -> Checkpoint:
        """
        Sign that the chain has `count` records and ends in `head` (64 hex digits).

        at: the caller's time, signed as it is.  Raises RefusedError: RolledBack
        (fewer than signed before), Forked (as many, with another head).
        """
        last = self._last
        last_count = int(str(last["count"]))
        if count < last_count:
            raise RefusedError(
                "RolledBack",
                f"`{count}` records are fewer than the `{last_count}` signed before",
            )
        if count == last_count and last["head"] not in ("", head):
            raise RefusedError(
                "Forked", f"another head was signed for `{count}` records"
            )
        # Remembered before it is signed: a signature that nobody got costs
        # nothing, one that was forgotten could be given twice.
        memory = {"count": count, "head": head}
        if memory != last:
            self._vault.keep(_LAST, memory)
            self._last = memory
        signed = {
            "at": at,
            "count": count,
            "head": head,
            "key_id": self.key_id,
            "type": "casemate-checkpoint-1",
        }
        statement = json.dumps(signed, sort_keys=True, separators=(",", ":")).encode()
        return Checkpoint(
            statement=statement,
            signature=self._key.sign(statement),
            key_id=self.key_id,
        )
