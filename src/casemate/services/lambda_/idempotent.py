"""
The operations on the idempotency policies of functions.

They are operations of the platform's own service: AWS has none for this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from casemate.core.call import Admitted
from casemate.core.errors import Invalid, NotFound
from casemate.core.operation import operation
from casemate.core.typed import Typed
from casemate.services.lambda_.declared import NAMED
from casemate.services.lambda_.directory import Directory, plan
from casemate.services.lambda_.functions import present
from casemate.services.lambda_.idempotency.policy import (
    HOUR,
    Missing,
    Policy,
    PolicyError,
    planned,
)
from casemate.services.lambda_.model import Function
from casemate.services.lambda_.names import (
    FunctionRef,
    function_context,
    function_resource,
)
from casemate.services.lambda_.store import Store

_ERRORS: Final = ("ResourceNotFoundException", "ValidationException")
_CHANGES: Final = (*_ERRORS, "ResourceConflictException", "ServiceException")
_typed: Final = Typed(Invalid)


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotency:
    """Idempotency policies of functions."""

    store: Store
    directory: Directory

    @operation(
        "PutIdempotencyPolicy",
        action="casemate:PutIdempotencyPolicy",
        resource=function_resource,
        context=function_context,
        accepts=(
            *NAMED,
            "KeyExpression",
            "PayloadExpression",
            "ExpiresAfterSeconds",
            "KeyMissing",
        ),
        mutates=True,
        errors=_CHANGES,
    )
    async def put(self, call: Admitted) -> Mapping[str, object]:
        """Have a function run once for each key; it wins over what tags say."""
        ref = self._function(call)
        policy = _policy(call)
        changed = await self.store.change(
            ref, lambda now: replace(now, idempotency=policy)
        )
        return _shown(changed.after)

    @operation(
        "GetIdempotencyPolicy",
        action="casemate:GetIdempotencyPolicy",
        resource=function_resource,
        context=function_context,
        accepts=NAMED,
        mutates=False,
        errors=_ERRORS,
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """Show the policy that is in force, and where it comes from."""
        self._function(call)
        _, deployed = present(self.directory, call)
        return _shown(deployed.function)

    @operation(
        "DeleteIdempotencyPolicy",
        action="casemate:DeleteIdempotencyPolicy",
        resource=function_resource,
        context=function_context,
        accepts=NAMED,
        mutates=True,
        errors=_CHANGES,
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        """Take a policy off a function; what tags say is then in force again."""
        ref = self._function(call)
        await self.store.change(ref, lambda now: replace(now, idempotency=None))
        return {}

    def _function(self, call: Admitted) -> FunctionRef:
        ref, _ = present(self.directory, call)
        if ref.qualifier:
            raise Invalid(
                "an idempotency policy is on a function, for all its versions; leave "
                "the qualifier out"
            )
        return ref


def _policy(call: Admitted) -> Policy:
    parameters = call.parameters
    compare = _typed.text(parameters, "PayloadExpression")
    if compare == "":
        raise Invalid("`PayloadExpression` must not be empty; leave it out")
    expires = _typed.integer(parameters, "ExpiresAfterSeconds")
    missing = _typed.text(parameters, "KeyMissing") or Missing.REFUSE
    if missing not in tuple(Missing):
        raise Invalid(f"`KeyMissing` must be one of {', '.join(Missing)}")
    policy = Policy(
        key=_typed.needed(parameters, "KeyExpression"),
        compare=compare or "",
        expires=HOUR if expires is None else expires,
        missing=Missing(missing),
    )
    try:
        planned(policy)
    except PolicyError as cause:
        raise Invalid(str(cause)) from cause
    return policy


def _shown(function: Function) -> dict[str, object]:
    found = plan(function)
    if found is None:
        raise NotFound("the function has no idempotency policy")
    policy = found.policy
    shown: dict[str, object] = {
        "FunctionArn": function.ref.arn,
        "KeyExpression": policy.key,
        "ExpiresAfterSeconds": policy.expires,
        "KeyMissing": policy.missing.value,
        "Source": "Policy" if function.idempotency else "Tags",
    }
    if policy.compare:
        shown["PayloadExpression"] = policy.compare
    return shown
