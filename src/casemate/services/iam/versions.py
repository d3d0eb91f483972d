"""
Versions of managed policies.

A version is immutable and its number is never used again; one of at most five
is the default, which is the one that is in force.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from casemate.core.call import Admitted
from casemate.core.operation import operation
from casemate.services.iam import refusals, store
from casemate.services.iam.documents import sent
from casemate.services.iam.holders import moment
from casemate.services.iam.model import ManagedPolicy, Version
from casemate.services.iam.names import text
from casemate.services.iam.pages import Pages, after
from casemate.services.iam.policies import (
    changeable_policy,
    find_managed,
    managed_document,
)
from casemate.services.iam.store import Draft, Ledger
from casemate.services.iam.targets import the_policy

MOST = 5
"""Versions of a managed policy."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Creates, shows, lists, chooses and deletes versions."""

    ledger: Ledger
    pages: Pages

    @operation(
        "CreatePolicyVersion",
        action="iam:CreatePolicyVersion",
        resource=the_policy,
        accepts=("PolicyArn", "PolicyDocument", "SetAsDefault"),
        mutates=True,
        errors=(
            "NoSuchEntity",
            "LimitExceeded",
            "MalformedPolicyDocument",
            "AccessDenied",
            "ConcurrentModification",
        ),
    )
    async def create(self, call: Admitted) -> Mapping[str, object]:
        document, at = managed_document(call), call.arrival.at
        chosen = call.parameters.get("SetAsDefault") is True

        def work(draft: Draft) -> Version:
            policy = changeable_policy(call, draft)
            if len(policy.versions) >= MOST:
                raise refusals.limit(
                    f"a managed policy can have up to {MOST} versions; delete one "
                    "that is not the default"
                )
            number = policy.latest + 1
            version = Version(number=number, document=document, created=at)
            _keep(
                draft,
                msgspec.structs.replace(
                    policy,
                    latest=number,
                    updated=at,
                    default=number if chosen else policy.default,
                    versions=(*policy.versions, version),
                ),
            )
            return version

        made = await self.ledger.change(call.principal.account, work)
        return {"PolicyVersion": _shown(made, default=chosen)}

    @operation(
        "GetPolicyVersion",
        action="iam:GetPolicyVersion",
        resource=the_policy,
        accepts=("PolicyArn", "VersionId"),
        mutates=False,
        errors=("NoSuchEntity",),
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        policy = find_managed(call, self.ledger.reader)
        version = _version(policy, call)
        told = _shown(version, default=version.number == policy.default)
        return {"PolicyVersion": {**told, "Document": sent(version.document)}}

    @operation(
        "ListPolicyVersions",
        action="iam:ListPolicyVersions",
        resource=the_policy,
        accepts=("PolicyArn", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=("NoSuchEntity",),
    )
    async def all(self, call: Admitted) -> Mapping[str, object]:
        policy = find_managed(call, self.ledger.reader)
        # The newest first: the key falls as the number rises.
        rows = ((f"{10**9 - v.number:010}", v) for v in policy.versions)
        page = self.pages.cut(call, after(rows))
        listed = [_shown(v, default=v.number == policy.default) for v in page.items]
        return {"Versions": listed, **page.members()}

    @operation(
        "SetDefaultPolicyVersion",
        action="iam:SetDefaultPolicyVersion",
        resource=the_policy,
        accepts=("PolicyArn", "VersionId"),
        mutates=True,
        errors=("NoSuchEntity", "AccessDenied", "ConcurrentModification"),
    )
    async def choose(self, call: Admitted) -> Mapping[str, object]:
        def work(draft: Draft) -> None:
            policy = changeable_policy(call, draft)
            number = _version(policy, call).number
            _keep(
                draft,
                msgspec.structs.replace(
                    policy, default=number, updated=call.arrival.at
                ),
            )

        await self.ledger.change(call.principal.account, work)
        return {}

    @operation(
        "DeletePolicyVersion",
        action="iam:DeletePolicyVersion",
        resource=the_policy,
        accepts=("PolicyArn", "VersionId"),
        mutates=True,
        errors=(
            "NoSuchEntity",
            "DeleteConflict",
            "AccessDenied",
            "ConcurrentModification",
        ),
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        def work(draft: Draft) -> None:
            policy = changeable_policy(call, draft)
            number = _version(policy, call).number
            if number == policy.default:
                raise refusals.in_use("cannot delete the default version of a policy")
            kept = tuple(v for v in policy.versions if v.number != number)
            _keep(
                draft,
                msgspec.structs.replace(policy, versions=kept, updated=call.arrival.at),
            )

        await self.ledger.change(call.principal.account, work)
        return {}


def _keep(draft: Draft, policy: ManagedPolicy) -> None:
    draft.write(store.policies(policy.account, policy.name), policy)


def _version(policy: ManagedPolicy, call: Admitted) -> Version:
    wanted = text(call.parameters, "VersionId")
    for version in policy.versions:
        if version.id == wanted:
            return version
    raise refusals.no_version(policy.arn, wanted)


def _shown(version: Version, *, default: bool) -> dict[str, object]:
    return {
        "VersionId": version.id,
        "IsDefaultVersion": default,
        "CreateDate": moment(version.created),
    }
