"""Medians and spreads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A median, and the 10th and 90th percentile around it."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Raises ValueError when there is nothing to look at."""
        return cls(
            median=quantile(values, 0.5),
            low=quantile(values, 0.1),
            high=quantile(values, 0.9),
        )

    def text(self, digits: int = 2, scale: float = 1.0) -> str:
        """Write `median (low to high)`, each multiplied by `scale`."""
        median, low, high = (
            number(value * scale, digits)
            for value in (self.median, self.low, self.high)
        )
        return f"{median} ({low} to {high})"


def number(value: float, digits: int = 2) -> str:
    """Write a number with a comma for thousands."""
    return f"{value:,.{digits}f}"


def quantile(values: Sequence[float], share: float) -> float:
    """
    Interpolate between the closest ranks.

    share: 0 to 1.  Raises ValueError when there is nothing to look at.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Figure:
    """Divide round by round, so that what slows a whole round falls out."""
    return Figure.of([one / other for one, other in zip(ours, theirs, strict=True)])
