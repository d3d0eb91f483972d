"""What the operator may set for logs, and the numbers that are AWS's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

BATCH_BYTES: Final = 1_048_576
BATCH_EVENTS: Final = 10_000
EVENT_OVERHEAD: Final = 26
"""Bytes that each event counts for beyond its message."""
BATCH_SPAN: Final = 24 * 3_600_000
TOO_OLD: Final = 14 * 24 * 3_600_000
TOO_NEW: Final = 2 * 3_600_000
"""Milliseconds.
Source: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html"""

DAY: Final = 86_400_000
"""Milliseconds."""

RETENTIONS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)
"""Days that a retention policy may have."""

PAGE_BYTES: Final = 1_048_576
"""Bytes of messages in one answer."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """
    Bounds against floods, per account.

    group_rate, account_rate: bytes per second, with a burst of so many seconds
    of it.  stored_bytes: of messages; past it nothing more is taken in.
    streams: of one group; of a function's group the oldest go.
    scanned, scanned_bytes: what one search looks at before it gives a token.
    """

    group_rate: int = 2_097_152
    account_rate: int = 8_388_608
    burst_seconds: int = 8
    stored_bytes: int = 10_737_418_240
    groups: int = 2_000
    streams: int = 10_000
    scanned: int = 10_000
    scanned_bytes: int = 33_554_432
