"""
Signed statements about the audit chain: so many entries, ending in this hash.

The keyholder makes them; here they are only verified.  The statement travels as
the exact bytes that were signed, so that nobody has to make them again: JSON
with `type` `casemate-checkpoint-1`, `count`, `head` (64 hex digits) and `at`
(epoch seconds); further members are signed with it and not looked at.
"""

from __future__ import annotations

import binascii
import json
import math
from dataclasses import dataclass
from typing import final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

TYPE = "casemate-checkpoint-1"
_HEAD = 32
_LONGEST = 4096


class CheckpointError(ValueError):
    """The bytes are not a checkpoint that this key has signed."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint as kept and sent, nothing in it believed.  signature: 64 bytes."""

    statement: bytes
    signature: bytes


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """
    What a checkpoint says, proven.  Only `read_checkpoint` makes one.

    count: entries of the chain; head: hash of the last (32 bytes).
    at: the signer's epoch milliseconds.
    """

    count: int
    head: bytes
    at: int


def audit_key(pem: str) -> Ed25519PublicKey:
    """Read the public key that signs checkpoints.  Raises ValueError."""
    key = load_pem_public_key(pem.encode())
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("the audit key is not an Ed25519 key")  # noqa: TRY004 — the text is wrong, not its type
    return key


def read_checkpoint(checkpoint: Checkpoint, key: Ed25519PublicKey) -> Statement:
    """
    Prove and read a checkpoint.  Raises CheckpointError.

    (1) The signature holds over the very bytes of the statement.
    (2) The statement is one of this type, whole, with values in range.
    """
    # (1): before anything is parsed
    try:
        key.verify(checkpoint.signature, checkpoint.statement)
    except InvalidSignature:
        raise CheckpointError("its signature is not the audit key's") from None
    # (2): whole and in range
    said = _parsed(checkpoint.statement)
    count, head, at = said.get("count"), said.get("head"), said.get("at")
    if said.get("type") != TYPE or type(count) is not int or count < 0:
        raise CheckpointError("it is not a checkpoint's statement")
    if not isinstance(at, int | float) or not math.isfinite(at):
        raise CheckpointError("its time is no time")
    return Statement(count=count, head=_hash(head), at=round(at * 1000))


def _parsed(statement: bytes) -> dict[str, object]:
    if len(statement) > _LONGEST:
        raise CheckpointError("it is longer than a checkpoint's statement")
    try:
        said = json.loads(statement)
    except (ValueError, RecursionError):
        raise CheckpointError("it is not JSON") from None
    if not isinstance(said, dict):
        raise CheckpointError("it is not a checkpoint's statement")
    return said


def _hash(head: object) -> bytes:
    try:
        value = bytes.fromhex(head) if isinstance(head, str) else b""
    except (ValueError, binascii.Error):
        value = b""
    if len(value) != _HEAD:
        raise CheckpointError("its head is not a hash")
    return value
