"""
What the rooms ask of IAM: who is this, what may they, whom does a role trust.

Answers are compiled once and kept until a commit touches what they came from,
so that a call costs dictionary lookups.  Whatever is changed in an account
drops all that is kept of that account; whatever changes users or roles
anywhere drops the trust policies, because they bind to identities of any
account.

A principal is looked for under its unique id.  One that was deleted, and made
again under the same name, is somebody else.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar, final

from casemate.core.arn import Arn, NotAnArnError
from casemate.core.principal import Kind as PrincipalKind
from casemate.core.principal import Principal
from casemate.policy.iam import Kind, MalformedPolicyError, Policy, compile_policy
from casemate.services.iam import model, store, trust
from casemate.services.iam.administrator import ensure
from casemate.services.iam.holders import find_policy
from casemate.services.iam.names import Entropy
from casemate.services.iam.store import Ledger, Reader
from casemate.substrate.ports import Records

_KEPT: Final = 10_000
"""Answers of one sort that are kept; past it, all are dropped."""

Kept = TypeVar("Kept")

_OF_ACCOUNT: Final = (store.USERS, store.ROLES, store.POLICIES)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """
    The policies of a principal.

    exists: False once it was deleted; it has no rights then.  tags: of the
    user or role itself.
    """

    policies: tuple[Policy, ...]
    boundary: Policy | None
    exists: bool
    tags: Mapping[str, str] = field(default_factory=dict)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """Whose an access key is, and whether it may be used."""

    account: str
    user_name: str
    user_arn: str
    user_id: str
    active: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """
    A role as others need to know it.

    trust: compiled, by unique ids; None admits nobody.  max_session: seconds.
    """

    account: str
    name: str
    arn: str
    id: str
    trust: Policy | None
    max_session: int
    tags: Mapping[str, str]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceFacts:
    """
    What is known of a role as a resource.

    required: its policy must allow, even within its account.
    """

    policies: tuple[Policy, ...]
    required: bool
    tags: Mapping[str, str]


_KEY_ID: Final = re.compile(r"[A-Z0-9]{16,128}\Z")

NOBODY: Final = Identity(policies=(), boundary=None, exists=False)
SERVICE: Final = Identity(policies=(), boundary=None, exists=True)
"""A service of the platform has no policies; those of resources speak of it."""

_NO_ROLE: Final = ResourceFacts(policies=(), required=True, tags={})


class Directory:
    """Finds identities, access keys and roles."""

    def __init__(self, records: Records, entropy: Entropy) -> None:
        """Read from records; entropy gives unguessable bytes."""
        self._reader = Reader(records)
        self._ledger = Ledger(records)
        self._entropy = entropy
        self._identities: dict[str, dict[str, tuple[str, Identity]]] = {}
        self._keys: dict[str, AccessKey] = {}
        self._roles: dict[str, Role] = {}
        for table in (*_OF_ACCOUNT, store.ACCESS_KEYS):
            records.watch(table, partial(self._changed, table))

    def identity(self, principal: Principal) -> Identity:
        """Give the policies of a principal."""
        if principal.kind is PrincipalKind.SERVICE:
            return SERVICE
        arn = principal.role_arn or principal.arn
        kept = self._identities.get(principal.account)
        found = kept.get(arn) if kept is not None else None
        if found is None:
            found = self._identity(principal.account, arn)
        id_, identity = found
        if principal.id == id_ or principal.id.partition(":")[0] == id_:
            return identity
        return NOBODY

    def access_key(self, access_key_id: str) -> AccessKey | None:
        """Tell whose a long-lived access key is; None if it is nobody's."""
        found = self._keys.get(access_key_id)
        if found is None and _KEY_ID.match(access_key_id):
            found = self._access_key(access_key_id)
        return found

    def role(self, arn: str) -> Role | None:
        """Find a role by its exact ARN."""
        return self._roles.get(arn) or self._role(arn)

    def managed_policy(self, account: str, arn: str) -> str | None:
        """Give the document in force of a policy that an account can use."""
        policy = find_policy(account, arn, self._reader)
        return policy.default_version.document if policy else None

    def resource_facts(self, arn: Arn | str, action: str) -> ResourceFacts | None:
        """
        Tell what governs a role as the resource of an action.

        A role's trust policy speaks of STS's actions alone, and there it must
        allow; a role that is not there trusts nobody.  None: nothing but the
        caller's own policies governs.
        """
        resource = Arn.parse(arn) if isinstance(arn, str) else arn
        if resource.service != "iam" or not resource.resource.startswith("role/"):
            return None
        if not action.lower().startswith("sts:"):
            return None
        role = self.role(str(resource))
        if role is None:
            return _NO_ROLE
        return ResourceFacts(
            policies=(role.trust,) if role.trust else (), required=True, tags=role.tags
        )

    async def ensure_administrator(self, account: str, *, now: float) -> Role:
        """Give the account's `casemate-administrator`, made if it is not there."""
        made = await ensure(self._ledger, self._entropy, account, now)
        role = self.role(made.arn)
        assert role is not None  # noqa: S101 — it was committed just now
        return role

    # Finding what is not kept.

    def _identity(self, account: str, arn: str) -> tuple[str, Identity]:
        entity = self._reader.identity(Arn.parse(arn))
        if entity is None:
            # Not kept: names of what is not there are without number.
            return "", NOBODY
        found = (entity.id, self._compiled(entity))
        if sum(map(len, self._identities.values())) >= _KEPT:
            self._identities.clear()
        self._identities.setdefault(account, {})[arn] = found
        return found

    def _compiled(self, entity: model.User | model.Role) -> Identity:
        policies = [
            compile_policy(document, name=name, kind=Kind.IDENTITY)
            for name, document in entity.inline.items()
        ]
        policies += [
            self._managed(entity.account, arn, Kind.IDENTITY) for arn in entity.attached
        ]
        boundary = (
            self._managed(entity.account, entity.boundary, Kind.BOUNDARY)
            if entity.boundary
            else None
        )
        return Identity(
            policies=tuple(policies), boundary=boundary, exists=True, tags=entity.tags
        )

    def _managed(self, account: str, arn: str, kind: Kind) -> Policy:
        policy = find_policy(account, arn, self._reader)
        if policy is None:
            # Attached and not there cannot be; leaving it out might drop a Deny.
            raise LookupError(f"the attached policy `{arn}` is not there")
        document = policy.default_version.document
        return compile_policy(document, name=policy.name, kind=kind)

    def _access_key(self, access_key_id: str) -> AccessKey | None:
        holder = self._reader.holder(store.access_key(access_key_id))
        user = self._reader.user(holder.account, holder.name) if holder else None
        if user is None:
            return None
        for key in user.keys:
            if key.id == access_key_id:
                found = AccessKey(
                    account=user.account,
                    user_name=user.name,
                    user_arn=user.arn,
                    user_id=user.id,
                    active=key.active,
                )
                _keep(self._keys, access_key_id, found)
                return found
        return None

    def _role(self, arn: str) -> Role | None:
        try:
            account = Arn.parse(arn).account
        except NotAnArnError:
            return None
        stored = self._reader.role(account, arn.rpartition("/")[2])
        if stored is None or stored.arn != arn:
            return None
        found = Role(
            account=account,
            name=stored.name,
            arn=arn,
            id=stored.id,
            trust=self._trust(stored),
            max_session=stored.max_session,
            tags=stored.tags,
        )
        _keep(self._roles, arn, found)
        return found

    def _trust(self, stored: model.Role) -> Policy | None:
        document = trust.evaluated(stored, self._reader)
        try:
            return compile_policy(document, name="trust", kind=Kind.TRUST)
        except MalformedPolicyError:
            # A document of an earlier version's grammar: it admits nobody.
            return None

    # Dropping what has changed.

    def _changed(self, table: str, account: str, key: str) -> None:
        if table == store.ACCESS_KEYS:
            self._keys.pop(key, None)
            return
        self._identities.pop(account, None)
        if table == store.USERS:
            self._keys = {k: v for k, v in self._keys.items() if v.account != account}
        if table == store.ROLES:
            self._roles.clear()


def _keep(kept: dict[str, Kept], key: str, value: Kept) -> None:
    if len(kept) >= _KEPT:
        kept.clear()
    kept[key] = value
