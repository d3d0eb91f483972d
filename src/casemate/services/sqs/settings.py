"""What the operator may set for queues, and the numbers that are AWS's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

MESSAGE_BYTES: Final = 1_048_576
"""Of a message with its attributes, and of a batch together."""

BATCH: Final = 10
"""Entries of a batch, and messages of one receive."""

ATTRIBUTES: Final = 10
"""Attributes of a message."""

VISIBILITY: Final = 43_200
DELAY: Final = 900
WAIT: Final = 20
RETENTION: Final = (60, 1_209_600)
"""Seconds.
Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html"""

RECEIVES: Final = 1000
"""Receives after which a message goes to the dead letters, at most."""

PURGE: Final = 60
RECREATE: Final = 60
"""Seconds before a queue may be purged, or one of its name made, again."""

IN_FLIGHT: Final = 120_000
"""Messages of a queue that may be received and not deleted at once."""

POLICY_BYTES: Final = 8_192
POLICY_STATEMENTS: Final = 20
POLICY_ACTIONS: Final = 7
"""Of one statement that AddPermission makes.
Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-policies.html"""

PAGE: Final = 1000

BODY: Final = 8_388_608
"""Bytes of a request: a message whose every character JSON has escaped."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """
    endpoint: of a queue's URL, where the caller is the platform itself and has
    named no host.  queues: of one account.  in_flight: messages of one queue
    that are received and not deleted.
    """

    endpoint: str
    queues: int = 1000
    in_flight: int = IN_FLIGHT
