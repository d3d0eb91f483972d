"""The operations on the resource policies of functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import orjson

from casemate.core.call import Admitted
from casemate.core.errors import Conflict, NotFound
from casemate.core.operation import operation
from casemate.services.lambda_ import policy
from casemate.services.lambda_.changes import Edit
from casemate.services.lambda_.declared import QUALIFIED, permission_context
from casemate.services.lambda_.directory import Directory
from casemate.services.lambda_.functions import present
from casemate.services.lambda_.model import Function, Grant, Holder
from casemate.services.lambda_.names import (
    LATEST,
    FunctionRef,
    function_context,
    function_resource,
)
from casemate.services.lambda_.parameters import needed, text
from casemate.services.lambda_.ports import NewId
from casemate.services.lambda_.refusals import INVALID, invalid, not_found, precondition
from casemate.services.lambda_.settings import FunctionSettings
from casemate.services.lambda_.store import Store

_ERRORS: Final = (
    INVALID,
    "ResourceNotFoundException",
    "ServiceException",
    "TooManyRequestsException",
)
_CHANGES: Final = (
    *_ERRORS,
    "PreconditionFailedException",
    "PublicPolicyException",
    "ResourceConflictException",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Who besides the account may use a function."""

    store: Store
    directory: Directory
    settings: FunctionSettings
    new_id: NewId

    @operation(
        "AddPermission",
        action="lambda:AddPermission",
        resource=function_resource,
        context=permission_context,
        accepts=(
            *QUALIFIED,
            "StatementId",
            "Action",
            "Principal",
            "SourceArn",
            "SourceAccount",
            "RevisionId",
        ),
        mutates=True,
        errors=(*_CHANGES, "PolicyLengthExceededException"),
    )
    async def add(self, call: Admitted) -> Mapping[str, object]:
        """Add one statement to the policy of a function, a version or an alias."""
        ref, _ = present(self.directory, call)
        _has_policy(ref)
        given = policy.grant(
            sid=needed(call.parameters, "StatementId"),
            action=needed(call.parameters, "Action"),
            principal=needed(call.parameters, "Principal"),
            source_arn=text(call.parameters, "SourceArn") or "",
            source_account=text(call.parameters, "SourceAccount") or "",
        )
        if policy.public(given) and not self.settings.unsafe_public_policies:
            raise policy.public_refused()
        revision, identifier = text(call.parameters, "RevisionId"), self.new_id()

        def edit(now: Function) -> Edit:
            there = self._holder(now, ref)
            _current(there, revision)
            return _edit(now, _with(there, given, identifier))

        await self.store.change(ref, edit)
        written = orjson.dumps(policy.statement(given, ref.qualified)).decode()
        return {"Statement": written}

    @operation(
        "RemovePermission",
        action="lambda:RemovePermission",
        resource=function_resource,
        context=function_context,
        accepts=(*QUALIFIED, "StatementId", "RevisionId"),
        mutates=True,
        errors=_CHANGES,
    )
    async def remove(self, call: Admitted) -> Mapping[str, object]:
        """Take one statement out of a policy."""
        ref, _ = present(self.directory, call)
        _has_policy(ref)
        sid = needed(call.parameters, "StatementId")
        revision, identifier = text(call.parameters, "RevisionId"), self.new_id()

        def edit(now: Function) -> Edit:
            there = self._holder(now, ref)
            kept = tuple(given for given in there.grants if given.sid != sid)
            if len(kept) == len(there.grants):
                raise NotFound(
                    f"Statement {sid[:100]} is not found in resource policy.",
                    members={"Type": "User"},
                )
            _current(there, revision)
            after = replace(
                there, grants=kept, policy_revision=identifier if kept else ""
            )
            return _edit(now, after)

        await self.store.change(ref, edit)
        return {}

    @operation(
        "GetPolicy",
        action="lambda:GetPolicy",
        resource=function_resource,
        context=function_context,
        accepts=QUALIFIED,
        mutates=False,
        errors=_ERRORS,
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """Show the policy of a function, a version or an alias."""
        ref, deployed = present(self.directory, call)
        holder = deployed.holder
        if ref.qualifier == LATEST or not holder.grants:
            raise NotFound(
                "The resource you requested does not exist.", members={"Type": "User"}
            )
        return {
            "Policy": policy.document(holder),
            "RevisionId": holder.policy_revision,
        }

    def _holder(self, now: Function, ref: FunctionRef) -> Holder:
        """Find what a qualifier names.  Raises NotFound."""
        if not ref.qualifier:
            return now
        store = self.store
        found = store.version(ref, ref.qualifier) or store.alias(ref, ref.qualifier)
        if found is None:
            raise not_found(ref.qualified)
        return found


def _has_policy(ref: FunctionRef) -> None:
    if ref.qualifier == LATEST:
        raise invalid("We currently do not support adding policies for $LATEST.")


def _edit(now: Function, after: Holder) -> Edit:
    if isinstance(after, Function):
        return Edit(function=after)
    return Edit(function=now, written=(after,))


def _current(now: Holder, revision: str | None) -> None:
    # A policy that is not there yet goes by the revision of what it is to be on.
    latest = now.policy_revision or now.revision
    if revision and revision != latest:
        raise precondition("Lambda function's policy")


def _with(now: Holder, given: Grant, identifier: str) -> Holder:
    if any(there.sid == given.sid for there in now.grants):
        raise Conflict(
            f"The statement id ({given.sid}) provided already exists. Please provide a "
            "new statement id, or remove the existing statement.",
            members={"Type": "User"},
        )
    after = replace(now, grants=(*now.grants, given), policy_revision=identifier)
    if len(policy.document(after).encode()) > policy.LIMIT:
        raise policy.too_long()
    return after
