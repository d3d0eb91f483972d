"""
What may reach the operator's terminal.

What tenants wrote (log lines, answers, names in a story) must not move the
cursor, set the title, hide or reorder what stands beside it.
"""

from __future__ import annotations

import re
from typing import Final

_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"  # lines and directions
)


def clean(text: object) -> str:
    """Give text whose control characters are replaced; tabs and newlines stay."""
    return _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", str(text))


def flat(text: object) -> str:
    """Give text on one line as it stands: what comes after it cannot be posed as."""
    return clean(str(text).rstrip("\n")).replace("\n", " ")


def line(text: object) -> str:
    """Give text on one line, without the white space that has no meaning there."""
    return clean(" ".join(str(text).split()))


def document(text: str) -> str:
    r"""
    Give JSON with control characters written as `\u001b`.

    Inside of JSON's texts, the only place where they can stand, that is the
    same text: so what is piped on loses nothing.
    """
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
