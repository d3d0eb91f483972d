"""
The models' constraints, told as AWS tells them.

What the model does not say is not checked: limits that a service documents
elsewhere (Lambda's 900 s) are the service's own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import datetime

from casemate.wire.model import Shape
from casemate.wire.pattern import matcher
from casemate.wire.reply import Fault

Faults = list[Fault]
Check = Callable[[object, str, Faults], None]

MOST = 50
"""Faults that are told at most; a client fixes no more at once."""
_SHOWN = 256


def _shown(value: object) -> str:
    text = f"<{len(value)} bytes>" if isinstance(value, bytes) else str(value)
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return "".join(c if c.isprintable() else "\ufffd" for c in cut)


class _Teller:
    """Writes the faults of one shape."""

    def __init__(self, shape: Shape | None) -> None:
        self._sensitive = shape is not None and shape.sensitive

    def tell(self, faults: Faults, path: str, value: object, rule: str) -> None:
        if len(faults) >= MOST:
            return
        shown = "null" if value is None else f"'{_shown(value)}'"
        told = "Value" if self._sensitive else f"Value {shown}"
        faults.append(
            Fault(
                path=path,
                message=f"{told} at '{path}' failed to satisfy constraint: {rule}",
            )
        )


_NULL = _Teller(None)
"""Tells of what is missing, which is never sensitive."""
_NOT_NULL = "Member must not be null"
_ONE_OF_UNION = "Member must have exactly one of its members set"


def _lower(name: str) -> str:
    return name[:1].lower() + name[1:]


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


class Checks:
    """The checks of a service's shapes."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str], Check | None] = {}

    def check(self, shape: Shape) -> Check | None:
        """Give the check of a shape, or None where the model holds it to nothing."""
        key = (shape.name, repr((shape.traits.get("min"), shape.traits.get("max"))))
        if key not in self._made:
            self._made[key] = self._make(shape, key)
        return self._made[key]

    def _make(self, shape: Shape, key: tuple[str, str]) -> Check | None:
        if shape.type == "structure":
            return self._structure(shape, key)
        if shape.type == "list":
            return self._list(shape)
        if shape.type == "map":
            return self._map(shape)
        if shape.type in ("integer", "long", "float", "double"):
            return _range(shape)
        if shape.type in ("string", "blob"):
            return _text(shape)
        return None

    def _structure(self, shape: Shape, key: tuple[str, str]) -> Check | None:
        if shape.document:
            return None
        required = [(name, _lower(name)) for name in shape.names("required")]
        inside: dict[str, tuple[str, Check]] = {}
        teller = _Teller(shape)

        def check(value: object, path: str, faults: Faults) -> None:
            if not isinstance(value, Mapping):
                return
            _require(required, value, path, faults)
            if shape.union and len(value) != 1:
                teller.tell(faults, path, "", _ONE_OF_UNION)
            for name, item in value.items():
                entry = inside.get(name)
                if entry is not None and item is not None:
                    entry[1](item, _join(path, entry[0]), faults)

        # Known before its members are, because shapes may recurse.
        self._made[key] = check
        for name, member in shape.members.items():
            made = self.check(member)
            if made is not None:
                inside[name] = (_lower(name), made)
        return check

    def _list(self, shape: Shape) -> Check | None:
        size = _size(shape)
        item = self.check(shape.member)
        if size is None and item is None:
            return None

        def check(value: object, path: str, faults: Faults) -> None:
            if not isinstance(value, list | tuple):
                return
            if size is not None:
                size(value, len(value), path, faults)
            if item is not None:
                for index, element in enumerate(value, 1):
                    if len(faults) >= MOST:
                        return
                    item(element, f"{path}.{index}.member", faults)

        return check

    def _map(self, shape: Shape) -> Check | None:
        size = _size(shape)
        key, item = self.check(shape.key), self.check(shape.value)
        if size is None and key is None and item is None:
            return None

        def check(value: object, path: str, faults: Faults) -> None:
            if not isinstance(value, Mapping):
                return
            if size is not None:
                size(value, len(value), path, faults)
            for name, element in value.items():
                if len(faults) >= MOST:
                    return
                if key is not None:
                    key(name, f"{path}.key", faults)
                if item is not None:
                    item(element, f"{path}.{_shown(name)}.member", faults)

        return check


def _require(
    names: list[tuple[str, str]],
    value: Mapping[str, object],
    path: str,
    faults: Faults,
) -> None:
    for name, lower in names:
        if value.get(name) is None:
            _NULL.tell(faults, _join(path, lower), None, _NOT_NULL)


Size = Callable[[object, int, str, Faults], None]


def _size(shape: Shape) -> Size | None:
    """Make the check of a length: characters, bytes, members."""
    low, high = shape.number("min"), shape.number("max")
    if low is None and high is None:
        return None
    teller = _Teller(shape)

    def check(value: object, length: int, path: str, faults: Faults) -> None:
        if low is not None and length < low:
            rule = f"Member must have length greater than or equal to {low:g}"
            teller.tell(faults, path, value, rule)
        if high is not None and length > high:
            rule = f"Member must have length less than or equal to {high:.0f}"
            teller.tell(faults, path, value, rule)

    return check


def _range(shape: Shape) -> Check | None:
    low, high = shape.number("min"), shape.number("max")
    if low is None and high is None:
        return None
    teller = _Teller(shape)

    def check(value: object, path: str, faults: Faults) -> None:
        if not isinstance(value, int | float):
            return
        nan = math.isnan(value)
        if low is not None and (nan or value < low):
            rule = f"Member must have value greater than or equal to {low:g}"
            teller.tell(faults, path, value, rule)
        if high is not None and (nan or value > high):
            rule = f"Member must have value less than or equal to {high:.0f}"
            teller.tell(faults, path, value, rule)

    return check


def _text(shape: Shape) -> Check | None:
    size = _size(shape)
    words = frozenset(shape.names("enum"))
    listed = ", ".join(shape.names("enum"))
    pattern = shape.text("pattern")
    matches = matcher(pattern) if pattern is not None else None
    if size is None and not words and matches is None:
        return None
    high = shape.number("max")
    teller = _Teller(shape)

    def check(value: object, path: str, faults: Faults) -> None:
        if isinstance(value, datetime) or not isinstance(value, str | bytes):
            return
        if size is not None:
            size(value, len(value), path, faults)
        if words and value not in words:
            rule = f"Member must satisfy enum value set: [{listed}]"
            teller.tell(faults, path, value, rule)
        # A value past its length is not matched: that bounds the work.
        too_long = high is not None and len(value) > high
        if matches is None or not isinstance(value, str) or too_long:
            return
        if not matches(value):
            rule = f"Member must satisfy regular expression pattern: {pattern}"
            teller.tell(faults, path, value, rule)

    return check
