"""
Recursive loops: what stops them, and what a function's owner says of them.

A call carries the hops that led to it: the platform counts them itself, over every
call that a cell makes and everything that is done later for it, and reads none from
outside.  Past `HOPS` a function is not invoked, unless its own setting is `Allow`.

AWS counts where the SDK passes its trace header on, and not over direct calls; a
function that leaves the header out is not stopped there, and is stopped here.

Sources: https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html,
https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionRecursionConfig.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from casemate.core.call import Admitted, Door
from casemate.core.errors import Refusal
from casemate.core.event import HOPS
from casemate.core.operation import operation
from casemate.services.lambda_.declared import NAMED
from casemate.services.lambda_.directory import Deployed, Directory
from casemate.services.lambda_.functions import present
from casemate.services.lambda_.names import (
    function_context,
    function_resource,
    unqualified,
)
from casemate.services.lambda_.parameters import text
from casemate.services.lambda_.refusals import INVALID, invalid
from casemate.services.lambda_.store import Store

RECURSIVE: Final = "RecursiveInvocationException"
ALLOW: Final = "Allow"
TERMINATE: Final = "Terminate"

_ERRORS: Final = (
    INVALID,
    "ResourceNotFoundException",
    "ServiceException",
    "TooManyRequestsException",
)


def stop(call: Admitted, deployed: Deployed, kind: str) -> None:
    """
    Refuse a call that is too many hops away from the first.

    kind: the invocation type.  An event that the platform itself delivers is
    taken, so that it ends where its function's owner said, and not with its sender.
    """
    hops = call.arrival.trace.hops
    if hops <= HOPS or deployed.function.recursive:
        return
    if kind == "Event" and call.arrival.door is Door.SERVICE:
        return
    raise Refusal(
        "Lambda has detected your function being invoked in a recursive loop with "
        "other Amazon Web Services resources and stopped your function's invocation. "
        f"It may be {HOPS} hops away from the first call; PutFunctionRecursionConfig "
        "can allow more",
        code=RECURSIVE,
        status=400,
        members={"Type": "User"},
        evidence={"hops": hops},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Recursion:
    """Keeps what functions' owners say of recursive loops."""

    store: Store
    directory: Directory

    @operation(
        "PutFunctionRecursionConfig",
        action="lambda:PutFunctionRecursionConfig",
        resource=function_resource,
        context=function_context,
        accepts=(*NAMED, "RecursiveLoop"),
        mutates=True,
        errors=(*_ERRORS, "ResourceConflictException"),
    )
    async def put(self, call: Admitted) -> Mapping[str, object]:
        """Say whether a function may be invoked past the hops, all versions alike."""
        ref, _ = present(self.directory, call)
        wanted = text(call.parameters, "RecursiveLoop")
        if wanted not in (ALLOW, TERMINATE):
            raise invalid(f"`RecursiveLoop` must be `{ALLOW}` or `{TERMINATE}`")
        await self.store.change(
            unqualified(ref), lambda now: replace(now, recursive=wanted == ALLOW)
        )
        return {"RecursiveLoop": wanted}

    @operation(
        "GetFunctionRecursionConfig",
        action="lambda:GetFunctionRecursionConfig",
        resource=function_resource,
        context=function_context,
        accepts=NAMED,
        mutates=False,
        errors=_ERRORS,
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """Say whether a function may be invoked past the hops."""
        ref, deployed = present(self.directory, call)
        unqualified(ref)
        allowed = deployed.function.recursive
        return {"RecursiveLoop": ALLOW if allowed else TERMINATE}
