"""What a queue tells the authz room about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from casemate.policy.iam import Policy


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFacts:
    """
    The facts of a queue.

    policies: its policy, compiled.  required: whether it must allow even within
    the account; for queues never.  tags: for `aws:ResourceTag/…`.
    """

    policies: tuple[Policy, ...] = ()
    required: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
