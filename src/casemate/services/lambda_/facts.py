"""What a function tells the authz room about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from casemate.policy.iam import Policy


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFacts:
    """
    The facts of a resource.

    policies: its resource policies, compiled.  required: whether they must
    allow even within the account; for functions never.  tags: for
    `aws:ResourceTag/…`.
    """

    policies: tuple[Policy, ...] = ()
    required: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
