"""What the codec gives: where a request goes, what a client is answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, final

_TOLD: Final = 10
"""Faults that one answer names."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """
    The operation that a request names.

    path_parameters: labels of the URI, percent-decoded once.  fields: the query
    string (REST) or the form (query protocol), decoded once, in its order.
    """

    operation: str
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    fields: tuple[tuple[str, str], ...] = ()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An HTTP answer.  No header's name or value can hold CR, LF or NUL."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    A constraint of the model that a parameter breaks.

    path: as AWS writes it (`tags.1.member.key`).  message: AWS's sentence,
    without the value where the model calls it sensitive.
    """

    path: str
    message: str


def sentence(faults: Sequence[Fault]) -> str:
    """
    Write faults as AWS does: `2 validation errors detected: …; …`.

    All are counted, and the first ten told.
    """
    noun = "error" if len(faults) == 1 else "errors"
    told = "; ".join(fault.message for fault in faults[:_TOLD])
    return f"{len(faults)} validation {noun} detected: {told}"
