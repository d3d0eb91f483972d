"""
What IAM keeps.

Times are seconds since the epoch.  Documents are JSON text as it was given.
"""

from __future__ import annotations

from typing import Literal, TypeVar

import msgspec


class Entity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What a user and a role have in common.

    id: `AIDA…` or `AROA…`.  inline: documents by policy name, in the order in
    which they were first put.  attached: ARNs of managed policies.  boundary:
    the ARN of the permissions boundary, or empty.
    """

    account: str
    name: str
    path: str
    id: str
    created: float
    inline: dict[str, str] = {}
    attached: tuple[str, ...] = ()
    boundary: str = ""
    tags: dict[str, str] = {}


class AccessKeyRecord(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """An access key of a user.  Its secret is the keyholder's to derive."""

    id: str
    created: float
    active: bool = True


class User(Entity, frozen=True, kw_only=True, tag="user"):
    """A user: an identity with long-lived access keys."""

    keys: tuple[AccessKeyRecord, ...] = ()

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:user{self.path}{self.name}"


class Role(Entity, frozen=True, kw_only=True, tag="role"):
    """
    A role: an identity that others assume.

    trust: the policy that says who may, as it was given.  bindings: the unique
    id behind each principal ARN that the trust policy names, as of when it was
    stored; empty where there was none.  max_session: seconds.
    """

    trust: str
    bindings: dict[str, str] = {}
    max_session: int = 3600
    description: str = ""

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:role{self.path}{self.name}"


class Version(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version of a managed policy; number counts from 1 and is never reused."""

    number: int
    document: str
    created: float

    @property
    def id(self) -> str:
        return f"v{self.number}"


class ManagedPolicy(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True
):
    """
    A managed policy with its versions, oldest first.

    account: `aws` for those that AWS gives.  default, latest: version numbers.
    """

    account: str
    name: str
    path: str
    id: str
    created: float
    updated: float
    default: int
    latest: int
    versions: tuple[Version, ...]
    description: str = ""
    tags: dict[str, str] = {}

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account}:policy{self.path}{self.name}"

    @property
    def default_version(self) -> Version:
        return next(v for v in self.versions if v.number == self.default)


class Usage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a managed policy is attached, and is a boundary, in an account."""

    attachments: int = 0
    boundaries: int = 0


class Use(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One use of a managed policy: by whom (name and path), and as what."""

    kind: Literal["user", "role"]
    name: str
    attached: bool = False
    boundary: bool = False


class Census(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many things an account has, to hold against its quotas."""

    users: int = 0
    roles: int = 0
    policies: int = 0


class Holder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose a unique id or an access key is: the way back from an id to a name."""

    account: str
    kind: Literal["user", "role"]
    name: str


Value = TypeVar("Value", bound=msgspec.Struct)
Identity_ = TypeVar("Identity_", User, Role)
