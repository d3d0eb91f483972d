"""
The head of an HTTP/1.1 request, read by one strict grammar.

Problem: llhttp, which stood here first, lets through some of what request
smuggling is made of (obsolete folding, `Transfer-Encoding` by other spellings,
unlisted characters), so its input had to be matched against a grammar anyway;
two readers of the same bytes cost more (4.2 µs a head against 3.3) and can
disagree.  There is one: what does not match in full is refused.

Source: RFC 9112, sections 2 to 7; RFC 9110, 5.6.2 (tokens), 7.2 (Host).
"""

from __future__ import annotations

import re
from typing import NamedTuple, final

HEAD_END = b"\r\n\r\n"
MOST_HEADERS = 100

Headers = tuple[tuple[str, str], ...]

_HEAD = re.compile(
    r"([A-Z]{1,16}) ([!-~]{1,16384}) HTTP/1\.1\r\n"
    r"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}:[\t\x20-\x7e]*\r\n)*)\Z"
)
_VERSION = re.compile(r"[A-Z]{1,16} [!-~]+ HTTP/[0-9.]{1,5}\r\n")
_LENGTH = re.compile(r"[0-9]{1,15}\Z")
_HOST = re.compile(
    r"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z"
)
_ABSOLUTE = re.compile(r"https://([^/?#]{1,270})(/[^#]*)\Z")

_SINGLE = frozenset(
    {
        "authorization",
        "content-length",
        "content-type",
        "expect",
        "host",
        "transfer-encoding",
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-security-token",
        "x-amz-target",
    }
)
"""Headers of which a second one would be a second story."""

_REFUSED = ("upgrade", "http2-settings", "trailer", "proxy-connection")
"""Ways out of plain HTTP/1.1, which is all that is spoken here."""


_POSES = ("x-casemate-", "forwarded", "proxy")
"""Without any of these words in it, a head has no header that poses."""


class HeadError(Exception):
    """The head is refused; status is HTTP's, reason is for the record."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


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
    # Latin-1 maps each byte to one character; the grammar admits ASCII alone.
    text = data.decode("latin-1") + "\r\n"
    found = _HEAD.match(text)
    if found is None:
        raise _why(text)
    method, target, block = found.groups()
    lines = block.split("\r\n")
    lines.pop()
    if len(lines) > MOST_HEADERS:
        raise HeadError(431, "too many headers")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((name.lower(), value.strip(" \t")))
    known = dict(headers)
    names = " ".join(known)
    if len(known) != len(headers) or "_" in names:
        _refuse_doubles(headers, known)
    path, query = _target(target, known.get("host"))
    return Head(
        method=method,
        path=path,
        query=query,
        headers=_believable(headers, names),
        length=_framing(known),
        close=_closes(known),
        expects=_expects(known),
    )


def _why(text: str) -> HeadError:
    if _VERSION.match(text) and " HTTP/1.1\r\n" not in text[:16_500]:
        return HeadError(505, "another version of HTTP")
    return HeadError(400, "the head is not HTTP/1.1")


def _refuse_doubles(headers: list[tuple[str, str]], known: dict[str, str]) -> None:
    """Refuse what two readers may take for one or the other (H4)."""
    seen: set[str] = set()
    for name, _ in headers:
        if name in seen and name in _SINGLE:
            raise HeadError(400, f"two headers {name}")
        seen.add(name)
        if "_" in name:
            dashed = name.replace("_", "-")
            # A gateway in front may fold one into the other.
            if dashed in known or dashed in _SINGLE:
                raise HeadError(400, "a header name that passes for another")


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


def _framing(known: dict[str, str]) -> int | None:
    """Give the body's length; None for chunks.  Never a guess (H1, H2)."""
    for name in _REFUSED:
        if name in known:
            raise HeadError(400, f"a header {name}")
    length, encoding = known.get("content-length"), known.get("transfer-encoding")
    if encoding is not None:
        if length is not None or encoding.lower() != "chunked":
            raise HeadError(400, "a transfer encoding that is not chunked alone")
        return None
    if length is None:
        return 0
    if not _LENGTH.match(length):
        raise HeadError(400, "a content length that is not a number")
    return int(length)


def _closes(known: dict[str, str]) -> bool:
    told = known.get("connection")
    if told is None:
        return False
    options = {option.strip(" \t").lower() for option in told.split(",")}
    if "upgrade" in options:
        raise HeadError(400, "an upgrade")
    return "close" in options


def _expects(known: dict[str, str]) -> bool:
    told = known.get("expect")
    if told is None:
        return False
    if told.lower() != "100-continue":
        raise HeadError(417, "an expectation that is not 100-continue")
    return True


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
