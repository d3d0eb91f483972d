"""
Inline policies: documents that live and end with their user or role.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from casemate.core.call import Admitted
from casemate.core.operation import operation
from casemate.policy.iam import Kind
from casemate.services.iam import refusals
from casemate.services.iam.documents import sent, size, taken
from casemate.services.iam.holders import ROLE, USER, Sort, changeable, find, keep
from casemate.services.iam.model import Role, User
from casemate.services.iam.names import POLICY_NAME, name, text
from casemate.services.iam.pages import Pages, after
from casemate.services.iam.store import Draft, Ledger
from casemate.services.iam.targets import the_role, the_user

RAW = 131_072
"""Characters of all inline policies of an entity, white space included: AWS
limits one document so; here all together, because they are one record."""

_PUT = (
    "NoSuchEntity",
    "LimitExceeded",
    "MalformedPolicyDocument",
    "UnmodifiableEntity",
    "ConcurrentModification",
)
_DELETE = ("NoSuchEntity", "UnmodifiableEntity", "ConcurrentModification")


@dataclass(frozen=True, slots=True)
class Inline:
    """Puts, shows, lists and deletes inline policies."""

    ledger: Ledger
    pages: Pages

    @operation(
        "PutUserPolicy",
        action="iam:PutUserPolicy",
        resource=the_user,
        accepts=("UserName", "PolicyName", "PolicyDocument"),
        mutates=True,
        errors=_PUT,
    )
    async def put_user(self, call: Admitted) -> Mapping[str, object]:
        return await self._put(call, USER)

    @operation(
        "PutRolePolicy",
        action="iam:PutRolePolicy",
        resource=the_role,
        accepts=("RoleName", "PolicyName", "PolicyDocument"),
        mutates=True,
        errors=_PUT,
    )
    async def put_role(self, call: Admitted) -> Mapping[str, object]:
        return await self._put(call, ROLE)

    @operation(
        "GetUserPolicy",
        action="iam:GetUserPolicy",
        resource=the_user,
        accepts=("UserName", "PolicyName"),
        mutates=False,
        errors=("NoSuchEntity",),
    )
    async def get_user(self, call: Admitted) -> Mapping[str, object]:
        return self._get(call, USER)

    @operation(
        "GetRolePolicy",
        action="iam:GetRolePolicy",
        resource=the_role,
        accepts=("RoleName", "PolicyName"),
        mutates=False,
        errors=("NoSuchEntity",),
    )
    async def get_role(self, call: Admitted) -> Mapping[str, object]:
        return self._get(call, ROLE)

    @operation(
        "ListUserPolicies",
        action="iam:ListUserPolicies",
        resource=the_user,
        accepts=("UserName", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=("NoSuchEntity",),
    )
    async def all_user(self, call: Admitted) -> Mapping[str, object]:
        return self._all(call, USER)

    @operation(
        "ListRolePolicies",
        action="iam:ListRolePolicies",
        resource=the_role,
        accepts=("RoleName", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=("NoSuchEntity",),
    )
    async def all_role(self, call: Admitted) -> Mapping[str, object]:
        return self._all(call, ROLE)

    @operation(
        "DeleteUserPolicy",
        action="iam:DeleteUserPolicy",
        resource=the_user,
        accepts=("UserName", "PolicyName"),
        mutates=True,
        errors=_DELETE,
    )
    async def delete_user(self, call: Admitted) -> Mapping[str, object]:
        return await self._delete(call, USER)

    @operation(
        "DeleteRolePolicy",
        action="iam:DeleteRolePolicy",
        resource=the_role,
        accepts=("RoleName", "PolicyName"),
        mutates=True,
        errors=_DELETE,
    )
    async def delete_role(self, call: Admitted) -> Mapping[str, object]:
        return await self._delete(call, ROLE)

    async def _put(self, call: Admitted, sort: Sort) -> Mapping[str, object]:
        wanted = name(call.parameters, "PolicyName", POLICY_NAME)
        document = taken(call.parameters, Kind.IDENTITY, largest=sort.inline_limit)

        def work(draft: Draft) -> None:
            entity = changeable(call, sort, draft)
            inline = {**entity.inline, wanted: document}
            if sum(map(size, inline.values())) > sort.inline_limit:
                raise refusals.limit(
                    f"maximum policy size of {sort.inline_limit} bytes exceeded for "
                    f"{sort.kind} `{entity.name}`: all its inline policies together, "
                    "white space not counted; use a managed policy"
                )
            if sum(map(len, inline.values())) > RAW:
                raise refusals.limit(
                    f"the inline policies of {sort.kind} `{entity.name}` have more "
                    f"than {RAW} characters with white space; write them tighter"
                )
            keep(draft, msgspec.structs.replace(entity, inline=inline))

        await self.ledger.change(call.principal.account, work)
        return {}

    def _get(self, call: Admitted, sort: Sort) -> Mapping[str, object]:
        entity = find(call, sort, self.ledger.reader)
        wanted = _named(call, sort, entity)
        return {
            sort.member: entity.name,
            "PolicyName": wanted,
            "PolicyDocument": sent(entity.inline[wanted]),
        }

    def _all(self, call: Admitted, sort: Sort) -> Mapping[str, object]:
        entity = find(call, sort, self.ledger.reader)
        page = self.pages.cut(call, after((n, n) for n in entity.inline))
        return {"PolicyNames": page.items, **page.members()}

    async def _delete(self, call: Admitted, sort: Sort) -> Mapping[str, object]:
        def work(draft: Draft) -> None:
            entity = changeable(call, sort, draft)
            wanted = _named(call, sort, entity)
            inline = {n: d for n, d in entity.inline.items() if n != wanted}
            keep(draft, msgspec.structs.replace(entity, inline=inline))

        await self.ledger.change(call.principal.account, work)
        return {}


def _named(call: Admitted, sort: Sort, entity: User | Role) -> str:
    wanted = text(call.parameters, "PolicyName")
    if wanted not in entity.inline:
        raise refusals.no_inline(sort.kind, entity.name, wanted)
    return wanted
