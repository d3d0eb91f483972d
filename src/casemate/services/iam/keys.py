"""
Access keys of users.

The keyholder makes and derives secrets; here stands only whose a key is and
whether it is active.  A secret is told once, when the key is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from casemate.core.call import Admitted
from casemate.core.operation import operation
from casemate.services.iam import refusals, store
from casemate.services.iam.holders import find_user, keep, moment
from casemate.services.iam.model import AccessKeyRecord, Holder, User
from casemate.services.iam.names import text
from casemate.services.iam.pages import Pages, after
from casemate.services.iam.store import Draft, Ledger
from casemate.services.iam.targets import the_user

MOST = 2
"""Access keys of a user."""


class Keys(Protocol):
    """Makes access keys."""

    async def access_key_new(self) -> tuple[str, str]:
        """Give a new key's id (`AKIA…`) and its secret."""
        ...


@dataclass(frozen=True, slots=True)
class AccessKeys:
    """Creates, lists, switches and deletes access keys."""

    ledger: Ledger
    pages: Pages
    keys: Keys

    @operation(
        "CreateAccessKey",
        action="iam:CreateAccessKey",
        resource=the_user,
        accepts=("UserName",),
        mutates=True,
        errors=("NoSuchEntity", "LimitExceeded", "ConcurrentModification"),
    )
    async def create(self, call: Admitted) -> Mapping[str, object]:
        _room(find_user(call, self.ledger.reader))
        id_, secret = await self.keys.access_key_new()
        key = AccessKeyRecord(id=id_, created=call.arrival.at)

        def work(draft: Draft) -> User:
            user = find_user(call, draft)
            _room(user)
            keep(draft, msgspec.structs.replace(user, keys=(*user.keys, key)))
            draft.create(
                store.access_key(key.id),
                Holder(account=user.account, kind="user", name=user.name),
            )
            return user

        user = await self.ledger.change(call.principal.account, work)
        return {"AccessKey": {**_shown(user, key), "SecretAccessKey": secret}}

    @operation(
        "ListAccessKeys",
        action="iam:ListAccessKeys",
        resource=the_user,
        accepts=("UserName", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=("NoSuchEntity",),
    )
    async def all(self, call: Admitted) -> Mapping[str, object]:
        user = find_user(call, self.ledger.reader)
        page = self.pages.cut(call, after((key.id, key) for key in user.keys))
        listed = [_shown(user, key) for key in page.items]
        return {"AccessKeyMetadata": listed, **page.members()}

    @operation(
        "UpdateAccessKey",
        action="iam:UpdateAccessKey",
        resource=the_user,
        accepts=("UserName", "AccessKeyId"),
        only={"Status": ("Active", "Inactive")},
        mutates=True,
        errors=("NoSuchEntity", "ConcurrentModification"),
    )
    async def update(self, call: Admitted) -> Mapping[str, object]:
        active = text(call.parameters, "Status") == "Active"

        def work(draft: Draft) -> None:
            user = find_user(call, draft)
            wanted = _key(user, call)
            changed = msgspec.structs.replace(wanted, active=active)
            keys = tuple(changed if k is wanted else k for k in user.keys)
            keep(draft, msgspec.structs.replace(user, keys=keys))

        await self.ledger.change(call.principal.account, work)
        return {}

    @operation(
        "DeleteAccessKey",
        action="iam:DeleteAccessKey",
        resource=the_user,
        accepts=("UserName", "AccessKeyId"),
        mutates=True,
        errors=("NoSuchEntity", "ConcurrentModification"),
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        def work(draft: Draft) -> None:
            user = find_user(call, draft)
            wanted = _key(user, call)
            keys = tuple(k for k in user.keys if k is not wanted)
            keep(draft, msgspec.structs.replace(user, keys=keys))
            place = store.access_key(wanted.id)
            draft.read(place, Holder)
            draft.remove(place)

        await self.ledger.change(call.principal.account, work)
        return {}


def _room(user: User) -> None:
    if len(user.keys) >= MOST:
        raise refusals.limit(f"cannot exceed quota for AccessKeysPerUser: {MOST}")


def _key(user: User, call: Admitted) -> AccessKeyRecord:
    wanted = text(call.parameters, "AccessKeyId")
    for key in user.keys:
        if key.id == wanted:
            return key
    raise refusals.no_key(wanted)


def _shown(user: User, key: AccessKeyRecord) -> dict[str, object]:
    return {
        "UserName": user.name,
        "AccessKeyId": key.id,
        "Status": "Active" if key.active else "Inactive",
        "CreateDate": moment(key.created),
    }
