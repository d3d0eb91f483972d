"""
What a session token says: who assumed which role, and how far it narrows.

The keyholder seals these claims into the token and gives them back once the
token is proven.  `sts` writes them, `authn` reads them, and the sandbox writes
them for a cell; so the form stands here, once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from casemate.core.arn import Arn, NotAnArnError, is_account


class ClaimsError(ValueError):
    """The claims are not those of a session."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClaims:
    """
    A session of a role.

    role_id: the role's unique id (`AROA…`); a role that is re-created under
    the same name has another, and the session is void.
    session_policies: policy documents as JSON text; they only narrow.
    cell: the id of the one cell in which the credentials are good, or None.
    issued_at: seconds since the epoch.  tags: session tags.
    source_identity: empty if there is none.
    """

    account: str
    role_arn: str
    role_id: str
    session_name: str
    issued_at: float
    session_policies: tuple[str, ...] = ()
    cell: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    source_identity: str = ""

    @property
    def role_name(self) -> str:
        """Give the role's name: the last part of its ARN's path."""
        return self.role_arn.rpartition("/")[2]

    @property
    def arn(self) -> str:
        """Give the ARN of the session as a caller."""
        return (
            f"arn:aws:sts::{self.account}:assumed-role"
            f"/{self.role_name}/{self.session_name}"
        )

    @property
    def id(self) -> str:
        """Give the unique id of the session as a caller: `AROA…:SESSION`."""
        return f"{self.role_id}:{self.session_name}"

    def to_json(self) -> dict[str, object]:
        """Write the claims as a JSON object."""
        return {
            "account": self.account,
            "role_arn": self.role_arn,
            "role_id": self.role_id,
            "session_name": self.session_name,
            "issued_at": self.issued_at,
            "session_policies": list(self.session_policies),
            "cell": self.cell,
            "tags": dict(self.tags),
            "source_identity": self.source_identity,
        }

    @classmethod
    def from_json(cls, claims: Mapping[str, object]) -> SessionClaims:
        """
        Read the claims from a JSON object.

        Every member must be there, of its type, and no other.  Raises
        ClaimsError.
        """
        if claims.keys() != cls.__dataclass_fields__.keys():
            raise ClaimsError("the members are not those of a session's claims")
        read = cls(
            account=_text(claims, "account"),
            role_arn=_text(claims, "role_arn"),
            role_id=_text(claims, "role_id"),
            session_name=_text(claims, "session_name"),
            issued_at=_number(claims, "issued_at"),
            session_policies=_texts(claims, "session_policies"),
            cell=None if claims["cell"] is None else _text(claims, "cell"),
            tags=_tags(claims, "tags"),
            source_identity=_text(claims, "source_identity", empty=True),
        )
        _coherent(read)
        return read


def _coherent(claims: SessionClaims) -> None:
    try:
        role = Arn.parse(claims.role_arn)
    except NotAnArnError as cause:
        raise ClaimsError("`role_arn` is not an ARN") from cause
    if not (
        is_account(claims.account)
        and (role.service, role.region, role.account) == ("iam", "", claims.account)
        and role.resource.startswith("role/")
        and claims.role_id.startswith("AROA")
    ):
        raise ClaimsError("the role is not one of the session's account")


def _text(claims: Mapping[str, object], name: str, *, empty: bool = False) -> str:
    value = claims[name]
    if not isinstance(value, str) or not (value or empty):
        raise ClaimsError(f"`{name}` is not text")
    return value


def _number(claims: Mapping[str, object], name: str) -> float:
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ClaimsError(f"`{name}` is not a number")
    return float(value)


def _texts(claims: Mapping[str, object], name: str) -> tuple[str, ...]:
    values = claims[name]
    if not isinstance(values, list) or not all(isinstance(v, str) for v in values):
        raise ClaimsError(f"`{name}` is not a list of texts")
    return tuple(values)


def _tags(claims: Mapping[str, object], name: str) -> dict[str, str]:
    values = claims[name]
    if not isinstance(values, dict) or not all(
        isinstance(k, str) and isinstance(v, str) for k, v in values.items()
    ):
        raise ClaimsError(f"`{name}` is not a mapping of texts")
    return dict(values)
