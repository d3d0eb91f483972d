"""
Names inside a package: which are fit to be written, and which mean the same.

A name is refused, never repaired: what is scanned, signed and run must be the
same tree for every reader of the archive.
"""

from __future__ import annotations

import unicodedata

PATH_LIMIT = 1024
"""Bytes of a whole name."""

PART_LIMIT = 255
"""Bytes of one part; what Linux allows."""

DEPTH_LIMIT = 64
"""Parts of a name."""

_FIRST_PRINTABLE = 0x20
_DELETE = 0x7F


class RefusedError(Exception):
    """A package is not taken; the text is for its owner."""


def parts_of(raw: bytes) -> tuple[str, ...]:
    """
    Split an entry's name into its parts; a folder's trailing slash is dropped.

    Raises RefusedError.
    """
    try:
        name = raw.decode()
    except UnicodeDecodeError as error:
        raise RefusedError(f"the name {raw[:80]!r} is not UTF-8") from error
    shown = f"`{name[:80]!a}`"
    if len(raw) > PATH_LIMIT:
        raise RefusedError(f"{shown} is longer than {PATH_LIMIT} bytes")
    if "\\" in name:
        raise RefusedError(f"{shown} has a backslash; use `/` between folders")
    if any(ord(c) < _FIRST_PRINTABLE or ord(c) == _DELETE for c in name):
        raise RefusedError(f"{shown} has a control character")
    if name.startswith("/"):
        raise RefusedError(f"{shown} is absolute; use names relative to the package")
    parts = tuple((name.removesuffix("/")).split("/"))
    if len(parts) > DEPTH_LIMIT:
        raise RefusedError(f"{shown} is deeper than {DEPTH_LIMIT} folders")
    for part in parts:
        if part in ("", ".", ".."):
            raise RefusedError(f"{shown} has the part `{part}`, which could leave")
        if len(part.encode()) > PART_LIMIT:
            raise RefusedError(f"{shown} has a part longer than {PART_LIMIT} bytes")
    if len(parts[0]) > 1 and parts[0][1] == ":":
        raise RefusedError(f"{shown} names a drive; use names relative to the package")
    return parts


class Names:
    """
    The names of one archive so far; refuses those that some reader would merge.

    Compared without case and in one Unicode form: `A.py` and `a.py` are one file
    to some file systems and two to others.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, ...], tuple[tuple[str, ...], bool]] = {}

    def add(self, parts: tuple[str, ...], *, folder: bool) -> None:
        """Note a name and the folders it implies.  Raises RefusedError."""
        folded = tuple(_folded(part) for part in parts)
        for depth in range(1, len(parts)):
            self._note(folded[:depth], parts[:depth], folder=True, implied=True)
        self._note(folded, parts, folder=folder, implied=False)

    def _note(
        self,
        folded: tuple[str, ...],
        parts: tuple[str, ...],
        *,
        folder: bool,
        implied: bool,
    ) -> None:
        known = self._kinds.setdefault(folded, (parts, folder))
        if known == (parts, folder) and folder:
            return
        name, other = "/".join(parts)[:80], "/".join(known[0])[:80]
        if known[0] != parts:
            raise RefusedError(
                f"`{name!a}` and `{other!a}` differ only in case or Unicode form"
            )
        if known[1] != folder:
            raise RefusedError(f"`{name!a}` is a file and a folder at once")
        if not implied and known[0] is not parts:
            raise RefusedError(f"`{name!a}` is there twice")


def _folded(part: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFKC", part).casefold())


def inside(link: tuple[str, ...], target: str) -> tuple[str, ...]:
    """
    Give the parts of the place that a symbolic link points at.

    Raises RefusedError unless that place is below the package's root.  `..` may
    only stand at the start: after a name it would depend on what the name is.
    """
    shown = f"the link `{'/'.join(link)[:80]!a}` to `{target[:80]!a}`"
    if not target or target.startswith("/") or "\\" in target or "\x00" in target:
        raise RefusedError(f"{shown} leaves the package")
    place = list(link[:-1])
    named = False
    for part in target.removesuffix("/").split("/"):
        if part == "..":
            if named or not place:
                raise RefusedError(f"{shown} leaves the package")
            place.pop()
        elif part in ("", "."):
            continue
        else:
            named = True
            place.append(part)
    return tuple(place)
