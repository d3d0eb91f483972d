"""The operations on the tags of functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from casemate.core.arn import Arn
from casemate.core.call import Admitted
from casemate.core.operation import operation
from casemate.services.lambda_.declared import tag_context
from casemate.services.lambda_.directory import Directory
from casemate.services.lambda_.model import Function
from casemate.services.lambda_.names import FunctionRef, here
from casemate.services.lambda_.parameters import text_map, texts
from casemate.services.lambda_.refusals import INVALID, not_found
from casemate.services.lambda_.store import Store
from casemate.services.lambda_.tagging import (
    check,
    reference,
    tagged,
    untag_context,
    whole,
)

_ERRORS: Final = (
    INVALID,
    "ResourceNotFoundException",
    "ServiceException",
    "TooManyRequestsException",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """Tags of functions."""

    store: Store
    directory: Directory

    @operation(
        "ListTags",
        action="lambda:ListTags",
        resource=tagged,
        accepts=("Resource",),
        mutates=False,
        errors=_ERRORS,
    )
    async def list(self, call: Admitted) -> Mapping[str, object]:
        """List the tags of a function."""
        ref = _meant(call)
        deployed = self.directory.find(ref)
        if deployed is None:
            raise not_found(ref.arn)
        return {"Tags": dict(deployed.function.tags)}

    @operation(
        "TagResource",
        action="lambda:TagResource",
        resource=tagged,
        context=tag_context,
        accepts=("Resource", "Tags"),
        mutates=True,
        errors=(*_ERRORS, "ResourceConflictException"),
    )
    async def tag(self, call: Admitted) -> Mapping[str, object]:
        """Add tags to a function, or give those that it has other values."""
        added = check(text_map(call.parameters, "Tags") or {})
        await self._edit(call, lambda tags: whole({**tags, **added}))
        return {}

    @operation(
        "UntagResource",
        action="lambda:UntagResource",
        resource=tagged,
        context=untag_context,
        accepts=("Resource", "TagKeys"),
        mutates=True,
        errors=(*_ERRORS, "ResourceConflictException"),
    )
    async def untag(self, call: Admitted) -> Mapping[str, object]:
        """Remove tags; one that is not there is no error."""
        removed = frozenset(texts(call.parameters, "TagKeys") or ())
        await self._edit(
            call,
            lambda tags: whole({k: v for k, v in tags.items() if k not in removed}),
        )
        return {}

    async def _edit(
        self, call: Admitted, edit: Callable[[Mapping[str, str]], dict[str, str]]
    ) -> None:
        def edited(now: Function) -> Function:
            return replace(now, tags=edit(now.tags))

        await self.store.change(_meant(call), edited)


def _meant(call: Admitted) -> FunctionRef:
    arn: Arn = tagged(call.parameters, call.scope)
    return here(reference(arn), call.scope)
