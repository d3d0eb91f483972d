"""
The operations on published versions.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-versions.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from casemate.core.call import Admitted
from casemate.core.errors import Conflict
from casemate.core.operation import operation
from casemate.seal.token import Tokens
from casemate.services.lambda_ import pages, publishing
from casemate.services.lambda_.changes import Changed, Edit
from casemate.services.lambda_.describe import describe, digest
from casemate.services.lambda_.directory import Directory
from casemate.services.lambda_.functions import described, present
from casemate.services.lambda_.model import Function, Version
from casemate.services.lambda_.names import (
    function_context,
    function_resource,
    unqualified,
)
from casemate.services.lambda_.parameters import text
from casemate.services.lambda_.ports import NewId
from casemate.services.lambda_.refusals import INVALID, changeable, invalid
from casemate.services.lambda_.state import Update
from casemate.services.lambda_.store import Store
from casemate.services.lambda_.usage import Usages

DESCRIPTION: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """Versions of functions."""

    store: Store
    directory: Directory
    usages: Usages
    tokens: Tokens
    new_id: NewId

    @operation(
        "PublishVersion",
        action="lambda:PublishVersion",
        resource=function_resource,
        context=function_context,
        accepts=("FunctionName", "CodeSha256", "Description", "RevisionId"),
        mutates=True,
        errors=(
            INVALID,
            "CodeStorageExceededException",
            "PreconditionFailedException",
            "ResourceConflictException",
            "ResourceNotFoundException",
            "ServiceException",
            "TooManyRequestsException",
        ),
    )
    async def publish(self, call: Admitted) -> Mapping[str, object]:
        """
        Make a version of what `$LATEST` is now.

        It is Active at once: what it runs is what `$LATEST` runs already.
        """
        ref, _ = present(self.directory, call)
        description = text(call.parameters, "Description")
        if description is not None and len(description) > DESCRIPTION:
            raise invalid(f"`Description` must have at most {DESCRIPTION} characters")
        revision, identifier = text(call.parameters, "RevisionId"), self.new_id()
        sha256 = text(call.parameters, "CodeSha256")

        def edit(now: Function) -> Edit:
            changeable(now.life, now.revision, revision, ref.arn)
            _unspoilt(now)
            _is_code(now, sha256)
            last = self.store.version(ref, str(now.published))
            made = publishing.following(now, last, identifier, description=description)
            if made is last:
                return Edit(function=now)
            self.usages.room_for(ref.account, made.build.size, versions=1)
            after = publishing.counted(now, made)
            return Edit(function=after, written=(made,))

        changed = await self.store.change(unqualified(ref), edit)
        version = self._published(changed)
        return describe(changed.after, qualifier=version.number, published=version)

    @operation(
        "ListVersionsByFunction",
        action="lambda:ListVersionsByFunction",
        resource=function_resource,
        context=function_context,
        accepts=("FunctionName", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=(
            INVALID,
            "ResourceNotFoundException",
            "ServiceException",
            "TooManyRequestsException",
        ),
    )
    async def list(self, call: Admitted) -> Mapping[str, object]:
        """List `$LATEST`, then the versions in their order, 50 at most."""
        ref, deployed = present(self.directory, call)
        unqualified(ref)  # a right to one version is no right to see all
        function = deployed.function
        page = pages.Pages(
            tokens=self.tokens,
            account=call.scope.account,
            operation="lambda:ListVersionsByFunction",
            query=ref.arn.encode(),
        )
        most, after = pages.size(call), page.after(call)
        found = list(islice(described(self.store, function, after), most + 1))
        answer: dict[str, object] = {"Versions": [shown for _, shown in found[:most]]}
        if len(found) > most:
            answer["NextMarker"] = page.next(found[most - 1][0])
        return answer

    def _published(self, changed: Changed) -> Version:
        """Give the version that a change made, or the one that was there."""
        for part in changed.written:
            if isinstance(part, Version):
                return part
        function = changed.after
        last = self.store.version(function.ref, str(function.published))
        if last is None:
            raise Conflict("the version was deleted meanwhile; publish it again")
        return last


def _unspoilt(now: Function) -> None:
    """Refuse to publish what is not served: its last update failed."""
    if now.life.update is not Update.SUCCESSFUL:
        raise Conflict(
            "The operation cannot be performed at this time. The last update of the "
            "function failed, so its code and configuration are not what it runs; "
            f"update it again: {now.ref.arn}",
            members={"Type": "User"},
        )


def _is_code(now: Function, sha256: str | None) -> None:
    current = digest(now.wanted.sha256)
    if sha256 and sha256 != current:
        raise invalid(
            f"CodeSHA256 ({sha256[:64]}) is different from current CodeSHA256 in "
            f"$LATEST ({current}). Please try again with the CodeSHA256 in $LATEST."
        )
