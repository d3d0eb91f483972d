"""
The head of an HTTP/1.1 request, read by one strict grammar.

Two doors read HTTP: the front, and the Runtime API of a cell.  Rooms do not import
each other, so what they share stands here: the grammar, and all that makes one
reading of a head (how long the body is, whether the connection ends).  What a
target, a host or a header may say is each door's own.

Problem: llhttp, which stood at both doors first, lets through some of what request
smuggling is made of (obsolete folding, `Transfer-Encoding` by other spellings,
unlisted characters), so its input had to be matched against a grammar anyway;
two readers of the same bytes cost more (4.2 µs a head against 3.3) and can
disagree.  There is one: what does not match in full is refused.

Source: RFC 9112, sections 2 to 7; RFC 9110, 5.5 (values), 5.6.2 (tokens).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple, final

HEAD_END: Final = b"\r\n\r\n"
Headers = tuple[tuple[str, str], ...]

_VERSION: Final = re.compile(r"[A-Z]{1,16} [!-~]+ HTTP/[0-9.]{1,5}\r\n")
_LENGTH: Final = re.compile(r"[0-9]{1,15}\Z")
_FRAMING: Final = frozenset({"content-length", "host", "transfer-encoding"})
_LONGEST_TARGET: Final = 16_384


def grammar(*, beyond_ascii: bool = False) -> re.Pattern[str]:
    """
    Compile the grammar of a head.

    beyond_ascii: take values with bytes past ASCII (`obs-text`), as they are.
    """
    value = r"\t\x20-\x7e\x80-\xff" if beyond_ascii else r"\t\x20-\x7e"
    return re.compile(
        rf"([A-Z]{{1,16}}) ([!-~]{{1,{_LONGEST_TARGET}}}) HTTP/1\.1\r\n"
        rf"((?:[!#$%&'*+.^_`|~0-9A-Za-z-]{{1,256}}:[{value}]*\r\n)*)\Z"
    )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """
    What a door takes.

    headers: how many.  once: those of which a second one would be a second story,
    beside the ones that frame the request.  refused: those that lead out of plain
    HTTP/1.1.
    """

    grammar: re.Pattern[str]
    headers: int
    once: frozenset[str] = frozenset()
    refused: tuple[str, ...] = ("upgrade", "http2-settings", "proxy-connection")


class HeadError(Exception):
    """The head is refused; status is HTTP's, reason is for the record."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@final
class Head(NamedTuple):
    """
    A head that is well formed, its target and headers as they came.

    headers: in order, names in lower case.  known: by name, the last of each.
    names: all of them, to be searched.  length: bytes of the body; None when it
    comes in chunks.  close: the client asked for no further request.  expects: it
    waits for `100 Continue`.
    """

    method: str
    target: str
    headers: list[tuple[str, str]]
    known: dict[str, str]
    names: str
    length: int | None
    close: bool
    expects: bool


def read_head(data: bytes, rules: Rules) -> Head:
    """Read the bytes up to the empty line, without it.  Raises HeadError."""
    # Latin-1 maps each byte to one character.
    text = data.decode("latin-1") + "\r\n"
    found = rules.grammar.match(text)
    if found is None:
        raise _why(text)
    method, target, block = found.groups()
    lines = block.split("\r\n")
    lines.pop()
    if len(lines) > rules.headers:
        raise HeadError(431, "too many headers")
    headers = []
    for line in lines:
        name, _, value = line.partition(":")
        headers.append((name.lower(), value.strip(" \t")))
    known = dict(headers)
    names = " ".join(known)
    if len(known) != len(headers) or "_" in names:
        _refuse_doubles(headers, known, rules.once)
    return Head(
        method,
        target,
        headers,
        known,
        names,
        _framing(known, rules.refused),
        _closes(known),
        _expects(known),
    )


def _why(text: str) -> HeadError:
    if _VERSION.match(text) and " HTTP/1.1\r\n" not in text[: _LONGEST_TARGET + 116]:
        return HeadError(505, "another version of HTTP")
    return HeadError(400, "the head is not HTTP/1.1")


def _refuse_doubles(
    headers: list[tuple[str, str]], known: dict[str, str], once: frozenset[str]
) -> None:
    """Refuse what two readers may take for one or the other (H4)."""
    seen: set[str] = set()
    for name, _ in headers:
        if name in seen and (name in _FRAMING or name in once):
            raise HeadError(400, f"two headers {name}")
        seen.add(name)
        if "_" in name:
            dashed = name.replace("_", "-")
            # A gateway in front may fold one into the other.
            if dashed in known or dashed in _FRAMING or dashed in once:
                raise HeadError(400, "a header name that passes for another")


def _framing(known: dict[str, str], refused: tuple[str, ...]) -> int | None:
    """Give the body's length; None for chunks.  Never a guess (H1, H2)."""
    for name in refused:
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
