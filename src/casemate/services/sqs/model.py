"""What is kept of a queue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRef:
    """Which queue."""

    account: str
    region: str
    name: str

    @property
    def arn(self) -> str:
        return f"arn:aws:sqs:{self.region}:{self.account}:{self.name}"

    def url(self, base: str) -> str:
        """Give the queue's address below the base of an endpoint."""
        return f"{base}/{self.account}/{self.name}"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """Where messages go after so many receives.  target: an ARN."""

    target: str
    receives: int


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveAllow:
    """Which queues may have this one for their dead letters.  sources: ARNs."""

    permission: str
    sources: tuple[str, ...] = ()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """
    A queue.

    id: of its messages in the substrate; a queue made again under the name of
    one that was deleted has another, so it shows nothing of it and takes none of
    its receipt handles.  Times in epoch seconds, the others in seconds; size in
    bytes.  policy: JSON text, or empty.
    """

    id: str
    created_at: int
    modified_at: int
    visibility: int = 30
    delay: int = 0
    retention: int = 345_600
    size: int = 1_048_576
    wait: int = 0
    policy: str = ""
    redrive: Redrive | None = None
    redrive_allow: RedriveAllow | None = None
    purged_at: float = 0.0
    tags: Mapping[str, str] = field(default_factory=dict)
