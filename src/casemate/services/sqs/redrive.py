"""
Dead letters: what `RedrivePolicy` and `RedriveAllowPolicy` say.

A queue names the one its dead letters go to; that one may say who is allowed to.
Both are looked at when a policy is set and again at each move, so that a queue
that was deleted, or that has closed itself since, takes nothing in; the message
then stays where it is.

Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import orjson

from casemate.core.arn import Arn, NotAnArnError
from casemate.core.errors import Invalid
from casemate.services.sqs import names
from casemate.services.sqs.model import Queue, QueueRef, Redrive, RedriveAllow
from casemate.services.sqs.refusals import bad_value
from casemate.services.sqs.settings import RECEIVES

ALLOW_ALL: Final = "allowAll"
DENY_ALL: Final = "denyAll"
BY_QUEUE: Final = "byQueue"
_SOURCES: Final = 10
_DEFAULT: Final = 10

Find = Callable[[QueueRef], Queue | None]


def read_redrive(ref: QueueRef, given: str, find: Find) -> Redrive | None:
    """Read `RedrivePolicy` for a queue; empty is none.  Raises Invalid."""
    if not given:
        return None
    told = _object("RedrivePolicy", given, {"deadLetterTargetArn", "maxReceiveCount"})
    arn = told.get("deadLetterTargetArn")
    if not isinstance(arn, str):
        reason = "Redrive policy does not contain mandatory attribute: "
        raise _redrive(given, f"{reason}deadLetterTargetArn.")
    redrive = Redrive(target=arn, receives=_receives(given, told))
    target = target_of(redrive)
    if target is None or (target.account, target.region) != (ref.account, ref.region):
        reason = "Dead-letter target must be in the same account and the same region."
        raise _redrive(given, reason)
    if target == ref:
        raise _redrive(given, "A queue cannot be its own dead-letter queue.")
    queue = find(target)
    if queue is None:
        raise _redrive(given, "Dead letter target does not exist.")
    if not allows(queue, ref):
        reason = "Dead-letter target does not allow this queue: see RedriveAllowPolicy."
        raise _redrive(given, reason)
    return redrive


def read_allow(given: str) -> RedriveAllow | None:
    """Read `RedriveAllowPolicy`; empty is none.  Raises Invalid."""
    if not given:
        return None
    told = _object(
        "RedriveAllowPolicy", given, {"redrivePermission", "sourceQueueArns"}
    )
    permission = told.get("redrivePermission")
    if permission not in (ALLOW_ALL, DENY_ALL, BY_QUEUE):
        reason = f"redrivePermission must be {ALLOW_ALL}, {DENY_ALL} or {BY_QUEUE}."
        raise bad_value("RedriveAllowPolicy", given, reason)
    sources = told.get("sourceQueueArns")
    if (permission == BY_QUEUE) != (sources is not None):
        reason = f"sourceQueueArns go with {BY_QUEUE}, and it needs them."
        raise bad_value("RedriveAllowPolicy", given, reason)
    return RedriveAllow(permission=str(permission), sources=_sources(given, sources))


def target_of(redrive: Redrive) -> QueueRef | None:
    """Say which queue takes the dead letters, or None for what is no queue."""
    try:
        return names.by_arn(Arn.parse(redrive.target))
    except NotAnArnError:
        return None


def allows(target: Queue, source: QueueRef) -> bool:
    """Tell whether a queue takes the dead letters of another."""
    allow = target.redrive_allow
    if allow is None or allow.permission == ALLOW_ALL:
        return True
    return allow.permission == BY_QUEUE and source.arn in allow.sources


def written_redrive(redrive: Redrive) -> str:
    """Write `RedrivePolicy`."""
    told = {
        "deadLetterTargetArn": redrive.target,
        "maxReceiveCount": redrive.receives,
    }
    return orjson.dumps(told).decode()


def written_allow(allow: RedriveAllow) -> str:
    """Write `RedriveAllowPolicy`."""
    told: dict[str, object] = {"redrivePermission": allow.permission}
    if allow.permission == BY_QUEUE:
        told["sourceQueueArns"] = allow.sources
    return orjson.dumps(told).decode()


def _object(name: str, given: str, keys: set[str]) -> dict[str, object]:
    try:
        told = orjson.loads(given)
    except orjson.JSONDecodeError as cause:
        raise bad_value(name, given, "It is not valid JSON.") from cause
    if not isinstance(told, dict):
        raise bad_value(name, given, "It is not a JSON object.")
    if stray := sorted(told.keys() - keys):
        raise bad_value(name, given, f"`{stray[0][:64]}` is no part of it.")
    return told


def _receives(given: str, told: dict[str, object]) -> int:
    # Clients write the number as a text as well; AWS takes both.
    value = told.get("maxReceiveCount", _DEFAULT)
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:9])
    if isinstance(value, bool) or not isinstance(value, int):
        raise _redrive(given, "maxReceiveCount is not a whole number.")
    if not 1 <= value <= RECEIVES:
        raise _redrive(given, f"maxReceiveCount must be from 1 to {RECEIVES}.")
    return value


def _sources(given: str, sources: object) -> tuple[str, ...]:
    if sources is None:
        return ()
    if (
        not isinstance(sources, list)
        or not 1 <= len(sources) <= _SOURCES
        or not all(isinstance(one, str) and _is_queue(one) for one in sources)
    ):
        reason = f"sourceQueueArns are 1 to {_SOURCES} ARNs of queues."
        raise bad_value("RedriveAllowPolicy", given, reason)
    return tuple(sources)


def _is_queue(text: str) -> bool:
    try:
        return names.by_arn(Arn.parse(text)) is not None
    except NotAnArnError:
        return False


def _redrive(given: str, reason: str) -> Invalid:
    return bad_value("RedrivePolicy", given, reason)
