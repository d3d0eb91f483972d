"""
The shape of an audit record: CloudTrail's event, and one member of our own.

Nothing here writes.  Bytes never enter a record, only their length, and their
digest where that is cheap; of an event or an answer, whose digest would give a
guess away, the length alone.  Values that may hold secrets are left out; every text is
capped, so a tenant cannot make a record long.

Source: https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from casemate.core.arn import Arn, NotAnArnError
from casemate.core.call import Allowed, Arrival, Inside, Known, Request
from casemate.core.clock import iso
from casemate.core.principal import Kind, Principal

EVENT_VERSION: Final = "1.11"
_TEXT: Final = 1024
_DIGESTED: Final = 65_536
"""Bytes that are digested for the record; more would hold up other calls."""
_ITEMS: Final = 50
_DEPTH: Final = 6
_HIDDEN: Final = frozenset(
    {
        "Environment",
        "Password",
        "SecretAccessKey",
        "SecretString",
        "SecretBinary",
        "SessionToken",
        "Token",
        "TokenCode",
        "ClientContext",
        "logEvents",
        "MessageAttributes",
        "ReceiptHandle",
    }
)
"""Members whose values stay out of the record."""
_MEASURED: Final = frozenset({"Payload", "MessageBody"})
"""Members of which the record keeps the length alone."""
_DATA: Final = frozenset(
    {
        "Invoke",
        "InvokeWithResponseStream",
        "ChangeMessageVisibility",
        "ChangeMessageVisibilityBatch",
        "DeleteMessage",
        "DeleteMessageBatch",
        "ReceiveMessage",
        "SendMessage",
        "SendMessageBatch",
    }
)
"""Operations that CloudTrail counts as events of data, not of management."""


def redact(value: object, depth: int = 0) -> object:
    """Make a value fit for the record: bounded, without bytes and secrets."""
    if isinstance(value, bytes):
        if len(value) > _DIGESTED:
            return {"bytes": len(value)}
        return {"bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, str):
        return value if len(value) <= _TEXT else f"{value[:_TEXT]}…"
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    return _redact_many(value, depth) if depth < _DEPTH else "…"


def _redact_many(value: object, depth: int) -> object:
    if isinstance(value, Mapping):
        return {
            str(key)[:_TEXT]: _member(key, inner, depth + 1)
            for key, inner in list(value.items())[:_ITEMS]
        }
    if isinstance(value, Sequence):
        return [redact(inner, depth + 1) for inner in value[:_ITEMS]]
    return "…"


def _member(key: object, value: object, depth: int) -> object:
    if key in _HIDDEN:
        return "…"
    if key in _MEASURED and isinstance(value, bytes | str):
        data = value if isinstance(value, bytes) else value.encode("utf-8", "replace")
        return {"bytes": len(data)}
    return redact(value, depth)


def identity(principal: Principal | None) -> dict[str, object]:
    """Write the `userIdentity` of a principal; None is somebody unproven."""
    if principal is None:
        return {"type": "Unknown"}
    if principal.kind is Kind.SERVICE:
        return {"type": "AWSService", "invokedBy": principal.id}
    who: dict[str, object] = {
        "type": principal.kind.value,
        "principalId": principal.id,
        "arn": principal.arn,
        "accountId": principal.account,
        "accessKeyId": principal.access_key_id,
    }
    if principal.kind is Kind.USER:
        who["userName"] = principal.name
        return who
    session: dict[str, object] = {
        "sessionIssuer": {
            "type": "Role",
            "principalId": principal.id.partition(":")[0],
            "arn": principal.role_arn,
            "accountId": principal.account,
            "userName": principal.name,
        }
    }
    if principal.issued_at is not None:
        session["attributes"] = {"creationDate": _iso(int(principal.issued_at))}
    who["sessionContext"] = session
    return who


def event(
    *,
    arrival: Arrival,
    known: Known | None,
    allowed: Allowed | None,
    at: float,
    error: tuple[str, str] | None,
    extra: Mapping[str, object],
) -> dict[str, object]:
    """
    Write the record of one call.

    at: epoch seconds at which it ended.  error: AWS's code, and the reason.
    extra: what is the house's own, under `additionalEventData`.
    """
    principal = known.principal if known else None
    operation = arrival.operation
    record: dict[str, object] = {
        "eventVersion": EVENT_VERSION,
        "userIdentity": identity(principal),
        "eventTime": _iso(int(arrival.at)),
        "eventSource": f"{operation.service}.amazonaws.com",
        "eventName": operation.name,
        "awsRegion": arrival.region,
        "sourceIPAddress": _source(arrival),
        "userAgent": _agent(arrival),
        "requestParameters": redact(arrival.parameters),
        "responseElements": None,
        "requestID": arrival.id,
        "eventID": arrival.id,
        "readOnly": not operation.mutates,
        "eventType": "AwsApiCall",
        "managementEvent": operation.name not in _DATA,
        "eventCategory": "Data" if operation.name in _DATA else "Management",
        "recipientAccountId": principal.account if principal else _proven(extra),
        "resources": _resources(allowed, extra),
        "additionalEventData": {
            "ended": round(at, 6),
            "door": arrival.door.value,
            "cell": arrival.cell,
            "trace": arrival.trace.w3c(),
            "resource": _resource(allowed, extra),
            "because": list(allowed.because) if allowed else [],
            **extra,
        },
    }
    if error:
        record["errorCode"], record["errorMessage"] = error[0], error[1][:_TEXT]
    return record


@lru_cache(maxsize=256)
def _iso(second: int) -> str:
    """Write a second; many records share one."""
    return iso(second)


def _proven(extra: Mapping[str, object]) -> str:
    """Name the account whose credentials were good, and used out of place."""
    evidence = extra.get("evidence")
    found = evidence.get("provenAccount") if isinstance(evidence, Mapping) else None
    return found if isinstance(found, str) else ""


def _resource(allowed: Allowed | None, extra: Mapping[str, object]) -> str | None:
    """Name the resource; of a denied call, the one that it was after."""
    if allowed is not None:
        return allowed.resource
    evidence = extra.get("evidence")
    sought = evidence.get("resource") if isinstance(evidence, Mapping) else None
    return sought if isinstance(sought, str) else None


def _resources(
    allowed: Allowed | None, extra: Mapping[str, object]
) -> list[dict[str, str | None]]:
    """Name the resource with the account that owns it, which may read the record."""
    name = _resource(allowed, extra)
    account = _owner(name) if name else None
    return [] if account is None else [{"ARN": name, "accountId": account}]


@lru_cache(maxsize=1024)
def _owner(name: str) -> str | None:
    """Read the account out of an ARN; None of what is none."""
    try:
        return Arn.parse(name).account
    except NotAnArnError:
        return None


def _source(arrival: Arrival) -> str:
    if isinstance(arrival.claim, Inside):
        return arrival.claim.service
    return arrival.cell or arrival.peer


def _agent(arrival: Arrival) -> str:
    if isinstance(arrival.claim, Request):
        return (arrival.claim.header("user-agent") or "")[:256]
    return arrival.claim.service
