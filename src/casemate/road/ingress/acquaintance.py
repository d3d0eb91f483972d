"""
Whom a head says it is of, before there is any proof.

Enough to keep room for bodies of those who are known here: the id of an access key
is no secret, so whoever names one has shown nothing, but a stranger knows none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from casemate.road.ingress.head import Headers

Knows = Callable[[str], bool]
"""Tells whether an access key is one of somebody known here."""

_KEY: Final = re.compile(r"Credential=([A-Z0-9]{16,128})/")
_QUERY_KEY: Final = re.compile(
    r"(?:^|&)X-Amz-Credential=([A-Z0-9]{16,128})(?:/|%2[Ff])"
)


def access_key_of(query: str, headers: Headers) -> str | None:
    """Give the id of the access key that a head names, or None."""
    for name, value in headers:
        if name == "authorization":
            found = _KEY.search(value)
            return found[1] if found else None
    found = _QUERY_KEY.search(query)
    return found[1] if found else None
