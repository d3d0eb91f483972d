"""
The operations on aliases.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-aliases.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from casemate.core.call import Admitted
from casemate.core.errors import Conflict, NotFound, Refusal
from casemate.core.operation import operation
from casemate.seal.token import Tokens
from casemate.services.lambda_ import pages, routing
from casemate.services.lambda_.changes import Edit
from casemate.services.lambda_.describe import describe_alias
from casemate.services.lambda_.directory import Directory
from casemate.services.lambda_.functions import present
from casemate.services.lambda_.model import Alias, Function
from casemate.services.lambda_.names import (
    FunctionRef,
    function_context,
    function_resource,
    unqualified,
)
from casemate.services.lambda_.parameters import needed, text
from casemate.services.lambda_.ports import NewId
from casemate.services.lambda_.refusals import INVALID, invalid, precondition
from casemate.services.lambda_.settings import FunctionSettings
from casemate.services.lambda_.store import Store

_NAME = re.compile(r"(?!\d+\Z)[A-Za-z0-9_-]{1,128}", re.ASCII)
_ERRORS: Final = (
    INVALID,
    "ResourceNotFoundException",
    "ServiceException",
    "TooManyRequestsException",
)
_GIVEN: Final = (
    "FunctionName",
    "Name",
    "FunctionVersion",
    "Description",
    "RoutingConfig.AdditionalVersionWeights",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aliases:
    """Aliases of functions."""

    store: Store
    directory: Directory
    tokens: Tokens
    settings: FunctionSettings
    new_id: NewId

    @operation(
        "CreateAlias",
        action="lambda:CreateAlias",
        resource=function_resource,
        context=function_context,
        accepts=_GIVEN,
        mutates=True,
        errors=(*_ERRORS, "AliasLimitExceededException", "ResourceConflictException"),
    )
    async def create(self, call: Admitted) -> Mapping[str, object]:
        """Make an alias of a version, or of two."""
        ref = self._function(call)
        blank = Alias(
            account=ref.account,
            region=ref.region,
            name=ref.name,
            alias=_named(call),
            version=needed(call.parameters, "FunctionVersion"),
            revision=self.new_id(),
        )

        def edit(now: Function) -> Edit:
            alias = routing.led(blank, call.parameters, self._versions(ref))
            if self.store.alias(ref, alias.alias) is not None:
                raise Conflict(
                    f"Alias already exists: {alias.ref.qualified}",
                    members={"Type": "User"},
                )
            self._room_for(ref)
            return Edit(function=now, written=(alias,))

        return await self._written(ref, edit)

    @operation(
        "GetAlias",
        action="lambda:GetAlias",
        resource=function_resource,
        context=function_context,
        accepts=("FunctionName", "Name"),
        mutates=False,
        errors=_ERRORS,
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """Describe an alias."""
        return describe_alias(self._alias(self._function(call), _named(call)))

    @operation(
        "UpdateAlias",
        action="lambda:UpdateAlias",
        resource=function_resource,
        context=function_context,
        accepts=(*_GIVEN, "RevisionId"),
        mutates=True,
        errors=(*_ERRORS, "PreconditionFailedException", "ResourceConflictException"),
    )
    async def update(self, call: Admitted) -> Mapping[str, object]:
        """Lead an alias elsewhere; the next invocation goes there."""
        ref, name = self._function(call), _named(call)
        revision, identifier = text(call.parameters, "RevisionId"), self.new_id()

        def edit(now: Function) -> Edit:
            before = self._alias(ref, name)
            if revision and revision != before.revision:
                raise precondition("Lambda Alias")
            after = routing.led(before, call.parameters, self._versions(ref))
            return Edit(function=now, written=(replace(after, revision=identifier),))

        return await self._written(ref, edit)

    @operation(
        "DeleteAlias",
        action="lambda:DeleteAlias",
        resource=function_resource,
        context=function_context,
        accepts=("FunctionName", "Name"),
        mutates=True,
        errors=(*_ERRORS, "ResourceConflictException"),
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        """Remove an alias with its policy; one that is not there is no error."""
        ref, name = self._function(call), _named(call)

        def edit(now: Function) -> Edit:
            alias = self.store.alias(ref, name)
            return Edit(function=now, removed=(alias,) if alias else ())

        await self.store.change(ref, edit)
        return {}

    @operation(
        "ListAliases",
        action="lambda:ListAliases",
        resource=function_resource,
        context=function_context,
        accepts=("FunctionName", "FunctionVersion", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=_ERRORS,
    )
    async def list(self, call: Admitted) -> Mapping[str, object]:
        """List the aliases by name, 50 at most; of a version, those that lead to it."""
        ref = self._function(call)
        version = text(call.parameters, "FunctionVersion") or ""
        page = pages.Pages(
            tokens=self.tokens,
            account=call.scope.account,
            operation="lambda:ListAliases",
            query=f"{ref.arn} {version}".encode(),
        )
        most, after = pages.size(call), page.after(call)
        found = [
            alias
            for alias in self._all(ref, after)
            if not version or version in alias.targets
        ]
        answer: dict[str, object] = {
            "Aliases": [describe_alias(alias) for alias in found[:most]]
        }
        if len(found) > most:
            answer["NextMarker"] = page.next(found[most - 1].alias)
        return answer

    def _function(self, call: Admitted) -> FunctionRef:
        ref, _ = present(self.directory, call)
        return unqualified(ref)

    def _alias(self, ref: FunctionRef, name: str) -> Alias:
        found = self.store.alias(ref, name)
        if found is None:
            raise NotFound(
                f"Cannot find alias arn: {ref.arn}:{name}", members={"Type": "User"}
            )
        return found

    def _versions(self, ref: FunctionRef) -> routing.Find:
        return partial(self.store.version, ref)

    def _all(self, ref: FunctionRef, after: str) -> Iterator[Alias]:
        while found := self.store.aliases(ref, after=after):
            yield from found
            after = found[-1].alias

    def _room_for(self, ref: FunctionRef) -> None:
        most = self.settings.aliases
        if len(self.store.aliases(ref, limit=most)) >= most:
            raise Refusal(
                f"the function has {most} aliases, which is the most that this "
                "platform's operator allows; delete what is not needed",
                code="AliasLimitExceededException",
            )

    async def _written(
        self, ref: FunctionRef, edit: Callable[[Function], Edit]
    ) -> Mapping[str, object]:
        changed = await self.store.change(ref, edit)
        told = [describe_alias(p) for p in changed.written if isinstance(p, Alias)]
        return told[0]


def _named(call: Admitted) -> str:
    name = needed(call.parameters, "Name")
    if not _NAME.fullmatch(name):
        raise invalid(
            f"`{name[:128]}` is not the name of an alias: [a-zA-Z0-9-_]{{1,128}}, not "
            "digits alone"
        )
    return name
