"""
IAM's keys in the substrate, and how it changes them.

    account  table         key                      value
    tenant   iam.users     name in lower case       User
    tenant   iam.roles     name in lower case       Role
    tenant   iam.policies  name in lower case       ManagedPolicy
    tenant   iam.usage     ARN of a policy          Usage
    tenant   iam.uses      ARN, newline, kind/name  Use
    tenant   iam.census    "census"                 Census
    SHARED   iam.ids       unique id                Holder
    SHARED   access_keys   access key id            Holder

Names are not distinguished by case, so their keys are in lower case; a lookup
under another case finds nothing, because the caller was authorized for the
name as they wrote it.

A change reads what it needs through a `Draft`, which remembers each revision,
and is committed as a whole against those revisions.  If another change came in
between, it is worked out again from what is there now.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from casemate.core.arn import Arn
from casemate.core.errors import Conflict, Unavailable
from casemate.services.iam.model import (
    Census,
    Holder,
    ManagedPolicy,
    Role,
    Usage,
    User,
    Value,
)
from casemate.substrate.ports import (
    SHARED,
    Change,
    Delete,
    FullError,
    Put,
    Record,
    Records,
    RevisionConflictError,
)

USERS = "iam.users"
ROLES = "iam.roles"
POLICIES = "iam.policies"
USAGE = "iam.usage"
USES = "iam.uses"
CENSUS = "iam.census"
IDS = "iam.ids"
ACCESS_KEYS = "access_keys"

TRIES = 8
"""Times a change is worked out again.  Within a process the lock below makes a
second try rare; between processes each lost race means that another won."""

_PAGE = 500

_SOUND = re.compile(r"[A-Za-z0-9_+=,.@-]{1,128}\Z")
"""What a name can look like.  Names come here unproven, from `authz`, which
locates resources before `validate` has seen the call."""

Place = tuple[str, str, str]
Answer = TypeVar("Answer")


def users(account: str, name: str) -> Place:
    """Place a user."""
    return (account, USERS, name.lower())


def roles(account: str, name: str) -> Place:
    """Place a role."""
    return (account, ROLES, name.lower())


def policies(account: str, name: str) -> Place:
    """Place a managed policy."""
    return (account, POLICIES, name.lower())


def usage(account: str, arn: str) -> Place:
    """Place the count of a policy's uses."""
    return (account, USAGE, arn)


def use(account: str, arn: str, kind: str, name: str) -> Place:
    """Place one use of a policy by a user or a role."""
    # A newline is in no path and no name, so no ARN is a prefix of another.
    return (account, USES, f"{arn}\n{kind}/{name.lower()}")


def census(account: str) -> Place:
    """Place the account's census."""
    return (account, CENSUS, "census")


def unique_id(value: str) -> Place:
    """Place the holder of a unique id."""
    return (SHARED, IDS, value)


def access_key(value: str) -> Place:
    """Place the holder of an access key."""
    return (SHARED, ACCESS_KEYS, value)


class Reader:
    """Reads IAM's records."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def read(self, place: Place, kind: type[Value]) -> Value | None:
        """Read one value, or None."""
        record = self._records.get(*place)
        return msgspec.json.decode(record.value, type=kind) if record else None

    def user(self, account: str, name: str) -> User | None:
        """Find a user by its exact name."""
        if not _SOUND.match(name):
            return None
        found = self.read(users(account, name), User)
        return found if found and found.name == name else None

    def role(self, account: str, name: str) -> Role | None:
        """Find a role by its exact name."""
        if not _SOUND.match(name):
            return None
        found = self.read(roles(account, name), Role)
        return found if found and found.name == name else None

    def entity(self, account: str, kind: str, name: str) -> User | Role | None:
        """Find a `user` or a `role` by its exact name; None for any other kind."""
        if kind == "user":
            return self.user(account, name)
        return self.role(account, name) if kind == "role" else None

    def identity(self, arn: Arn) -> User | Role | None:
        """Find the user or role of exactly this ARN."""
        kind, _, path = arn.resource.partition("/")
        found = self.entity(arn.account, kind, path.rpartition("/")[2])
        return found if found and found.arn == str(arn) else None

    def policy(self, account: str, arn: str) -> ManagedPolicy | None:
        """Find a policy of the account by its exact ARN."""
        name = arn.rpartition("/")[2]
        if not _SOUND.match(name):
            return None
        found = self.read(policies(account, name), ManagedPolicy)
        return found if found and found.arn == arn else None

    def usage(self, account: str, arn: str) -> Usage:
        """Count the uses of a policy."""
        return self.read(usage(account, arn), Usage) or Usage()

    def holder(self, place: Place) -> Holder | None:
        """Tell whose a unique id or access key is."""
        return self.read(place, Holder)

    def walk(
        self,
        account: str,
        table: str,
        kind: type[Value],
        *,
        prefix: str = "",
        after: str = "",
    ) -> Iterator[tuple[str, Value]]:
        """Give a table's keys and values in the order of keys, page by page."""
        while True:
            page = self._records.scan(
                account, table, prefix=prefix, after=after, limit=_PAGE
            )
            for record in page:
                yield record.key, msgspec.json.decode(record.value, type=kind)
            if len(page) < _PAGE:
                return
            after = page[-1].key


class Draft(Reader):
    """
    A change being worked out: what was read, and what will be written.

    Reading sees what was written in the draft.  Everything that was read and
    written is expected to be unchanged at the commit.
    """

    def __init__(self, records: Records) -> None:
        super().__init__(records)
        self._read: dict[Place, Record | None] = {}
        self._written: dict[Place, bytes | None] = {}

    def read(self, place: Place, kind: type[Value]) -> Value | None:
        if place in self._written:
            raw = self._written[place]
            return msgspec.json.decode(raw, type=kind) if raw is not None else None
        if place not in self._read:
            self._read[place] = self._records.get(*place)
        record = self._read[place]
        return msgspec.json.decode(record.value, type=kind) if record else None

    def write(self, place: Place, value: msgspec.Struct) -> None:
        """Write a value; the place must have been read."""
        self._written[place] = msgspec.json.encode(value)

    def create(self, place: Place, value: msgspec.Struct) -> None:
        """Write a value where there must be none."""
        self._read[place] = None
        self.write(place, value)

    def remove(self, place: Place) -> None:
        """Remove a value; the place must have been read."""
        self._written[place] = None

    def changes(self) -> list[Change]:
        """List the changes with the revisions they expect."""
        found: list[Change] = []
        for place, value in self._written.items():
            account, table, key = place
            before = self._read[place]
            expected = before.revision if before else 0
            if value is not None:
                found.append(
                    Put(
                        account=account,
                        table=table,
                        key=key,
                        value=value,
                        expected=expected,
                    )
                )
            elif expected:
                found.append(
                    Delete(account=account, table=table, key=key, expected=expected)
                )
        return found


class Ledger:
    """Commits drafts: all of a change or none of it."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.reader = Reader(records)
        self._turn: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def change(self, account: str, work: Callable[[Draft], Answer]) -> Answer:
        """
        Work out a change of an account and commit it.

        `work` may run several times and must do nothing but read and write the
        draft.  Raises what it raises; Conflict (`ConcurrentModification`) after
        too many lost races; Unavailable when the disk is full.
        """
        async with self._turn[account]:
            for _ in range(TRIES):
                draft = Draft(self._records)
                answer = work(draft)
                if await self._commit(draft):
                    return answer
        raise Conflict(
            "the account's identities are being changed by others at the same "
            "time; try again",
            code="ConcurrentModification",
        )

    async def _commit(self, draft: Draft) -> bool:
        changes = draft.changes()
        if not changes:
            return True
        try:
            await self._records.commit(*changes)
        except RevisionConflictError:
            return False
        except FullError as cause:
            raise Unavailable(
                "the platform's disk is full; nothing was changed",
                code="ServiceFailure",
                status=500,
            ) from cause
        return True


def count(draft: Draft, account: str, **by: int) -> Census:
    """Add to the account's census, and give the new one."""
    before = draft.read(census(account), Census) or Census()
    after = msgspec.structs.replace(
        before, **{name: getattr(before, name) + n for name, n in by.items()}
    )
    draft.write(census(account), after)
    return after
