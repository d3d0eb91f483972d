"""Users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from casemate.core.call import Admitted
from casemate.core.operation import operation
from casemate.services.iam import refusals, store
from casemate.services.iam.holders import (
    book,
    boundary_of,
    find_user,
    keep,
    moment,
    register,
    usable_policy,
)
from casemate.services.iam.model import Holder, User
from casemate.services.iam.names import (
    USER_NAME,
    Entropy,
    as_list,
    name,
    new_id,
    optional,
    path,
    tags,
)
from casemate.services.iam.pages import Page, Pages
from casemate.services.iam.store import Draft, Ledger
from casemate.services.iam.targets import (
    all_users,
    creation,
    new_user,
    renaming,
    tagging,
    the_user,
)

QUOTA = 5_000
"""Users of an account."""


@dataclass(frozen=True, slots=True)
class Users:
    """Creates, shows, renames and deletes users."""

    ledger: Ledger
    pages: Pages
    entropy: Entropy

    @operation(
        "CreateUser",
        action="iam:CreateUser",
        resource=new_user,
        accepts=("UserName", "Path", "PermissionsBoundary", "Tags"),
        needs=tagging("iam:TagUser", new_user),
        context=creation,
        mutates=True,
        errors=(
            "EntityAlreadyExists",
            "LimitExceeded",
            "NoSuchEntity",
            "InvalidInput",
            "ConcurrentModification",
        ),
    )
    async def create(self, call: Admitted) -> Mapping[str, object]:
        given = call.parameters
        user = User(
            account=call.principal.account,
            name=name(given, "UserName", USER_NAME),
            path=path(given),
            id=new_id("AIDA", self.entropy),
            created=call.arrival.at,
            boundary=optional(given, "PermissionsBoundary"),
            tags=tags(given),
        )
        await self.ledger.change(user.account, lambda draft: _create(draft, user))
        return {"User": shown(user, whole=True)}

    @operation(
        "GetUser",
        action="iam:GetUser",
        resource=the_user,
        accepts=("UserName",),
        mutates=False,
        errors=("NoSuchEntity",),
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        return {"User": shown(find_user(call, self.ledger.reader), whole=True)}

    @operation(
        "ListUsers",
        action="iam:ListUsers",
        resource=all_users,
        accepts=("PathPrefix", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
    )
    async def all(self, call: Admitted) -> Mapping[str, object]:
        prefix = optional(call.parameters, "PathPrefix") or "/"
        page = self.pages.cut(
            call,
            lambda after: (
                (key, user)
                for key, user in self.ledger.reader.walk(
                    call.principal.account, store.USERS, User, after=after
                )
                if user.path.startswith(prefix)
            ),
        )
        users = [shown(user, whole=False) for user in page.items]
        return {"Users": users, **page.members()}

    @operation(
        "UpdateUser",
        action="iam:UpdateUser",
        resource=the_user,
        accepts=("UserName", "NewPath", "NewUserName"),
        needs=renaming,
        mutates=True,
        errors=(
            "NoSuchEntity",
            "EntityAlreadyExists",
            "ConcurrentModification",
        ),
    )
    async def update(self, call: Admitted) -> Mapping[str, object]:
        def work(draft: Draft) -> None:
            user = find_user(call, draft)
            given = call.parameters
            renamed = msgspec.structs.replace(
                user,
                path=path(given, "NewPath") if given.get("NewPath") else user.path,
                name=name(given, "NewUserName", USER_NAME)
                if given.get("NewUserName")
                else user.name,
            )
            _move(draft, user, renamed)

        await self.ledger.change(call.principal.account, work)
        return {}

    @operation(
        "DeleteUser",
        action="iam:DeleteUser",
        resource=the_user,
        accepts=("UserName",),
        mutates=True,
        errors=("NoSuchEntity", "DeleteConflict", "ConcurrentModification"),
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        def work(draft: Draft) -> None:
            user = find_user(call, draft)
            _free(user)
            if user.boundary:
                book(draft, user, user.boundary, boundary=False)
            draft.remove(store.users(user.account, user.name))
            place = store.unique_id(user.id)
            draft.read(place, Holder)
            draft.remove(place)
            store.count(draft, user.account, users=-1)

        await self.ledger.change(call.principal.account, work)
        return {}

    @operation(
        "ListGroupsForUser",
        action="iam:ListGroupsForUser",
        resource=the_user,
        accepts=("UserName", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=("NoSuchEntity",),
    )
    async def groups(self, call: Admitted) -> Mapping[str, object]:
        """There are no groups here, so no user is in one."""
        find_user(call, self.ledger.reader)
        page: Page[object] = self.pages.cut(call, lambda _after: ())
        return {"Groups": page.items, **page.members()}


def shown(user: User, *, whole: bool) -> dict[str, object]:
    """Write a user as AWS does; lists leave out the boundary and the tags."""
    members: dict[str, object] = {
        "Path": user.path,
        "UserName": user.name,
        "UserId": user.id,
        "Arn": user.arn,
        "CreateDate": moment(user.created),
    }
    if whole:
        members |= boundary_of(user)
        if user.tags:
            members["Tags"] = as_list(user.tags)
    return members


def _create(draft: Draft, user: User) -> None:
    place = store.users(user.account, user.name)
    if draft.read(place, User):
        raise refusals.exists("user", user.name)
    if store.count(draft, user.account, users=1).users > QUOTA:
        raise refusals.limit(f"cannot exceed quota for UsersPerAccount: {QUOTA}")
    if user.boundary:
        usable_policy(user.account, user.boundary, draft)
        book(draft, user, user.boundary, boundary=True)
    draft.write(place, user)
    register(draft, user)


def _free(user: User) -> None:
    if user.keys:
        raise refusals.in_use("cannot delete entity, must delete access keys first")
    if user.inline:
        raise refusals.in_use("cannot delete entity, must delete policies first")
    if user.attached:
        raise refusals.in_use("cannot delete entity, must detach all policies first")


def _move(draft: Draft, user: User, renamed: User) -> None:
    """Write a user under its new name, with all that refers to it by name."""
    if renamed.name.lower() != user.name.lower():
        if draft.read(store.users(renamed.account, renamed.name), User):
            raise refusals.exists("user", renamed.name)
        draft.remove(store.users(user.account, user.name))
    keep(draft, renamed)
    register(draft, renamed)
    for key in user.keys:
        place = store.access_key(key.id)
        draft.read(place, Holder)
        draft.write(
            place, Holder(account=renamed.account, kind="user", name=renamed.name)
        )
    for arn in user.attached:
        book(draft, user, arn, attached=False)
        book(draft, renamed, arn, attached=True)
    if user.boundary:
        book(draft, user, user.boundary, boundary=False)
        book(draft, renamed, user.boundary, boundary=True)
