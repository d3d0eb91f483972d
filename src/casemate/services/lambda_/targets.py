"""
Where events may be delivered: queues and functions, of this region.

A target is taken only if the function's role may use it, as on AWS; and that is
asked again at each delivery, by the road itself.

Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from casemate.core.arn import Arn, NotAnArnError, is_account
from casemate.services.lambda_.names import refer_arn
from casemate.services.lambda_.ports import Rights
from casemate.services.lambda_.refusals import invalid

_QUEUE: Final = re.compile(r"[A-Za-z0-9_-]{1,80}", re.ASCII)
_LATER: Final = {
    "sns": "a topic",
    "events": "an event bus",
    "s3": "a bucket",
}
"""Targets that AWS has and this platform has not yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Holds targets to what is here and what a role may."""

    rights: Rights

    def destination(self, text: str, *, role_arn: str, region: str) -> str:
        """Give a destination's ARN, or raise Invalid."""
        arn = _arn(text, region)
        if arn.service == "lambda":
            return self._function(arn, role_arn)
        return self._queue(arn, role_arn)

    def dead_letter(self, text: str, *, role_arn: str, region: str) -> str:
        """Give a dead-letter queue's ARN, or raise Invalid."""
        arn = _arn(text, region)
        if arn.service == "lambda":
            raise invalid(f"`{text}` is a function; dead letters go to a queue")
        return self._queue(arn, role_arn)

    def _function(self, arn: Arn, role_arn: str) -> str:
        ref = refer_arn(arn)
        if ref is None or not is_account(ref.account):
            raise invalid(f"The destination ARN {arn} is invalid.")
        self._may(role_arn, "lambda:InvokeFunction", "InvokeFunction", arn)
        return str(arn)

    def _queue(self, arn: Arn, role_arn: str) -> str:
        if arn.resource.endswith(".fifo"):
            raise invalid(f"`{arn}` is a FIFO queue; only standard queues can be used")
        if not _QUEUE.fullmatch(arn.resource) or not is_account(arn.account):
            raise invalid(f"The destination ARN {arn} is invalid.")
        self._may(role_arn, "sqs:SendMessage", "SendMessage", arn)
        return str(arn)

    def _may(self, role_arn: str, action: str, verb: str, arn: Arn) -> None:
        if not self.rights.may(role_arn, action, str(arn)):
            raise invalid(
                f"The function's execution role {role_arn} does not have permissions "
                f"to call {verb} on {arn}; allow it `{action}` on that resource"
            )


def _arn(text: str, region: str) -> Arn:
    try:
        arn = Arn.parse(text)
    except NotAnArnError as cause:
        raise invalid(f"The destination ARN {text[:350]} is invalid.") from cause
    if what := _LATER.get(arn.service):
        raise invalid(
            f"`{text}` is {what}, which this platform cannot deliver to yet; give the "
            "ARN of an SQS queue or of a function"
        )
    if arn.service not in ("sqs", "lambda") or arn.partition != "aws":
        raise invalid(f"The destination ARN {text} is invalid.")
    if arn.region != region:
        raise invalid(
            f"`{text}` is of another region; this platform is in `{region}` alone"
        )
    return arn
