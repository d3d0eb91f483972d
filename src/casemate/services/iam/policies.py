"""Managed policies: documents with an ARN and versions of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from casemate.core.call import Admitted
from casemate.core.errors import Denied
from casemate.core.operation import operation
from casemate.policy.iam import Kind
from casemate.services.iam import refusals, store
from casemate.services.iam.documents import taken
from casemate.services.iam.given import GIVEN
from casemate.services.iam.holders import moment, usable_policy
from casemate.services.iam.model import ManagedPolicy, Usage, Version
from casemate.services.iam.names import (
    POLICY_NAME,
    Entropy,
    as_list,
    description,
    name,
    new_id,
    optional,
    path,
    tags,
    text,
)
from casemate.services.iam.pages import Pages
from casemate.services.iam.store import Draft, Ledger, Reader
from casemate.services.iam.targets import (
    all_policies,
    new_policy,
    request_tags,
    tagging,
    the_policy,
    unmoved,
)

QUOTA = 1_500
"""Managed policies of an account."""

LARGEST = 6_144
"""Characters of a managed policy, white space not counted."""


@dataclass(frozen=True, slots=True)
class Policies:
    """Creates, shows, lists and deletes managed policies."""

    ledger: Ledger
    pages: Pages
    entropy: Entropy

    @operation(
        "CreatePolicy",
        action="iam:CreatePolicy",
        resource=new_policy,
        accepts=("PolicyName", "Path", "PolicyDocument", "Description", "Tags"),
        needs=tagging("iam:TagPolicy", new_policy),
        context=request_tags,
        mutates=True,
        errors=(
            "EntityAlreadyExists",
            "LimitExceeded",
            "MalformedPolicyDocument",
            "InvalidInput",
            "ConcurrentModification",
        ),
    )
    async def create(self, call: Admitted) -> Mapping[str, object]:
        given, at = call.parameters, call.arrival.at
        version = Version(number=1, document=managed_document(call), created=at)
        policy = ManagedPolicy(
            account=call.principal.account,
            name=name(given, "PolicyName", POLICY_NAME),
            path=path(given),
            id=new_id("ANPA", self.entropy),
            created=at,
            updated=at,
            default=1,
            latest=1,
            versions=(version,),
            description=description(given),
            tags=tags(given),
        )
        await self.ledger.change(policy.account, lambda draft: _create(draft, policy))
        return {"Policy": shown(policy, Usage(), whole=True)}

    @operation(
        "GetPolicy",
        action="iam:GetPolicy",
        resource=the_policy,
        accepts=("PolicyArn",),
        mutates=False,
        errors=("NoSuchEntity",),
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        reader = self.ledger.reader
        policy = find_managed(call, reader)
        usage = reader.usage(call.principal.account, policy.arn)
        return {"Policy": shown(policy, usage, whole=True)}

    @operation(
        "ListPolicies",
        action="iam:ListPolicies",
        resource=all_policies,
        accepts=("OnlyAttached", "PathPrefix", "Marker", "MaxItems"),
        only={
            "Scope": ("All", "AWS", "Local"),
            "PolicyUsageFilter": ("PermissionsPolicy", "PermissionsBoundary"),
        },
        mutates=False,
        paginated=True,
    )
    async def all(self, call: Admitted) -> Mapping[str, object]:
        page = self.pages.cut(call, lambda after: self._matching(call, after))
        listed = [shown(policy, usage, whole=False) for policy, usage in page.items]
        return {"Policies": listed, **page.members()}

    def _matching(
        self, call: Admitted, after: str
    ) -> Iterator[tuple[str, tuple[ManagedPolicy, Usage]]]:
        given, reader = call.parameters, self.ledger.reader
        prefix = optional(given, "PathPrefix") or "/"
        for key, policy in _in_scope(call, after, reader):
            usage = reader.usage(call.principal.account, policy.arn)
            counted = {
                "": usage.attachments + usage.boundaries,
                "PermissionsPolicy": usage.attachments,
                "PermissionsBoundary": usage.boundaries,
            }[optional(given, "PolicyUsageFilter")]
            # With a filter on usage, AWS lists what is used in that way.
            used = given.get("OnlyAttached") or given.get("PolicyUsageFilter")
            if policy.path.startswith(prefix) and (counted or not used):
                yield key, (policy, usage)

    @operation(
        "DeletePolicy",
        action="iam:DeletePolicy",
        resource=the_policy,
        accepts=("PolicyArn",),
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
            account = policy.account
            counted = store.usage(account, policy.arn)
            usage = draft.read(counted, Usage) or Usage()
            if usage.attachments or usage.boundaries:
                raise refusals.in_use("cannot delete a policy attached to entities")
            if len(policy.versions) > 1:
                raise refusals.in_use(
                    "this policy has more than one version; delete the versions that "
                    "are not the default first"
                )
            draft.remove(store.policies(account, policy.name))
            draft.remove(counted)
            store.count(draft, account, policies=-1)

        await self.ledger.change(call.principal.account, work)
        return {}


def find_managed(call: Admitted, reader: Reader) -> ManagedPolicy:
    """Give the policy that a call is about.  Raises NotFound."""
    arn = text(call.parameters, "PolicyArn")
    policy = usable_policy(call.principal.account, arn, reader)
    unmoved(call, policy.arn)
    return policy


def changeable_policy(call: Admitted, reader: Reader) -> ManagedPolicy:
    """Give it, if it is the account's own.  Raises NotFound, Denied."""
    policy = find_managed(call, reader)
    if policy.account != call.principal.account:
        raise Denied(
            f"the policy `{policy.arn}` is AWS's and cannot be changed; make one of "
            "your own",
            code="AccessDenied",
        )
    return policy


def managed_document(call: Admitted) -> str:
    """Give the document of a request, of a managed policy's size."""
    return taken(call.parameters, Kind.IDENTITY, largest=LARGEST)


def shown(policy: ManagedPolicy, usage: Usage, *, whole: bool) -> dict[str, object]:
    """Write a policy as AWS does; lists leave out the description and the tags."""
    members: dict[str, object] = {
        "PolicyName": policy.name,
        "PolicyId": policy.id,
        "Arn": policy.arn,
        "Path": policy.path,
        "DefaultVersionId": policy.default_version.id,
        "AttachmentCount": usage.attachments,
        "PermissionsBoundaryUsageCount": usage.boundaries,
        "IsAttachable": True,
        "CreateDate": moment(policy.created),
        "UpdateDate": moment(policy.updated),
    }
    if whole:
        if policy.description:
            members["Description"] = policy.description
        members["Tags"] = as_list(policy.tags)
    return members


def _create(draft: Draft, policy: ManagedPolicy) -> None:
    place = store.policies(policy.account, policy.name)
    if draft.read(place, ManagedPolicy):
        raise refusals.exists("policy", policy.name)
    if store.count(draft, policy.account, policies=1).policies > QUOTA:
        raise refusals.limit(f"cannot exceed quota for PoliciesPerAccount: {QUOTA}")
    counted = store.usage(policy.account, policy.arn)
    draft.read(counted, Usage)
    draft.write(counted, Usage())
    draft.write(place, policy)


def _in_scope(
    call: Admitted, after: str, reader: Reader
) -> Iterator[tuple[str, ManagedPolicy]]:
    """Give the account's policies (`0` and their key), then AWS's (`1` and ARN)."""
    scope = optional(call.parameters, "Scope") or "All"
    if scope != "AWS" and not after.startswith("1"):
        own = reader.walk(
            call.principal.account, store.POLICIES, ManagedPolicy, after=after[1:]
        )
        yield from ((f"0{key}", policy) for key, policy in own)
    if scope != "Local":
        past = after[1:] if after.startswith("1") else ""
        yield from ((f"1{arn}", GIVEN[arn]) for arn in sorted(GIVEN) if arn > past)
