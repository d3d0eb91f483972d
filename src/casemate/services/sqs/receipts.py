"""
Receipt handles: proofs of one receive of one message of one queue.

A handle is a lease of the substrate, sealed for the queue: its bearer can
neither read nor make one, and in another queue it is no handle at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from casemate.seal.token import TokenError, Tokens
from casemate.services.sqs.model import Queue, QueueRef
from casemate.services.sqs.refusals import bad_receipt

_PURPOSE: Final = "sqs:ReceiptHandle"


@dataclass(frozen=True, slots=True)
class Receipts:
    """Makes and reads handles."""

    tokens: Tokens

    def give(self, ref: QueueRef, queue: Queue, lease: str) -> str:
        """Make the handle of a lease."""
        query = queue.id.encode()
        return self.tokens.seal(ref.account, _PURPOSE, query, bytes.fromhex(lease))

    def read(self, ref: QueueRef, queue: Queue, handle: str) -> str:
        """Give the lease of a handle.  Raises Invalid."""
        query = queue.id.encode()
        try:
            lease = self.tokens.open(ref.account, _PURPOSE, query, handle)
        except TokenError as cause:
            raise bad_receipt() from cause
        return lease.hex()
