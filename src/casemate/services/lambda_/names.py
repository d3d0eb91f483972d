"""
The names of a function: which one does the caller mean?

    my-function                                       in the caller's account
    my-function:$LATEST                               a version
    my-function:live                                  an alias
    123456789012:function:my-function
    arn:aws:lambda:us-east-1:123456789012:function:my-function
    arn:aws:lambda:us-east-1:123456789012:function:my-function:7
    arn:aws:lambda:us-east-1:123456789012:function:my-function:live

All of them come down to one `FunctionRef`, before policy is asked, so no
spelling reaches a function by another decision.  A qualifier stays in the ARN
that policy is asked about, as in AWS: a statement on the unqualified ARN does
not speak of `:$LATEST`, and the other way round.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, final

from casemate.core.arn import Arn
from casemate.core.errors import Invalid, NotFound
from casemate.core.operation import Parameters, Scope
from casemate.services.lambda_.refusals import invalid

LATEST: Final = "$LATEST"

_LONGEST: Final = 256
_NAME: Final = 64
_REFERENCE = re.compile(
    r"(?:(?:arn:aws:lambda:)?(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9]):)?"
    r"(?:(?P<account>[0-9]{12}):)?"
    r"(?:function:)?"
    r"(?P<name>[A-Za-z0-9_-]+)"
    r"(?::(?P<qualifier>\$LATEST|[A-Za-z0-9_-]+))?",
    re.ASCII,
)
_QUALIFIER = re.compile(r"\$LATEST|[A-Za-z0-9_$-]{1,128}", re.ASCII)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionRef:
    """Which function, and which qualifier (empty: none was given)."""

    account: str
    region: str
    name: str
    qualifier: str = ""

    @property
    def arn(self) -> str:
        """Give the unqualified ARN."""
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.name}"

    @property
    def whole(self) -> FunctionRef:
        """Give the function as a whole, without the qualifier."""
        return replace(self, qualifier="") if self.qualifier else self

    @property
    def qualified(self) -> str:
        """Give the ARN as it was asked for."""
        return f"{self.arn}:{self.qualifier}" if self.qualifier else self.arn

    @property
    def resource(self) -> Arn:
        """Give the ARN as it was asked for, for policy."""
        suffix = f":{self.qualifier}" if self.qualifier else ""
        return Arn(
            service="lambda",
            region=self.region,
            account=self.account,
            resource=f"function:{self.name}{suffix}",
        )


@lru_cache(maxsize=8192)
def _resolve(text: str, qualifier: str, account: str, region: str) -> FunctionRef:
    matched = _REFERENCE.fullmatch(text)
    if matched is None or len(matched["name"]) > _NAME:
        raise _misnamed(text)
    if text.startswith("arn:") and (":function:" not in text or not matched["account"]):
        raise _misnamed(text)
    inner = matched["qualifier"] or ""
    if inner and qualifier and inner != qualifier:
        raise invalid(
            "The derived qualifier from the function name does not match the "
            "specified qualifier."
        )
    return FunctionRef(
        account=matched["account"] or account,
        region=matched["region"] or region,
        name=matched["name"],
        qualifier=inner or qualifier,
    )


def _misnamed(text: str) -> Invalid:
    return Invalid(
        f"1 validation error detected: Value '{text[:_LONGEST]}' at 'functionName' "
        "failed to satisfy constraint: Member must be a function's name "
        f"([a-zA-Z0-9-_], at most {_NAME} characters), partial ARN or ARN",
        code="ValidationException",
    )


def refer(parameters: Parameters, scope: Scope) -> FunctionRef:
    """
    Say which function the parameters `FunctionName` and `Qualifier` mean.

    A pure function of what the caller sent.  Raises Invalid.
    """
    name = parameters.get("FunctionName")
    qualifier = parameters.get("Qualifier") or ""
    if not isinstance(name, str) or not isinstance(qualifier, str):
        raise _misnamed(str(name))
    if len(name) > _LONGEST:
        raise _misnamed(name)
    if qualifier and not _QUALIFIER.fullmatch(qualifier):
        raise invalid(f"`{qualifier[:128]}` is not a qualifier")
    return _resolve(name, qualifier, scope.account, scope.region)


def refer_arn(arn: Arn) -> FunctionRef | None:
    """Say which function an ARN names; None if it names none."""
    if arn.service != "lambda" or arn.partition != "aws":
        return None
    kind, _, rest = arn.resource.partition(":")
    name, _, qualifier = rest.partition(":")
    if kind != "function" or not _REFERENCE.fullmatch(name) or ":" in qualifier:
        return None
    return FunctionRef(
        account=arn.account, region=arn.region, name=name, qualifier=qualifier
    )


def here(ref: FunctionRef, scope: Scope) -> FunctionRef:
    """
    Hold a reference to what exists on this platform: its region.

    Raises NotFound.  Only for callers that policy has let through.
    """
    if ref.region != scope.region:
        raise NotFound(
            f"Functions from '{ref.region}' are not reachable in this region "
            f"('{scope.region}')"
        )
    return ref


def unqualified(ref: FunctionRef) -> FunctionRef:
    """Hold a reference to a function as a whole.  Raises Invalid."""
    if ref.qualifier:
        raise invalid(
            "This operation does not support qualified ARNs; leave the qualifier out"
        )
    return ref


def function_resource(parameters: Parameters, scope: Scope) -> Arn:
    """Name the resource of an operation on a function."""
    return refer(parameters, scope).resource


def function_context(parameters: Parameters, scope: Scope) -> dict[str, str]:
    """Fill `lambda:FunctionArn`."""
    return {"lambda:FunctionArn": refer(parameters, scope).arn}
