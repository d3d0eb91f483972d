"""Who sends a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import final


class Kind(StrEnum):
    """What sort of identity a principal is."""

    USER = "IAMUser"
    SESSION = "AssumedRole"
    SERVICE = "AWSService"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """
    A proven identity.

    arn: of the user, or of the session
    (`arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`), or empty for a service.
    id: the unique id that survives no re-creation: `AIDA…`, `AROA…:SESSION`,
    or the service's name (`events.amazonaws.com`).
    role_arn: of a session, the role behind it.
    session_policies: inline policies given with AssumeRole, as JSON text; they
    only narrow.  cell: the cell in which these credentials are good, if bound.
    expires_at: seconds since the epoch.
    """

    kind: Kind
    account: str
    arn: str
    id: str
    name: str
    access_key_id: str = ""
    role_arn: str = ""
    session_name: str = ""
    session_policies: tuple[str, ...] = ()
    issued_at: float | None = None
    expires_at: float | None = None
    cell: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
