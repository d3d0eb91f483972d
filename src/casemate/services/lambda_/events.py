"""
The operations on how a function's asynchronous events are treated.

Source: https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from casemate.core.call import Admitted
from casemate.core.clock import Clock
from casemate.core.errors import NotFound
from casemate.core.operation import operation
from casemate.seal.token import TokenError, Tokens
from casemate.services.lambda_.declared import QUALIFIED
from casemate.services.lambda_.directory import Deployed, Directory
from casemate.services.lambda_.eventconfig import (
    EventConfig,
    EventConfigs,
    qualifier_of,
)
from casemate.services.lambda_.functions import present
from casemate.services.lambda_.names import (
    FunctionRef,
    function_context,
    function_resource,
    unqualified,
)
from casemate.services.lambda_.parameters import integer, structure, text
from casemate.services.lambda_.refusals import INVALID, invalid
from casemate.services.lambda_.targets import Targets

PAGE: Final = 50
_GIVEN: Final = (
    *QUALIFIED,
    "MaximumRetryAttempts",
    "MaximumEventAgeInSeconds",
    "DestinationConfig.OnSuccess.Destination",
    "DestinationConfig.OnFailure.Destination",
)
_SEEN: Final = (
    INVALID,
    "ResourceNotFoundException",
    "ServiceException",
    "TooManyRequestsException",
)
_CHANGED: Final = (*_SEEN, "ResourceConflictException")
_LIST: Final = "lambda:ListFunctionEventInvokeConfigs"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSettings:
    """How events are treated: attempts, age, destinations."""

    directory: Directory
    configs: EventConfigs
    targets: Targets
    tokens: Tokens
    clock: Clock

    @operation(
        "PutFunctionEventInvokeConfig",
        action="lambda:PutFunctionEventInvokeConfig",
        resource=function_resource,
        context=function_context,
        accepts=_GIVEN,
        mutates=True,
        errors=_CHANGED,
    )
    async def put(self, call: Admitted) -> Mapping[str, object]:
        """Say anew how events are treated; what is not given is not set."""
        ref, deployed = present(self.directory, call)
        config = self._changed(call, deployed, EventConfig(modified_at=0.0))
        await self.configs.put(ref, config, self.configs.find(ref))
        return _described(ref, config)

    @operation(
        "UpdateFunctionEventInvokeConfig",
        action="lambda:UpdateFunctionEventInvokeConfig",
        resource=function_resource,
        context=function_context,
        accepts=_GIVEN,
        mutates=True,
        errors=_CHANGED,
    )
    async def update(self, call: Admitted) -> Mapping[str, object]:
        """Change what is given; the rest stays."""
        ref, deployed = present(self.directory, call)
        before = self._found(ref)
        config = self._changed(call, deployed, before)
        await self.configs.put(ref, config, before)
        return _described(ref, config)

    @operation(
        "GetFunctionEventInvokeConfig",
        action="lambda:GetFunctionEventInvokeConfig",
        resource=function_resource,
        context=function_context,
        accepts=QUALIFIED,
        mutates=False,
        errors=_SEEN,
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """Tell how events are treated, if somebody has said so."""
        ref, _ = present(self.directory, call)
        return _described(ref, self._found(ref))

    @operation(
        "DeleteFunctionEventInvokeConfig",
        action="lambda:DeleteFunctionEventInvokeConfig",
        resource=function_resource,
        context=function_context,
        accepts=QUALIFIED,
        mutates=True,
        errors=_CHANGED,
    )
    async def delete(self, call: Admitted) -> Mapping[str, object]:
        """Go back to AWS's defaults."""
        ref, _ = present(self.directory, call)
        self._found(ref)
        await self.configs.remove(ref)
        return {}

    @operation(
        "ListFunctionEventInvokeConfigs",
        action=_LIST,
        resource=function_resource,
        context=function_context,
        accepts=("FunctionName", "Marker", "MaxItems"),
        mutates=False,
        paginated=True,
        errors=_SEEN,
    )
    async def list(self, call: Admitted) -> Mapping[str, object]:
        """List those of a function, by qualifier."""
        ref, _ = present(self.directory, call)
        unqualified(ref)  # a right to one qualifier is no right to see all
        size = min(integer(call.parameters, "MaxItems") or PAGE, PAGE)
        query = ref.arn.encode()
        found = self.configs.page(ref, after=self._after(call, query), limit=size + 1)
        answer: dict[str, object] = {
            "FunctionEventInvokeConfigs": [
                _described(replace(ref, qualifier=qualifier), config)
                for qualifier, config in found[:size]
            ]
        }
        if len(found) > size:
            answer["NextMarker"] = self.tokens.seal(
                call.scope.account, _LIST, query, found[size - 1][0].encode()
            )
        return answer

    def _found(self, ref: FunctionRef) -> EventConfig:
        config = self.configs.find(ref)
        if config is None:
            raise NotFound(
                f"The function {ref.arn}:{qualifier_of(ref)} doesn't have an "
                "EventInvokeConfig",
                members={"Type": "User"},
            )
        return config

    def _changed(
        self, call: Admitted, deployed: Deployed, before: EventConfig
    ) -> EventConfig:
        parameters = call.parameters
        retries = integer(parameters, "MaximumRetryAttempts")
        max_age = integer(parameters, "MaximumEventAgeInSeconds")
        if (
            retries is None
            and max_age is None
            and "DestinationConfig" not in parameters
        ):
            raise invalid(
                "You must specify at least one of error handling or destination "
                "setting."
            )
        return EventConfig(
            modified_at=self.clock.now(),
            retries=before.retries if retries is None else retries,
            max_age=before.max_age if max_age is None else max_age,
            on_success=self._target(call, deployed, "OnSuccess", before.on_success),
            on_failure=self._target(call, deployed, "OnFailure", before.on_failure),
        )

    def _target(
        self, call: Admitted, deployed: Deployed, member: str, before: str
    ) -> str:
        given = structure(call.parameters, "DestinationConfig") or {}
        way = structure(given, member)
        if way is None:
            return before
        target = text(way, "Destination")
        if not target:
            return ""
        return self.targets.destination(
            target,
            role_arn=deployed.configuration.role_arn,
            region=call.scope.region,
        )

    def _after(self, call: Admitted, query: bytes) -> str:
        marker = text(call.parameters, "Marker")
        if not marker:
            return ""
        try:
            position = self.tokens.open(call.scope.account, _LIST, query, marker)
        except TokenError as cause:
            raise invalid(
                "`Marker` was not given for this account and this query"
            ) from cause
        return position.decode()


def _described(ref: FunctionRef, config: EventConfig) -> dict[str, object]:
    described: dict[str, object] = {
        "LastModified": datetime.fromtimestamp(config.modified_at, tz=UTC),
        "FunctionArn": f"{ref.arn}:{qualifier_of(ref)}",
        "DestinationConfig": {
            "OnSuccess": _way(config.on_success),
            "OnFailure": _way(config.on_failure),
        },
    }
    if config.retries is not None:
        described["MaximumRetryAttempts"] = config.retries
    if config.max_age is not None:
        described["MaximumEventAgeInSeconds"] = config.max_age
    return described


def _way(target: str) -> dict[str, object]:
    return {"Destination": target} if target else {}
