"""
Users and roles alike: finding them, keeping them, and what uses a policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import msgspec

from casemate.core.call import Admitted
from casemate.core.errors import Invalid
from casemate.services.iam import refusals, store
from casemate.services.iam.given import GIVEN, PREFIX
from casemate.services.iam.model import (
    Holder,
    ManagedPolicy,
    Role,
    Usage,
    Use,
    User,
)
from casemate.services.iam.names import text
from casemate.services.iam.store import Draft, Reader
from casemate.services.iam.targets import unmoved, user_name

KEPT_ROLE = "casemate-administrator"
"""The role by which `casemate env` enters an account.  It is the platform's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sort:
    """What differs between users and roles; sizes in characters."""

    kind: Literal["user", "role"]
    member: str
    inline_limit: int
    attached_limit: int


USER = Sort(kind="user", member="UserName", inline_limit=2_048, attached_limit=10)
ROLE = Sort(kind="role", member="RoleName", inline_limit=10_240, attached_limit=10)


def find_user(call: Admitted, reader: Reader) -> User:
    """Give the user that a call is about.  Raises NotFound, Invalid."""
    name = user_name(call.parameters, call.scope)
    if not name:
        raise Invalid(
            "Must specify userName when calling with non-User credentials",
            code="ValidationError",
        )
    user = reader.user(call.principal.account, name)
    if user is None:
        raise refusals.no_user(name)
    unmoved(call, user.arn)
    return user


def find_role(call: Admitted, reader: Reader) -> Role:
    """Give the role that a call is about.  Raises NotFound."""
    name = text(call.parameters, "RoleName")
    role = reader.role(call.principal.account, name)
    if role is None:
        raise refusals.no_role(name)
    unmoved(call, role.arn)
    return role


def find(call: Admitted, sort: Sort, reader: Reader) -> User | Role:
    """Give the user or role that a call is about.  Raises NotFound."""
    return find_user(call, reader) if sort is USER else find_role(call, reader)


def changeable(call: Admitted, sort: Sort, reader: Reader) -> User | Role:
    """Give it, if it may be changed.  Raises NotFound, Invalid."""
    return find_user(call, reader) if sort is USER else changeable_role(call, reader)


def changeable_role(call: Admitted, reader: Reader) -> Role:
    """Give a role, if it may be changed.  Raises NotFound, Invalid."""
    role = find_role(call, reader)
    if role.name == KEPT_ROLE:
        raise refusals.unmodifiable(
            f"the role `{KEPT_ROLE}` is the operator's way into the account and "
            "cannot be changed; make a role of your own"
        )
    return role


def keep(draft: Draft, entity: User | Role) -> None:
    """Write an entity back to its place."""
    place = store.users if isinstance(entity, User) else store.roles
    draft.write(place(entity.account, entity.name), entity)


def register(draft: Draft, entity: User | Role) -> None:
    """Note whose the unique id is."""
    kind = kind_of(entity)
    place = store.unique_id(entity.id)
    draft.read(place, Holder)
    draft.write(place, Holder(account=entity.account, kind=kind, name=entity.name))


def kind_of(entity: User | Role) -> Literal["user", "role"]:
    """Tell users and roles apart."""
    return "user" if isinstance(entity, User) else "role"


def find_policy(account: str, arn: str, reader: Reader) -> ManagedPolicy | None:
    """Find a managed policy that the account can use: its own, or AWS's."""
    if arn.startswith(PREFIX):
        return GIVEN.get(arn)
    return reader.policy(account, arn)


def usable_policy(account: str, arn: str, reader: Reader) -> ManagedPolicy:
    """Give it.  Raises NotFound, the same for another account's and for none."""
    found = find_policy(account, arn, reader)
    if found is None:
        raise refusals.no_policy(arn)
    return found


def book(
    draft: Draft,
    entity: User | Role,
    arn: str,
    *,
    attached: bool | None = None,
    boundary: bool | None = None,
) -> None:
    """Note that an entity begins or ceases to use a policy, and count it."""
    kind = kind_of(entity)
    place = store.use(entity.account, arn, kind, entity.name)
    before = draft.read(place, Use) or Use(kind=kind, name=entity.name)
    after = msgspec.structs.replace(
        before,
        attached=before.attached if attached is None else attached,
        boundary=before.boundary if boundary is None else boundary,
    )
    if after.attached or after.boundary:
        draft.write(place, after)
    else:
        draft.remove(place)
    counted = store.usage(entity.account, arn)
    usage = draft.read(counted, Usage) or Usage()
    draft.write(
        counted,
        Usage(
            attachments=usage.attachments + after.attached - before.attached,
            boundaries=usage.boundaries + after.boundary - before.boundary,
        ),
    )


def moment(at: float) -> datetime:
    """Write a time as AWS does: whole seconds, UTC."""
    return datetime.fromtimestamp(int(at), tz=UTC)


def boundary_of(entity: User | Role) -> dict[str, object]:
    """Write the member that tells the permissions boundary, if there is one."""
    if not entity.boundary:
        return {}
    return {
        "PermissionsBoundary": {
            "PermissionsBoundaryType": "Policy",
            "PermissionsBoundaryArn": entity.boundary,
        }
    }
