"""
The operations on events that had nowhere to go.

An account sees and decides on its own.  A decision names its reason, and stands
in the record with who made it before it is acknowledged; a dry run decides
nothing and says what would be decided.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from casemate.core.arn import Arn
from casemate.core.call import Admitted
from casemate.core.errors import Invalid, NotFound
from casemate.core.operation import Parameters, Scope, operation
from casemate.seal.token import TokenError, Tokens
from casemate.services.casemate_.ports import Quarantine, QuarantinedEvent

_PAGE: Final = 100
_LOOKED: Final = 5_000
"""Events that one answer looks through for those of one function."""
_LIST: Final = "casemate:ListQuarantine"
_DECISION: Final = ("RequestId", "Reason", "DryRun")
_ERRORS: Final = ("ResourceNotFoundException", "ValidationException")
_WRITTEN: Final = (*_ERRORS, "ServiceException", "ServiceUnavailableException")


def every_event(_parameters: Parameters, scope: Scope) -> Arn:
    """Name all that is in the quarantine of the caller's account."""
    return _arn(scope, "quarantine/*")


def one_event(parameters: Parameters, scope: Scope) -> Arn:
    """Name one event there."""
    return _arn(scope, f"quarantine/{parameters.get('RequestId', '')}")


def _arn(scope: Scope, resource: str) -> Arn:
    return Arn(
        service="casemate",
        region=scope.region,
        account=scope.account,
        resource=resource,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineDesk:
    """Lists, shows and decides."""

    quarantine: Quarantine
    tokens: Tokens

    @operation(
        "ListQuarantine",
        action=_LIST,
        resource=every_event,
        accepts=("FunctionName", "NextToken", "MaxResults"),
        mutates=False,
        paginated=True,
        errors=("ValidationException",),
    )
    async def list(self, call: Admitted) -> Mapping[str, object]:
        """List events, the oldest first; of one function, if it is named."""
        given = call.parameters.get("MaxResults")
        most = given if isinstance(given, int) else _PAGE
        name = str(call.parameters.get("FunctionName") or "")
        query = name.encode()
        found, after = self._found(
            call.scope.account, name, self._position(call, query), most
        )
        answer: dict[str, object] = {"Events": [_shown(one) for one in found]}
        if after:
            answer["NextToken"] = self.tokens.seal(
                call.scope.account, _LIST, query, after.encode()
            )
        return answer

    @operation(
        "GetQuarantined",
        action="casemate:GetQuarantined",
        resource=one_event,
        accepts=("RequestId",),
        mutates=False,
        errors=_ERRORS,
    )
    async def get(self, call: Admitted) -> Mapping[str, object]:
        """Show one event with its payload."""
        one = self._one(call)
        payload = self.quarantine.payload(call.scope.account, one.id)
        return {**_shown(one), "Payload": payload}

    @operation(
        "Redrive",
        action="casemate:Redrive",
        resource=one_event,
        accepts=_DECISION,
        mutates=True,
        errors=_WRITTEN,
    )
    async def redrive(self, call: Admitted) -> Mapping[str, object]:
        """Begin an event again, under its own request id."""
        one = self._one(call)
        if not _is_dry(call) and not await self.quarantine.redrive(
            call.scope.account, one.id, call.arrival.trace.hops
        ):
            raise _absent(one.id)
        return _shown(one)

    @operation(
        "Dispose",
        action="casemate:Dispose",
        resource=one_event,
        accepts=_DECISION,
        mutates=True,
        errors=_WRITTEN,
    )
    async def dispose(self, call: Admitted) -> Mapping[str, object]:
        """Forget an event for good."""
        one = self._one(call)
        if not _is_dry(call) and not await self.quarantine.dispose(
            call.scope.account, one.id
        ):
            raise _absent(one.id)
        return _shown(one)

    def _one(self, call: Admitted) -> QuarantinedEvent:
        identifier = str(call.parameters.get("RequestId", ""))
        one = self.quarantine.find(call.scope.account, identifier)
        if one is None:
            raise _absent(identifier)
        return one

    def _found(
        self, account: str, name: str, after: str, most: int
    ) -> tuple[Sequence[QuarantinedEvent], str]:
        """Give a page, and past which id the next begins; empty at the end."""
        found: list[QuarantinedEvent] = []
        looked = 0
        while looked < _LOOKED:
            page = self.quarantine.page(account, after=after, limit=_PAGE)
            if not page:
                return found, ""
            for one in page:
                looked, after = looked + 1, one.id
                if not name or _is_of(one.target, name):
                    found.append(one)
                if len(found) == most:
                    return found, after
        return found, after

    def _position(self, call: Admitted, query: bytes) -> str:
        token = call.parameters.get("NextToken")
        if not token:
            return ""
        try:
            return self.tokens.open(
                call.scope.account, _LIST, query, str(token)
            ).decode()
        except TokenError as cause:
            raise Invalid(
                "the token was not given for this query; start from the first page"
            ) from cause


def _is_of(target: str, name: str) -> bool:
    """Tell whether a qualified function's ARN is that of a name or ARN."""
    function = target.rpartition(":")[0]
    return name in (target, function, function.rpartition(":")[2])


def _is_dry(call: Admitted) -> bool:
    return call.parameters.get("DryRun") is True


def _absent(identifier: str) -> NotFound:
    return NotFound(f"there is no event `{identifier[:128]}` in this quarantine")


def _shown(one: QuarantinedEvent) -> dict[str, object]:
    shown: dict[str, object] = {
        "RequestId": one.id,
        "FunctionArn": one.target,
        "QuarantinedAt": datetime.fromtimestamp(int(one.at), tz=UTC),
        "Reason": one.reason,
        "Invocations": one.runs,
        "PayloadBytes": one.payload_bytes,
    }
    return shown | ({"Condition": one.condition} if one.condition else {})
