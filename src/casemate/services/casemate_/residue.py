"""
The operations on residue policies of functions.

What may be in a cell when an event comes in, of the events before it: `keep` is
AWS's own behaviour, `wipe` forbids files in `/tmp` and processes that were left,
`fresh` gives each event a cell that has run nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from casemate.core.arn import Arn, NotAnArnError
from casemate.core.call import Admitted
from casemate.core.errors import Conflict, Invalid, NotFound, Unavailable
from casemate.core.function import Residue
from casemate.core.operation import Parameters, Scope, operation
from casemate.services.casemate_.ports import Residues

_SEEN: Final = ("AccessDeniedException", "ResourceNotFoundException")
_CHANGED: Final = (*_SEEN, "ConflictException", "ServiceUnavailableException")


def function(parameters: Parameters, _scope: Scope) -> Arn:
    """Name the function: by its unqualified ARN and nothing shorter."""
    given = str(parameters.get("FunctionArn", ""))
    try:
        arn = Arn.parse(given)
    except NotAnArnError as cause:
        raise Invalid(f"`FunctionArn` is not an ARN: {cause}") from cause
    kind, _, name = arn.resource.partition(":")
    if (arn.service, kind) != ("lambda", "function") or not name or ":" in name:
        raise Invalid("`FunctionArn` must be a function's ARN without a qualifier")
    return arn


@dataclass(frozen=True, slots=True, kw_only=True)
class ResiduePolicies:
    """Puts, gets and deletes them."""

    residues: Residues

    @operation(
        "PutResiduePolicy",
        action="casemate:PutResiduePolicy",
        resource=function,
        accepts=("FunctionArn", "Policy"),
        mutates=True,
        errors=_CHANGED,
    )
    async def put(self, call: Admitted) -> Mapping[str, object]:
        """Set a function's policy, for all its versions, from the next event on."""
        arn = _here(call)
        policy = _policy(call.parameters.get("Policy"))
        with _in_our_words():
            await self.residues.put(arn, policy)
        return {"FunctionArn": str(arn), "Policy": str(policy)}

    @operation(
        "GetResiduePolicy",
        action="casemate:GetResiduePolicy",
        resource=function,
        accepts=("FunctionArn",),
        mutates=False,
        errors=_SEEN,
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """Give a function's policy; `keep` if none was put."""
        arn = _here(call)
        with _in_our_words():
            policy = self.residues.get(arn)
        return {"FunctionArn": str(arn), "Policy": str(policy)}

    @operation(
        "DeleteResiduePolicy",
        action="casemate:DeleteResiduePolicy",
        resource=function,
        accepts=("FunctionArn",),
        mutates=True,
        errors=_CHANGED,
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        """Take a function's policy back; that there was none is no error."""
        arn = _here(call)
        with _in_our_words():
            await self.residues.delete(arn)
        return {}


def _here(call: Admitted) -> Arn:
    arn = function(call.parameters, call.scope)
    if (arn.account, arn.region) != (call.scope.account, call.scope.region):
        raise _not_found(arn)
    return arn


def _policy(given: object) -> Residue:
    try:
        return Residue(str(given))
    except ValueError as cause:
        words = ", ".join(f"`{word}`" for word in Residue)
        raise Invalid(f"`Policy` must be one of {words}") from cause


def _not_found(arn: object) -> NotFound:
    return NotFound(f"there is no function `{arn}` here")


@contextmanager
def _in_our_words() -> Iterator[None]:
    """Turn Lambda's refusals into those of this service's model."""
    try:
        yield
    except NotFound as refusal:
        raise NotFound(refusal.reason) from refusal
    except Conflict as refusal:
        raise Conflict(refusal.reason, code="ConflictException") from refusal
    except Unavailable as refusal:
        raise Unavailable(
            refusal.reason, code="ServiceUnavailableException"
        ) from refusal
