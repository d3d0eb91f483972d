"""Permissions boundaries: the most that a user or a role may ever do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from casemate.core.call import Admitted
from casemate.core.operation import operation
from casemate.services.iam.holders import (
    ROLE,
    USER,
    Sort,
    book,
    changeable,
    keep,
    usable_policy,
)
from casemate.services.iam.names import text
from casemate.services.iam.refusals import no_boundary
from casemate.services.iam.store import Draft, Ledger
from casemate.services.iam.targets import boundary, the_role, the_user

_ERRORS = ("NoSuchEntity", "UnmodifiableEntity", "ConcurrentModification")


@dataclass(frozen=True, slots=True)
class Boundaries:
    """Sets and removes boundaries."""

    ledger: Ledger

    @operation(
        "PutUserPermissionsBoundary",
        action="iam:PutUserPermissionsBoundary",
        resource=the_user,
        accepts=("UserName", "PermissionsBoundary"),
        context=boundary,
        mutates=True,
        errors=_ERRORS,
    )
    async def put_user(self, call: Admitted) -> Mapping[str, object]:
        return await self._put(call, USER)

    @operation(
        "PutRolePermissionsBoundary",
        action="iam:PutRolePermissionsBoundary",
        resource=the_role,
        accepts=("RoleName", "PermissionsBoundary"),
        context=boundary,
        mutates=True,
        errors=_ERRORS,
    )
    async def put_role(self, call: Admitted) -> Mapping[str, object]:
        return await self._put(call, ROLE)

    @operation(
        "DeleteUserPermissionsBoundary",
        action="iam:DeleteUserPermissionsBoundary",
        resource=the_user,
        accepts=("UserName",),
        mutates=True,
        errors=_ERRORS,
    )
    async def delete_user(self, call: Admitted) -> Mapping[str, object]:
        return await self._delete(call, USER)

    @operation(
        "DeleteRolePermissionsBoundary",
        action="iam:DeleteRolePermissionsBoundary",
        resource=the_role,
        accepts=("RoleName",),
        mutates=True,
        errors=_ERRORS,
    )
    async def delete_role(self, call: Admitted) -> Mapping[str, object]:
        return await self._delete(call, ROLE)

    async def _put(self, call: Admitted, sort: Sort) -> Mapping[str, object]:
        arn = text(call.parameters, "PermissionsBoundary")

        def work(draft: Draft) -> None:
            entity = changeable(call, sort, draft)
            usable_policy(entity.account, arn, draft)
            if entity.boundary:
                book(draft, entity, entity.boundary, boundary=False)
            book(draft, entity, arn, boundary=True)
            keep(draft, msgspec.structs.replace(entity, boundary=arn))

        await self.ledger.change(call.principal.account, work)
        return {}

    async def _delete(self, call: Admitted, sort: Sort) -> Mapping[str, object]:
        def work(draft: Draft) -> None:
            entity = changeable(call, sort, draft)
            if not entity.boundary:
                raise no_boundary(sort.kind, entity.name)
            book(draft, entity, entity.boundary, boundary=False)
            keep(draft, msgspec.structs.replace(entity, boundary=""))

        await self.ledger.change(call.principal.account, work)
        return {}
