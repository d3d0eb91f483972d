"""
The canonical request: one text for each request, whoever writes it.

All text here is latin-1 for bytes, as they came on the wire, so a client's
UTF-8 goes through unharmed.

Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

_REMEMBERED: Final = 512
"""Characters of a path whose canonical form is remembered."""
_PLAIN = re.compile(r"[A-Za-z0-9._~/-]*\Z")
_SPACES = re.compile(r"[ \t]+")
_SAFE = re.compile(r"[A-Za-z0-9._~+-]*\Z")
_UNRESERVED: Final = "-_.~"


def normal_path(path: str) -> str:
    """
    Remove dot segments and empty segments from a path.

    As the signers do: no trailing slash is made up, none is lost.
    """
    if "/." not in path and "//" not in path:
        return path or "/"
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if kept:
                kept.pop()
        elif segment not in {"", "."}:
            kept.append(segment)
    tail = "/" if path.endswith("/") and kept else ""
    return f"/{'/'.join(kept)}{tail}"


def canonical_path(path: str, *, literal: bool) -> str:
    """
    Encode a path as signers do.

    literal (S3): every segment decoded and encoded once, nothing normalised;
    an encoded slash stays apart from a slash.  Otherwise: normalised, and what
    is encoded already is encoded again.
    """
    if len(path) <= _REMEMBERED:
        return _remembered(path, literal)
    return _encoded(path, literal)


@lru_cache(maxsize=1024)
def _remembered(path: str, literal: bool) -> str:
    return _encoded(path, literal)


def _encoded(path: str, literal: bool) -> str:
    if literal:
        if _PLAIN.match(path):
            return path or "/"
        return "/".join(
            quote_from_bytes(unquote_to_bytes(_latin(part)), safe=_UNRESERVED)
            for part in path.split("/")
        )
    path = normal_path(path)
    if _PLAIN.match(path):
        return path
    return quote_from_bytes(_latin(path), safe=f"/{_UNRESERVED}")


def canonical_query(query: str, *, without: str | None = None) -> str:
    """
    Sort and encode a query, less the parameter that holds the signature.

    A bare `+` stays one.  Readers of queries take it for a space, and signers
    write `%20`; were it folded into either, one signature would cover two
    meanings.
    """
    if not query:
        return ""
    pairs = []
    for piece in query.split("&"):
        if not piece:
            continue
        name, _, value = piece.partition("=")
        name, value = _component(name), _component(value)
        if name != without:
            pairs.append((name, value))
    pairs.sort()
    return "&".join([f"{name}={value}" for name, value in pairs])


def _component(text: str) -> str:
    if _SAFE.match(text):
        return text
    return "+".join(
        quote_from_bytes(unquote_to_bytes(_latin(part)), safe=_UNRESERVED)
        for part in text.split("+")
    )


def canonical_value(value: str) -> str:
    """Trim a header's value and fold runs of spaces into one."""
    if "  " in value or "\t" in value:
        value = _SPACES.sub(" ", value)
    return value.strip(" ")


def canonical_request(
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    payload_hash: str,
) -> bytes:
    """
    Put the canonical request together.

    path and query: canonical.  headers: the signed ones, canonical, sorted by
    name; several of one name joined by commas.
    """
    lines = "".join([f"{name}:{value}\n" for name, value in headers.items()])
    signed = ";".join(headers)
    return _latin(f"{method}\n{path}\n{query}\n{lines}\n{signed}\n{payload_hash}")


def _latin(text: str) -> bytes:
    return text.encode("latin-1")
