"""The operations that look at functions, and the one that removes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from casemate.core.call import Admitted
from casemate.core.errors import Conflict
from casemate.core.operation import Scope, anything, operation
from casemate.seal.token import Tokens
from casemate.services.lambda_ import pages
from casemate.services.lambda_ import settings as limits
from casemate.services.lambda_.changes import Edit
from casemate.services.lambda_.declared import QUALIFIED
from casemate.services.lambda_.describe import describe
from casemate.services.lambda_.directory import Deployed, Directory
from casemate.services.lambda_.model import Alias, Function
from casemate.services.lambda_.names import (
    LATEST,
    FunctionRef,
    function_context,
    function_resource,
    here,
    refer,
)
from casemate.services.lambda_.parameters import text
from casemate.services.lambda_.ports import Run
from casemate.services.lambda_.refusals import INVALID, invalid, not_found
from casemate.services.lambda_.reservations import Reservations
from casemate.services.lambda_.settings import FunctionSettings
from casemate.services.lambda_.settle import Settler
from casemate.services.lambda_.store import Store
from casemate.services.lambda_.usage import Usages

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
    usages: Usages
    reservations: Reservations
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
        Describe a function, its package, its tags and what is reserved for it.

        `Code.Location` is left out: it would be a signed download, which is not
        here yet.
        """
        ref, deployed = present(self.directory, call)
        answer: dict[str, object] = {
            "Configuration": _shown(ref, deployed),
            "Code": {"RepositoryType": "S3"},
        }
        if deployed.function.tags:
            answer["Tags"] = dict(deployed.function.tags)
        if share := self.reservations.share(ref):
            answer["Concurrency"] = {"ReservedConcurrentExecutions": share.most}
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
        return _shown(ref, deployed)

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

        `FunctionVersion=ALL` lists each with its versions: `$LATEST`, then the
        published ones in their order.
        """
        scope = call.scope
        is_all = text(call.parameters, "FunctionVersion") == "ALL"
        page = pages.Pages(
            tokens=self.tokens,
            account=scope.account,
            operation="lambda:ListFunctions",
            query=f"{scope.region}/{'ALL' if is_all else ''}".encode(),
        )
        most, after = pages.size(call), page.after(call)
        listed = self._all(scope, after) if is_all else self._each(scope, after, most)
        found = list(islice(listed, most + 1))
        answer: dict[str, object] = {"Functions": [shown for _, shown in found[:most]]}
        if len(found) > most:
            answer["NextMarker"] = page.next(found[most - 1][0])
        return answer

    def _each(
        self, scope: Scope, after: str, most: int
    ) -> Iterator[tuple[str, dict[str, object]]]:
        """Describe functions past a name, and name them."""
        for function in self.store.scan(
            scope.account, scope.region, after=after, limit=most + 1
        ):
            yield function.name, describe(function)

    def _all(self, scope: Scope, after: str) -> Iterator[tuple[str, dict[str, object]]]:
        """Describe functions with their versions past a position: `NAME VERSION`."""
        name, _, version = after.partition(" ")
        if name:
            ref = FunctionRef(account=scope.account, region=scope.region, name=name)
            if function := self.store.read(ref):
                yield from self._versions(function, version)
        while found := self.store.scan(
            scope.account, scope.region, after=name, limit=pages.PAGE
        ):
            for function in found:
                yield from self._versions(function, "")
            name = found[-1].name

    def _versions(
        self, function: Function, after: str
    ) -> Iterator[tuple[str, dict[str, object]]]:
        for version, shown in described(self.store, function, after):
            yield f"{function.name} {version}", shown

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
        used = self.usages.of(call.scope.account)
        most = self.settings.concurrent_executions
        return {
            "AccountLimit": {
                "TotalCodeSize": self.settings.total_code_bytes,
                "CodeSizeUnzipped": limits.UNPACKED,
                "CodeSizeZipped": limits.PACKAGE,
                "ConcurrentExecutions": most,
                "UnreservedConcurrentExecutions": most
                - self.reservations.places(call.scope.account),
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
        Remove a function with all that is its own, or one of its versions.

        Cells end once they are idle, a package goes when nobody holds it.  The
        log group stays, as in AWS.  A version that is not there is no error,
        also as in AWS; one that an alias leads to is.
        """
        ref = here(refer(call.parameters, call.scope), call.scope)
        if ref.qualifier == LATEST:
            raise invalid(
                "$LATEST version cannot be deleted without deleting the function."
            )
        if not ref.qualifier:
            await self.settler.carry(self._gone(ref))
        elif ref.qualifier.isdigit():
            await self.settler.carry(self._version_gone(ref))
        else:
            raise invalid(
                "Deletion of aliases is not currently supported. DeleteAlias deletes "
                "an alias; here the qualifier must be the number of a version"
            )
        return {"StatusCode": 204}

    async def _gone(self, ref: FunctionRef) -> None:
        self.settler.release(await self.store.delete(ref))
        await self.run.retire(ref.arn)

    async def _version_gone(self, ref: FunctionRef) -> None:
        def edit(now: Function) -> Edit:
            version = self.store.version(ref, ref.qualifier)
            if version is None:
                return Edit(function=now)
            names = [a.alias for a in self._aliases(ref) if ref.qualifier in a.targets]
            if names:
                raise Conflict(
                    "Unable to delete version because the following aliases "
                    f"reference it: [{', '.join(names)}]",
                    members={"Type": "User"},
                )
            return Edit(function=now, removed=(version,))

        self.settler.release(await self.store.change(ref, edit))
        await self.run.retire(ref.arn, version=ref.qualifier)

    def _aliases(self, ref: FunctionRef) -> Sequence[Alias]:
        return self.store.aliases(ref, limit=self.settings.aliases)


def described(
    store: Store, function: Function, after: str
) -> Iterator[tuple[str, dict[str, object]]]:
    """
    Describe `$LATEST` and the versions past one, and name them.

    after: `$LATEST` or a number; empty to begin with `$LATEST`.
    """
    if not after:
        yield LATEST, describe(function, qualifier=LATEST)
    number = "" if after == LATEST else after
    while found := store.versions(function.ref, after=number, limit=pages.PAGE):
        for version in found:
            number = version.number
            yield number, describe(function, qualifier=number, published=version)


def _shown(ref: FunctionRef, deployed: Deployed) -> dict[str, object]:
    return describe(
        deployed.function, qualifier=ref.qualifier, published=deployed.published
    )
