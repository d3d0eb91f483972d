"""
The operations on reserved concurrency.

What is reserved for a function is a share and a ceiling: its calls take no other
places, and no other calls take these.  The admit room holds calls to it.

Source: https://docs.aws.amazon.com/lambda/latest/dg/configuration-concurrency.html
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from weakref import WeakValueDictionary

from casemate.core.call import Admitted
from casemate.core.operation import operation
from casemate.services.lambda_.changes import Edit
from casemate.services.lambda_.declared import NAMED
from casemate.services.lambda_.directory import Directory
from casemate.services.lambda_.functions import present
from casemate.services.lambda_.model import Function, Reserved
from casemate.services.lambda_.names import (
    FunctionRef,
    function_context,
    function_resource,
    unqualified,
)
from casemate.services.lambda_.parameters import integer
from casemate.services.lambda_.refusals import INVALID, invalid
from casemate.services.lambda_.reservations import Reservations
from casemate.services.lambda_.settings import UNRESERVED, FunctionSettings
from casemate.services.lambda_.store import Store

_ERRORS: Final = (
    INVALID,
    "ResourceNotFoundException",
    "ServiceException",
    "TooManyRequestsException",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """Reserves concurrency for functions."""

    store: Store
    directory: Directory
    reservations: Reservations
    settings: FunctionSettings
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(
        default_factory=WeakValueDictionary, init=False
    )

    @operation(
        "PutFunctionConcurrency",
        action="lambda:PutFunctionConcurrency",
        resource=function_resource,
        context=function_context,
        accepts=(*NAMED, "ReservedConcurrentExecutions"),
        mutates=True,
        errors=(*_ERRORS, "ResourceConflictException"),
    )
    async def put(self, call: Admitted) -> Mapping[str, object]:
        """Set places aside for a function; 0 throttles all its calls."""
        ref = self._function(call)
        most = integer(call.parameters, "ReservedConcurrentExecutions")
        if most is None or most < 0:
            raise invalid("`ReservedConcurrentExecutions` must be 0 or more")
        # One at a time, or two that fit alone would be over the limit together.
        async with self._locks.setdefault(ref.account, asyncio.Lock()):
            self._leaves_enough(ref, most)
            reserved = Reserved(
                account=ref.account, region=ref.region, name=ref.name, most=most
            )
            await self.store.change(
                ref, lambda now: Edit(function=now, written=(reserved,))
            )
        return {"ReservedConcurrentExecutions": most}

    @operation(
        "GetFunctionConcurrency",
        action="lambda:GetFunctionConcurrency",
        resource=function_resource,
        context=function_context,
        accepts=NAMED,
        mutates=False,
        errors=_ERRORS,
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """Say what is reserved for a function; nothing is no member."""
        share = self.reservations.share(self._function(call))
        return {"ReservedConcurrentExecutions": share.most} if share else {}

    @operation(
        "DeleteFunctionConcurrency",
        action="lambda:DeleteFunctionConcurrency",
        resource=function_resource,
        context=function_context,
        accepts=NAMED,
        mutates=True,
        errors=(*_ERRORS, "ResourceConflictException"),
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        """Have a function share with all others again; nothing reserved is no error."""
        ref = self._function(call)

        def edit(now: Function) -> Edit:
            there = self.store.reserved(ref)
            return Edit(function=now, removed=(there,) if there else ())

        await self.store.change(ref, edit)
        return {}

    def _leaves_enough(self, ref: FunctionRef, most: int) -> None:
        """Refuse to set aside what others need."""
        own = self.reservations.share(ref)
        others = self.reservations.places(ref.account) - (own.most if own else 0)
        if self.settings.concurrent_executions - others - most < UNRESERVED:
            raise invalid(
                "Specified ReservedConcurrentExecutions for function decreases "
                "account's UnreservedConcurrentExecution below its minimum value of "
                f"[{UNRESERVED}]."
            )

    def _function(self, call: Admitted) -> FunctionRef:
        ref, _ = present(self.directory, call)
        return unqualified(ref)
