"""Managed policies on users and roles, and who has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from casemate.core.call import Admitted
from casemate.core.operation import operation
from casemate.services.iam import refusals, store
from casemate.services.iam.holders import (
    ROLE,
    USER,
    Sort,
    book,
    changeable,
    find,
    find_policy,
    keep,
    usable_policy,
)
from casemate.services.iam.model import Role, Use, User
from casemate.services.iam.names import optional, text
from casemate.services.iam.pages import Pages, after
from casemate.services.iam.policies import find_managed
from casemate.services.iam.store import Draft, Ledger
from casemate.services.iam.targets import policy_arn, the_policy, the_role, the_user

_CHANGE = ("NoSuchEntity", "UnmodifiableEntity", "ConcurrentModification")
_LIST = ("NoSuchEntity",)


@dataclass(frozen=True, slots=True)
class Attachments:
    """Attaches, detaches and lists."""

    ledger: Ledger
    pages: Pages

    @operation(
        "AttachUserPolicy",
        action="iam:AttachUserPolicy",
        resource=the_user,
        accepts=("UserName", "PolicyArn"),
        context=policy_arn,
        mutates=True,
        errors=(*_CHANGE, "LimitExceeded"),
    )
    async def attach_user(self, call: Admitted) -> Mapping[str, object]:
        return await self._attach(call, USER)

    @operation(
        "AttachRolePolicy",
        action="iam:AttachRolePolicy",
        resource=the_role,
        accepts=("RoleName", "PolicyArn"),
        context=policy_arn,
        mutates=True,
        errors=(*_CHANGE, "LimitExceeded"),
    )
    async def attach_role(self, call: Admitted) -> Mapping[str, object]:
        return await self._attach(call, ROLE)

    @operation(
        "DetachUserPolicy",
        action="iam:DetachUserPolicy",
        resource=the_user,
        accepts=("UserName", "PolicyArn"),
        context=policy_arn,
        mutates=True,
        errors=_CHANGE,
    )
    async def detach_user(self, call: Admitted) -> Mapping[str, object]:
        return await self._detach(call, USER)

    @operation(
        "DetachRolePolicy",
        action="iam:DetachRolePolicy",
        resource=the_role,
        accepts=("RoleName", "PolicyArn"),
        context=policy_arn,
        mutates=True,
        errors=_CHANGE,
    )
    async def detach_role(self, call: Admitted) -> Mapping[str, object]:
        return await self._detach(call, ROLE)

    @operation(
        "ListAttachedUserPolicies",
        action="iam:ListAttachedUserPolicies",
        resource=the_user,
        accepts=("UserName", "PathPrefix", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=_LIST,
    )
    async def of_user(self, call: Admitted) -> Mapping[str, object]:
        return self._of(call, USER)

    @operation(
        "ListAttachedRolePolicies",
        action="iam:ListAttachedRolePolicies",
        resource=the_role,
        accepts=("RoleName", "PathPrefix", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=_LIST,
    )
    async def of_role(self, call: Admitted) -> Mapping[str, object]:
        return self._of(call, ROLE)

    @operation(
        "ListEntitiesForPolicy",
        action="iam:ListEntitiesForPolicy",
        resource=the_policy,
        accepts=("PolicyArn", "PathPrefix", "Marker", "MaxItems"),
        only={
            "EntityFilter": ("User", "Role", "Group"),
            "PolicyUsageFilter": ("PermissionsPolicy", "PermissionsBoundary"),
        },
        mutates=False,
        paginated=True,
        errors=_LIST,
    )
    async def holders(self, call: Admitted) -> Mapping[str, object]:
        arn = find_managed(call, self.ledger.reader).arn
        page = self.pages.cut(call, lambda after: self._using(call, arn, after))
        return {
            "PolicyGroups": [],
            "PolicyUsers": [
                {"UserName": e.name, "UserId": e.id}
                for e in page.items
                if isinstance(e, User)
            ],
            "PolicyRoles": [
                {"RoleName": e.name, "RoleId": e.id}
                for e in page.items
                if isinstance(e, Role)
            ],
            **page.members(),
        }

    async def _attach(self, call: Admitted, sort: Sort) -> Mapping[str, object]:
        arn = text(call.parameters, "PolicyArn")

        def work(draft: Draft) -> None:
            entity = changeable(call, sort, draft)
            usable_policy(entity.account, arn, draft)
            if arn in entity.attached:
                return
            if len(entity.attached) >= sort.attached_limit:
                kind = sort.kind.capitalize()
                raise refusals.limit(
                    f"cannot exceed quota for PoliciesPer{kind}: {sort.attached_limit}"
                )
            attached = (*entity.attached, arn)
            keep(draft, msgspec.structs.replace(entity, attached=attached))
            book(draft, entity, arn, attached=True)

        await self.ledger.change(call.principal.account, work)
        return {}

    async def _detach(self, call: Admitted, sort: Sort) -> Mapping[str, object]:
        arn = text(call.parameters, "PolicyArn")

        def work(draft: Draft) -> None:
            entity = changeable(call, sort, draft)
            if arn not in entity.attached:
                raise refusals.no_policy(arn)
            attached = tuple(a for a in entity.attached if a != arn)
            keep(draft, msgspec.structs.replace(entity, attached=attached))
            book(draft, entity, arn, attached=False)

        await self.ledger.change(call.principal.account, work)
        return {}

    def _of(self, call: Admitted, sort: Sort) -> Mapping[str, object]:
        entity = find(call, sort, self.ledger.reader)
        prefix = optional(call.parameters, "PathPrefix") or "/"
        found = (
            find_policy(entity.account, arn, self.ledger.reader)
            for arn in entity.attached
        )
        rows = ((p.arn, p) for p in found if p and p.path.startswith(prefix))
        page = self.pages.cut(call, after(rows))
        listed = [{"PolicyName": p.name, "PolicyArn": p.arn} for p in page.items]
        return {"AttachedPolicies": listed, **page.members()}

    def _using(
        self, call: Admitted, arn: str, past: str
    ) -> Iterator[tuple[str, User | Role]]:
        account, reader = call.principal.account, self.ledger.reader
        kind = optional(call.parameters, "EntityFilter").lower()
        usage = optional(call.parameters, "PolicyUsageFilter")
        prefix = optional(call.parameters, "PathPrefix") or "/"
        rows = reader.walk(account, store.USES, Use, prefix=f"{arn}\n", after=past)
        for key, use in rows:
            wanted = use.boundary if usage == "PermissionsBoundary" else use.attached
            if not (wanted or (not usage and use.boundary)) or kind not in (
                "",
                use.kind,
            ):
                continue
            entity = reader.entity(account, use.kind, use.name)
            if entity and entity.path.startswith(prefix):
                yield key, entity
