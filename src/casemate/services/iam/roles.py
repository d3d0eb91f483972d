"""Roles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from casemate.core.call import Admitted
from casemate.core.errors import Invalid
from casemate.core.operation import Parameters, operation
from casemate.policy.iam import Kind
from casemate.services.iam import refusals, store, trust
from casemate.services.iam.documents import sent, taken
from casemate.services.iam.holders import (
    KEPT_ROLE,
    book,
    boundary_of,
    changeable_role,
    find_role,
    keep,
    moment,
    register,
    usable_policy,
)
from casemate.services.iam.model import Holder, Role
from casemate.services.iam.names import (
    ROLE_NAME,
    Entropy,
    as_list,
    description,
    name,
    new_id,
    optional,
    path,
    tags,
)
from casemate.services.iam.pages import Page, Pages
from casemate.services.iam.store import Draft, Ledger, Reader
from casemate.services.iam.targets import (
    all_roles,
    creation,
    new_role,
    tagging,
    the_role,
)

QUOTA = 1_000
"""Roles of an account."""

SHORTEST, LONGEST = 3_600, 43_200
"""Bounds of MaxSessionDuration, in seconds."""


@dataclass(frozen=True, slots=True)
class Roles:
    """Creates, shows, changes and deletes roles."""

    ledger: Ledger
    pages: Pages
    entropy: Entropy

    @operation(
        "CreateRole",
        action="iam:CreateRole",
        resource=new_role,
        accepts=(
            "RoleName",
            "Path",
            "AssumeRolePolicyDocument",
            "Description",
            "MaxSessionDuration",
            "PermissionsBoundary",
            "Tags",
        ),
        needs=tagging("iam:TagRole", new_role),
        context=creation,
        mutates=True,
        errors=(
            "EntityAlreadyExists",
            "LimitExceeded",
            "MalformedPolicyDocument",
            "NoSuchEntity",
            "InvalidInput",
            "UnmodifiableEntity",
            "ConcurrentModification",
        ),
    )
    async def create(self, call: Admitted) -> Mapping[str, object]:
        given = call.parameters
        role = Role(
            account=call.principal.account,
            name=name(given, "RoleName", ROLE_NAME),
            path=path(given),
            id=new_id("AROA", self.entropy),
            created=call.arrival.at,
            boundary=optional(given, "PermissionsBoundary"),
            tags=tags(given),
            trust=taken(given, Kind.TRUST, member="AssumeRolePolicyDocument"),
            max_session=_duration(given) or SHORTEST,
            description=description(given),
        )
        if role.name.lower() == KEPT_ROLE:
            raise refusals.unmodifiable(f"the name `{KEPT_ROLE}` is the platform's")
        made = await self.ledger.change(role.account, lambda d: create_role(d, role))
        return {"Role": shown(made, self.ledger.reader, whole=True)}

    @operation(
        "GetRole",
        action="iam:GetRole",
        resource=the_role,
        accepts=("RoleName",),
        mutates=False,
        errors=("NoSuchEntity",),
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        reader = self.ledger.reader
        return {"Role": shown(find_role(call, reader), reader, whole=True)}

    @operation(
        "ListRoles",
        action="iam:ListRoles",
        resource=all_roles,
        accepts=("PathPrefix", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
    )
    async def all(self, call: Admitted) -> Mapping[str, object]:
        prefix = optional(call.parameters, "PathPrefix") or "/"
        reader = self.ledger.reader
        page = self.pages.cut(
            call,
            lambda after: (
                (key, role)
                for key, role in reader.walk(
                    call.principal.account, store.ROLES, Role, after=after
                )
                if role.path.startswith(prefix)
            ),
        )
        roles = [shown(role, reader, whole=False) for role in page.items]
        return {"Roles": roles, **page.members()}

    @operation(
        "UpdateRole",
        action="iam:UpdateRole",
        resource=the_role,
        accepts=("RoleName", "Description", "MaxSessionDuration"),
        mutates=True,
        errors=("NoSuchEntity", "UnmodifiableEntity", "ConcurrentModification"),
    )
    async def update(self, call: Admitted) -> Mapping[str, object]:
        def work(draft: Draft) -> None:
            role = changeable_role(call, draft)
            given = call.parameters
            changed = msgspec.structs.replace(
                role,
                description=description(given)
                if given.get("Description") is not None
                else role.description,
                max_session=_duration(given) or role.max_session,
            )
            keep(draft, changed)

        await self.ledger.change(call.principal.account, work)
        return {}

    @operation(
        "UpdateAssumeRolePolicy",
        action="iam:UpdateAssumeRolePolicy",
        resource=the_role,
        accepts=("RoleName", "PolicyDocument"),
        mutates=True,
        errors=(
            "NoSuchEntity",
            "MalformedPolicyDocument",
            "UnmodifiableEntity",
            "ConcurrentModification",
        ),
    )
    async def update_trust(self, call: Admitted) -> Mapping[str, object]:
        document = taken(call.parameters, Kind.TRUST)

        def work(draft: Draft) -> None:
            role = changeable_role(call, draft)
            bindings = trust.bind(document, role.account, draft)
            keep(
                draft, msgspec.structs.replace(role, trust=document, bindings=bindings)
            )

        await self.ledger.change(call.principal.account, work)
        return {}

    @operation(
        "DeleteRole",
        action="iam:DeleteRole",
        resource=the_role,
        accepts=("RoleName",),
        mutates=True,
        errors=(
            "NoSuchEntity",
            "DeleteConflict",
            "UnmodifiableEntity",
            "ConcurrentModification",
        ),
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        def work(draft: Draft) -> None:
            role = changeable_role(call, draft)
            _free(role)
            if role.boundary:
                book(draft, role, role.boundary, boundary=False)
            draft.remove(store.roles(role.account, role.name))
            place = store.unique_id(role.id)
            draft.read(place, Holder)
            draft.remove(place)
            store.count(draft, role.account, roles=-1)

        await self.ledger.change(call.principal.account, work)
        return {}

    @operation(
        "ListInstanceProfilesForRole",
        action="iam:ListInstanceProfilesForRole",
        resource=the_role,
        accepts=("RoleName", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=("NoSuchEntity",),
    )
    async def instance_profiles(self, call: Admitted) -> Mapping[str, object]:
        """There are no instances here, so no role has a profile for them."""
        find_role(call, self.ledger.reader)
        page: Page[object] = self.pages.cut(call, lambda _after: ())
        return {"InstanceProfiles": page.items, **page.members()}


def shown(role: Role, reader: Reader, *, whole: bool) -> dict[str, object]:
    """Write a role as AWS does; lists leave out the boundary and the tags."""
    members: dict[str, object] = {
        "Path": role.path,
        "RoleName": role.name,
        "RoleId": role.id,
        "Arn": role.arn,
        "CreateDate": moment(role.created),
        "AssumeRolePolicyDocument": sent(trust.shown(role, reader)),
        "MaxSessionDuration": role.max_session,
    }
    if role.description:
        members["Description"] = role.description
    if whole:
        members |= boundary_of(role)
        if role.tags:
            members["Tags"] = as_list(role.tags)
    return members


def create_role(draft: Draft, role: Role) -> Role:
    """Write a new role, its trust policy bound to unique ids.  Raises Refusals."""
    place = store.roles(role.account, role.name)
    if draft.read(place, Role):
        raise refusals.exists("role", role.name)
    if store.count(draft, role.account, roles=1).roles > QUOTA:
        raise refusals.limit(f"cannot exceed quota for RolesPerAccount: {QUOTA}")
    bindings = trust.bind(role.trust, role.account, draft)
    if role.boundary:
        usable_policy(role.account, role.boundary, draft)
        book(draft, role, role.boundary, boundary=True)
    made = msgspec.structs.replace(role, bindings=bindings)
    draft.write(place, made)
    register(draft, made)
    return made


def _duration(parameters: Parameters) -> int | None:
    given = parameters.get("MaxSessionDuration")
    if given is None:
        return None
    if not isinstance(given, int) or not SHORTEST <= given <= LONGEST:
        raise Invalid(
            f"`MaxSessionDuration` must be between {SHORTEST} and {LONGEST} seconds",
            code="ValidationError",
        )
    return given


def _free(role: Role) -> None:
    if role.inline:
        raise refusals.in_use("cannot delete entity, must delete policies first")
    if role.attached:
        raise refusals.in_use("cannot delete entity, must detach all policies first")
