"""A caller's lineage is a label; its hops are the platform's own count."""

from __future__ import annotations

import pytest

from casemate.core import trace

AMAZON = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
W3C = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01"


@pytest.mark.parametrize(
    ("amazon", "w3c"),
    [
        (None, None),
        (AMAZON, None),
        (None, W3C),
        (f"{AMAZON};Lineage=a87bd80c:0|68fd508a:5|c512fbe3:2", None),
        (None, f"{W3C}-hops=0"),
    ],
)
@pytest.mark.parametrize("hops", [0, 1, 17])
def test_no_header_says_how_many_hops_there_were(
    amazon: str | None, w3c: str | None, hops: int
) -> None:
    """Whatever the caller sends, the count is what is handed in."""
    begun = trace.begin(amazon, w3c, bytes, hops)
    assert hops == begun.hops
    assert 0 == trace.begin(amazon, w3c, bytes).hops
