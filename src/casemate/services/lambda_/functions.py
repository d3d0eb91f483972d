"""The operations that look at functions, and the one that removes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from casemate.core.call import Admitted
from casemate.core.errors import Invalid
from casemate.core.operation import anything, operation
from casemate.seal.token import TokenError, Tokens
from casemate.services.lambda_ import settings as limits
from casemate.services.lambda_.declared import NAMED, QUALIFIED
from casemate.services.lambda_.describe import describe
from casemate.services.lambda_.directory import Deployed, Directory
from casemate.services.lambda_.model import Function
from casemate.services.lambda_.names import (
    LATEST,
    FunctionRef,
    function_context,
    function_resource,
    here,
    refer,
)
from casemate.services.lambda_.parameters import integer, text
from casemate.services.lambda_.ports import Run
from casemate.services.lambda_.refusals import INVALID, invalid, not_found
from casemate.services.lambda_.settings import FunctionSettings
from casemate.services.lambda_.settle import Settler
from casemate.services.lambda_.store import Store, releasing
from casemate.services.lambda_.usage import usage

PAGE: Final = 50
"""Functions of one answer: AWS gives at most that many, whatever is asked for."""

_MOST: Final = 10_000
_SEEN: Final = (
    INVALID,
    "ResourceNotFoundException",
    "ServiceException",
    "TooManyRequestsException",
)


def present(directory: Directory, call: Admitted) -> tuple[FunctionRef, Deployed]:
    """Find the function that a call is about.  Raises Invalid, NotFound."""
    ref = here(refer(call.parameters, call.scope), call.scope)
    deployed = directory.find(ref)
    if deployed is None:
        raise not_found(ref.qualified)
    return ref, deployed


@dataclass(frozen=True, slots=True, kw_only=True)
class Functions:
    """Functions as they are."""

    store: Store
    directory: Directory
    settler: Settler
    run: Run
    tokens: Tokens
    settings: FunctionSettings

    @operation(
        "GetFunction",
        action="lambda:GetFunction",
        resource=function_resource,
        context=function_context,
        accepts=QUALIFIED,
        mutates=False,
        errors=_SEEN,
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """
        Describe a function, its package and its tags.

        `Code.Location` is left out: it would be a signed download, which is not
        here yet.
        """
        ref, deployed = present(self.directory, call)
        answer: dict[str, object] = {
            "Configuration": describe(deployed.function, qualifier=ref.qualifier),
            "Code": {"RepositoryType": "S3"},
        }
        if deployed.function.tags:
            answer["Tags"] = dict(deployed.function.tags)
        return answer

    @operation(
        "GetFunctionConfiguration",
        action="lambda:GetFunctionConfiguration",
        resource=function_resource,
        context=function_context,
        accepts=QUALIFIED,
        mutates=False,
        errors=_SEEN,
    )
    async def get_configuration(self, call: Admitted) -> Mapping[str, object]:
        """Describe a function."""
        ref, deployed = present(self.directory, call)
        return describe(deployed.function, qualifier=ref.qualifier)

    @operation(
        "ListFunctions",
        action="lambda:ListFunctions",
        resource=anything,
        accepts=("FunctionVersion", "Marker", "MaxItems"),
        only={"FunctionVersion": ("ALL",)},
        mutates=False,
        paginated=True,
        errors=(INVALID, "ServiceException", "TooManyRequestsException"),
    )
    async def list(self, call: Admitted) -> Mapping[str, object]:
        """
        List the caller's functions by name, 50 at most in one answer.

        `FunctionVersion=ALL` adds nothing: `$LATEST` is the only version yet,
        and is then named in the ARNs.
        """
        scope = call.scope
        qualifier = LATEST if text(call.parameters, "FunctionVersion") else ""
        asked = integer(call.parameters, "MaxItems")
        if asked is not None and not 1 <= asked <= _MOST:
            raise invalid(f"`MaxItems` must be from 1 to {_MOST}")
        size = min(asked or PAGE, PAGE)
        query = f"{scope.region}/{qualifier}".encode()
        after = self._after(call, "lambda:ListFunctions", query)
        found = self.store.scan(
            scope.account, scope.region, after=after, limit=size + 1
        )
        answer: dict[str, object] = {
            "Functions": [describe(f, qualifier=qualifier) for f in found[:size]]
        }
        if len(found) > size:
            answer["NextMarker"] = self.tokens.seal(
                scope.account,
                "lambda:ListFunctions",
                query,
                found[size - 1].name.encode(),
            )
        return answer

    @operation(
        "ListVersionsByFunction",
        action="lambda:ListVersionsByFunction",
        resource=function_resource,
        context=function_context,
        accepts=("FunctionName", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=_SEEN,
    )
    async def list_versions(self, call: Admitted) -> Mapping[str, object]:
        """List the versions: `$LATEST` alone, until versions are published here."""
        _, deployed = present(self.directory, call)
        if text(call.parameters, "Marker") is not None:
            raise _bad_marker()  # there is one page, so none was ever given
        return {"Versions": [describe(deployed.function, qualifier=LATEST)]}

    @operation(
        "GetFunctionConcurrency",
        action="lambda:GetFunctionConcurrency",
        resource=function_resource,
        context=function_context,
        accepts=NAMED,
        mutates=False,
        errors=_SEEN,
    )
    async def get_concurrency(self, call: Admitted) -> Mapping[str, object]:
        """Say that nothing is reserved: reserving is refused by name as yet."""
        present(self.directory, call)
        return {}

    @operation(
        "GetAccountSettings",
        action="lambda:GetAccountSettings",
        resource=anything,
        accepts=(),
        mutates=False,
        errors=("ServiceException", "TooManyRequestsException"),
    )
    async def get_account_settings(self, call: Admitted) -> Mapping[str, object]:
        """Tell the limits of the account and what of them is used."""
        used = usage(self.store, call.scope.account)
        most = self.settings.concurrent_executions
        return {
            "AccountLimit": {
                "TotalCodeSize": self.settings.total_code_bytes,
                "CodeSizeUnzipped": limits.UNPACKED,
                "CodeSizeZipped": limits.PACKAGE,
                "ConcurrentExecutions": most,
                "UnreservedConcurrentExecutions": most,
            },
            "AccountUsage": {
                "TotalCodeSize": used.bytes,
                "FunctionCount": used.functions,
            },
        }

    @operation(
        "DeleteFunction",
        action="lambda:DeleteFunction",
        resource=function_resource,
        context=function_context,
        accepts=QUALIFIED,
        mutates=True,
        errors=(*_SEEN, "ResourceConflictException"),
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        """
        Remove a function, its policy and its tags in one commit.

        Its cells end once they are idle, its package goes when no function
        holds it.  Its log group stays, as in AWS.
        """
        ref = here(refer(call.parameters, call.scope), call.scope)
        if ref.qualifier:
            raise invalid(
                "$LATEST version cannot be deleted without deleting the function."
            )
        await self.settler.carry(self._gone(ref))
        return {"StatusCode": 204}

    async def _gone(self, ref: FunctionRef) -> Function:
        gone = await self.store.delete(ref)
        for sha256 in gone.packages:
            self.settler.start(releasing(gone.ref, sha256))
        await self.run.retire(ref.arn)
        return gone

    def _after(self, call: Admitted, name: str, query: bytes) -> str:
        marker = text(call.parameters, "Marker")
        if not marker:
            return ""
        try:
            position = self.tokens.open(call.scope.account, name, query, marker)
        except TokenError as cause:
            raise _bad_marker() from cause
        return position.decode()


def _bad_marker() -> Invalid:
    return invalid("`Marker` was not given for this account and this query")
