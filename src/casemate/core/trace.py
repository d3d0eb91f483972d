"""
Reading the lineage that a caller sends: W3C traceparent, or AWS's trace header.

A caller's lineage is believed only as a label: it joins records, and no
decision rests on it.  The hop count is never read from outside: it is what the
platform knows of the cell that calls, and 0 for everybody else.

Sources: https://www.w3.org/TR/trace-context/ and
https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html
"""

from __future__ import annotations

import re
from typing import Final

from casemate.core.call import Trace
from casemate.core.identifier import Randomness

_W3C: Final = re.compile(r"00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})\Z")
_AMAZON: Final = re.compile(
    r"Root=1-([0-9a-f]{8})-([0-9a-f]{24})(?:;Parent=([0-9a-f]{16}))?(?:;Sampled=([01?]))?"
)
_LONGEST: Final = 512


def begin(
    amazon: str | None, w3c: str | None, randomness: Randomness, hops: int = 0
) -> Trace:
    """
    Continue the caller's trace if it sent a sound one, or begin another.

    hops: those that led to this call, as the platform counts them.
    """
    span = randomness(8).hex()
    if w3c and len(w3c) <= _LONGEST and (found := _W3C.match(w3c)):
        sampled = bool(int(found[3], 16) & 1)
        return Trace(
            trace_id=found[1],
            span_id=span,
            parent_id=found[2],
            sampled=sampled,
            hops=hops,
        )
    if amazon and len(amazon) <= _LONGEST and (found := _AMAZON.match(amazon)):
        return Trace(
            trace_id=found[1] + found[2],
            span_id=span,
            parent_id=found[3] or "",
            sampled=found[4] != "0",
            hops=hops,
        )
    return Trace(trace_id=randomness(16).hex(), span_id=span, hops=hops)
