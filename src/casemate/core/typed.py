"""
Typed reading of an operation's parameters.

The codec gives each member the type of AWS's model; these methods turn that
into what mypy can see, and refuse anything else instead of believing it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import final

from casemate.core.errors import Refusal
from casemate.core.operation import Parameters


@final
@dataclass(frozen=True, slots=True)
class Typed:
    """Reads parameters for one service; invalid: makes its refusal of a reason."""

    invalid: Callable[[str], Refusal]

    def text(self, parameters: Parameters, name: str) -> str | None:
        """Give a text, or None if it was not sent."""
        value = parameters.get(name)
        if value is None or isinstance(value, str):
            return value
        raise self.invalid(f"`{name}` is not a text")

    def needed(self, parameters: Parameters, name: str) -> str:
        """Give a text that must be there."""
        value = self.text(parameters, name)
        if value is None:
            raise self.invalid(f"`{name}` is missing")
        return value

    def integer(self, parameters: Parameters, name: str) -> int | None:
        """Give a whole number, or None if it was not sent."""
        value = parameters.get(name)
        if value is None or (isinstance(value, int) and not isinstance(value, bool)):
            return value
        raise self.invalid(f"`{name}` is not a whole number")

    def flag(self, parameters: Parameters, name: str) -> bool:
        """Give a truth value; False if it was not sent."""
        value = parameters.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise self.invalid(f"`{name}` is not a truth value")

    def octets(self, parameters: Parameters, name: str) -> bytes | None:
        """Give bytes, or None if they were not sent."""
        value = parameters.get(name)
        if value is None or isinstance(value, bytes):
            return value
        raise self.invalid(f"`{name}` is not a blob")

    def structure(
        self, parameters: Parameters, name: str
    ) -> Mapping[str, object] | None:
        """Give a structure, or None if it was not sent."""
        value = parameters.get(name)
        if value is None or isinstance(value, Mapping):
            return value
        raise self.invalid(f"`{name}` is not a structure")

    def texts(self, parameters: Parameters, name: str) -> tuple[str, ...] | None:
        """Give a list of texts, or None if it was not sent."""
        value = parameters.get(name)
        if value is None:
            return None
        if isinstance(value, list | tuple) and all(isinstance(v, str) for v in value):
            return tuple(value)
        raise self.invalid(f"`{name}` is not a list of texts")

    def text_map(self, parameters: Parameters, name: str) -> dict[str, str] | None:
        """Give a map of texts, or None if it was not sent."""
        value = self.structure(parameters, name)
        if value is None:
            return None
        found: dict[str, str] = {}
        for key, item in value.items():
            if not isinstance(item, str):
                raise self.invalid(f"`{name}` is not a map of texts")
            found[key] = item
        return found
