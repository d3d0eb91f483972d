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
    parts = tuple(name.removesuffix("/").split("/"))
    wrong = _wrong(raw, name, parts)
    if wrong:
        raise RefusedError(f"`{name[:80]!a}` {wrong}")
    return parts


def _wrong(raw: bytes, name: str, parts: tuple[str, ...]) -> str:
    """Say what makes a name unfit, or nothing."""
    rules = (
        (len(raw) > PATH_LIMIT, f"is longer than {PATH_LIMIT} bytes"),
        ("\\" in name, "has a backslash; use `/` between folders"),
        (any(map(_is_control, name)), "has a control character"),
        (name.startswith("/"), "is absolute; use names relative to the package"),
        (name[1:2] == ":", "names a drive; use names relative to the package"),
        (len(parts) > DEPTH_LIMIT, f"is deeper than {DEPTH_LIMIT} folders"),
        (bool({"", ".", ".."} & set(parts)), "has a part that could leave the package"),
        (
            any(len(part.encode()) > PART_LIMIT for part in parts),
            f"has a part longer than {PART_LIMIT} bytes",
        ),
    )
    return next((reason for broken, reason in rules if broken), "")


def _is_control(character: str) -> bool:
    return ord(character) < _FIRST_PRINTABLE or ord(character) == _DELETE


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
            self._note(folded[:depth], parts[:depth], folder=True)
        if folded in self._kinds and not folder:
            known, _folder = self._kinds[folded]
            raise RefusedError(
                f"`{_shown(parts)}` and `{_shown(known)}` are the same file to some "
                f"readers; keep one"
            )
        self._note(folded, parts, folder=folder)

    def _note(
        self, folded: tuple[str, ...], parts: tuple[str, ...], *, folder: bool
    ) -> None:
        known, was_folder = self._kinds.setdefault(folded, (parts, folder))
        if known != parts:
            raise RefusedError(
                f"`{_shown(parts)}` and `{_shown(known)}` differ only in case or "
                f"Unicode form"
            )
        if was_folder != folder:
            raise RefusedError(f"`{_shown(parts)}` is a file and a folder at once")


def _shown(parts: tuple[str, ...]) -> str:
    return ascii("/".join(parts)[:80])[1:-1]


def _folded(part: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold())


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
