"""
What the front takes of a head that is well formed: one Host, no posing headers.

Source: RFC 9112, 3.2 (targets); RFC 9110, 7.2 (Host).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, final

from casemate.core import http_head
from casemate.core.http_head import HEAD_END, HeadError, Headers, Rules

MOST_HEADERS: Final = 100

_HOST = re.compile(
    r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z"
)
_ABSOLUTE = re.compile(r"https://([^/?#]{1,270})(/[^#]*)\Z")

_RULES: Final = Rules(
    grammar=http_head.grammar(),
    headers=MOST_HEADERS,
    once=frozenset(
        {
            "authorization",
            "content-type",
            "expect",
            "x-amz-content-sha256",
            "x-amz-date",
            "x-amz-security-token",
            "x-amz-target",
        }
    ),
    refused=("upgrade", "http2-settings", "trailer", "proxy-connection"),
)

_POSES = ("x-casemate-", "forwarded", "proxy")
"""Without any of these words in it, a head has no header that poses."""


@final
class Head(NamedTuple):
    """
    A head that is well formed.

    length: bytes of the body; None when it comes in chunks.  close: the client
    asked for no further request.  expects: it waits for `100 Continue`.
    """

    method: str
    path: str
    query: str
    headers: Headers
    length: int | None
    close: bool
    expects: bool


def read_head(data: bytes) -> Head:
    """Read the bytes up to the empty line, without it.  Raises HeadError."""
    read = http_head.read_head(data, _RULES)
    path, query = _target(read.target, read.known.get("host"))
    headers = _believable(read.headers, read.names)
    return Head(
        read.method, path, query, headers, read.length, read.close, read.expects
    )


def _target(target: str, host: str | None) -> tuple[str, str]:
    """Split the target into path and query, and hold it to the one Host (H6)."""
    if host is None or not _HOST.match(host):
        raise HeadError(400, "no Host, or none that is a host")
    if target[0] != "/":
        absolute = _ABSOLUTE.match(target)
        if absolute is None or absolute[1].lower() != host.lower():
            raise HeadError(400, "a target that is not of this host")
        target = absolute[2]
    if "#" in target:
        raise HeadError(400, "a fragment in the target")
    path, _, query = target.partition("?")
    return path, query


def _believable(headers: list[tuple[str, str]], names: str) -> Headers:
    """
    Keep out what poses as a gateway's word (H3, N15).

    `X-Casemate-*` is the platform's own and refused; what only a proxy may say
    is dropped, so nothing behind can come to believe it.
    """
    if not any(word in names for word in _POSES):
        return tuple(headers)
    kept = []
    for name, value in headers:
        if name.startswith("x-casemate-"):
            raise HeadError(400, "a header of the platform's own")
        posing = name.startswith("x-forwarded-") or name in ("forwarded", "proxy")
        if not posing:
            kept.append((name, value))
    return tuple(kept)


__all__ = ["HEAD_END", "MOST_HEADERS", "Head", "HeadError", "Headers", "read_head"]
