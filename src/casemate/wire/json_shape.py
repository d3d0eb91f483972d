"""Shapes read from and written to JSON values, compiled once per shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from casemate.wire.model import Shape
from casemate.wire.scalar import (
    float_name,
    integer_of,
    moment,
    read_blob,
    read_float,
    read_time,
    write_blob,
    write_seconds,
    write_time,
)
from casemate.wire.trouble import UnreadableError, WrongOutputError

Convert = Callable[[object], object]
_Key = tuple[str, str | None]


def _same(value: object) -> object:
    return value


def _read_text(value: object) -> str:
    if type(value) is str:
        return value
    raise UnreadableError("is not a text")


def _read_blob(value: object) -> bytes:
    return read_blob(_read_text(value))


def _read_boolean(value: object) -> bool:
    if type(value) is bool:
        return value
    raise UnreadableError("is neither true nor false")


def _read_float(value: object) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    return read_float(value) if value in ("NaN", "Infinity", "-Infinity") else _refuse()


def _refuse() -> float:
    raise UnreadableError("is not a number")


def _integer_reader(kind: str) -> Convert:
    def read(value: object) -> int:
        if type(value) is int:
            return integer_of(value, kind)
        # `1.0` is how some clients write a long; more is not an integer.
        if type(value) is float and value.is_integer() and abs(value) < 1 << 53:
            return integer_of(int(value), kind)
        raise UnreadableError("is not an integer")

    return read


def _time_reader(form: str) -> Convert:
    def read(value: object) -> object:
        if form == "unixtimestamp":
            if type(value) is int or type(value) is float:
                return moment(value)
            raise UnreadableError("is not a number of seconds")
        return read_time(_read_text(value), form)

    return read


def body_members(shape: Shape) -> Mapping[str, Shape]:
    """Give the members that travel in the body."""
    return {n: m for n, m in shape.members.items() if m.location is None}


class JsonReaders:
    """The readers of a service's shapes."""

    def __init__(self) -> None:
        self._made: dict[_Key, Convert] = {}

    def reader(self, shape: Shape) -> Convert:
        """Give the reader of a shape: JSON value in, parameter out."""
        key = (shape.name, shape.timestamp_format)
        return self._made.get(key) or self._make(shape, key)

    def _make(self, shape: Shape, key: _Key) -> Convert:
        kind = shape.type
        if kind == "structure":
            return self._structure(shape, key)
        if kind == "list":
            made = self._list(shape)
        elif kind == "map":
            made = self._map(shape)
        elif kind in ("integer", "long"):
            made = _integer_reader(kind)
        elif kind == "timestamp":
            made = _time_reader((shape.timestamp_format or "unixtimestamp").lower())
        else:
            scalars: dict[str, Convert] = {
                "string": _read_text,
                "character": _read_text,
                "boolean": _read_boolean,
                "blob": _read_blob,
                "float": _read_float,
                "double": _read_float,
            }
            made = scalars[kind]
        self._made[key] = made
        return made

    def _structure(self, shape: Shape, key: _Key) -> Convert:
        if shape.document:
            return _same
        table: dict[str, tuple[str, Convert]] = {}

        def read(value: object) -> object:
            if type(value) is not dict:
                raise UnreadableError("is not an object")
            result: dict[str, object] = {}
            for wire, item in value.items():
                entry = table.get(wire)
                if entry is None:
                    trouble = UnreadableError("is not a parameter of this operation")
                    trouble.within(wire)
                    raise trouble
                if item is None:
                    continue
                try:
                    result[entry[0]] = entry[1](item)
                except UnreadableError as error:
                    error.within(entry[0])
                    raise
            return result

        # Known before its members are made, because shapes may recurse.
        self._made[key] = read
        for name, member in body_members(shape).items():
            table[member.wire_name or name] = (name, self.reader(member))
        return read

    def _list(self, shape: Shape) -> Convert:
        item = self.reader(shape.member)

        def read(value: object) -> object:
            if type(value) is not list:
                raise UnreadableError("is not a list")
            return [item(element) for element in value]

        return read

    def _map(self, shape: Shape) -> Convert:
        item = self.reader(shape.value)

        def read(value: object) -> object:
            if type(value) is not dict:
                raise UnreadableError("is not an object")
            return {name: item(element) for name, element in value.items()}

        return read


def _write_text(value: object) -> object:
    if isinstance(value, str):
        return value
    raise WrongOutputError(f"{type(value).__name__} where a text is expected")


def _write_integer(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise WrongOutputError(f"{type(value).__name__} where an integer is expected")


def _write_boolean(value: object) -> object:
    if isinstance(value, bool):
        return value
    raise WrongOutputError(f"{type(value).__name__} where true or false is expected")


def _write_float(value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float_name(value) or value
    raise WrongOutputError(f"{type(value).__name__} where a number is expected")


class JsonWriters:
    """The writers of a service's shapes."""

    def __init__(self) -> None:
        self._made: dict[_Key, Convert] = {}

    def writer(self, shape: Shape) -> Convert:
        """Give the writer of a shape: result in, JSON value out."""
        key = (shape.name, shape.timestamp_format)
        return self._made.get(key) or self._make(shape, key)

    def _make(self, shape: Shape, key: _Key) -> Convert:
        kind = shape.type
        if kind == "structure":
            return self._structure(shape, key)
        if kind == "list":
            made = self._list(shape)
        elif kind == "map":
            made = self._map(shape)
        elif kind == "timestamp":
            form = (shape.timestamp_format or "unixtimestamp").lower()
            made = (
                write_seconds
                if form == "unixtimestamp"
                else lambda value: write_time(value, form)
            )
        else:
            scalars: dict[str, Convert] = {
                "string": _write_text,
                "character": _write_text,
                "boolean": _write_boolean,
                "integer": _write_integer,
                "long": _write_integer,
                "blob": write_blob,
                "float": _write_float,
                "double": _write_float,
            }
            made = scalars[kind]
        self._made[key] = made
        return made

    def _structure(self, shape: Shape, key: _Key) -> Convert:
        if shape.document:
            return _same
        table: dict[str, tuple[str, Convert]] = {}

        def write(value: object) -> object:
            if not isinstance(value, Mapping):
                raise WrongOutputError(f"`{shape.name}` is written from a mapping")
            result: dict[str, object] = {}
            for name, item in value.items():
                entry = table.get(name)
                if entry is None:
                    raise WrongOutputError(f"`{shape.name}` has no member `{name}`")
                if item is not None:
                    result[entry[0]] = entry[1](item)
            return result

        self._made[key] = write
        for name, member in body_members(shape).items():
            table[name] = (member.wire_name or name, self.writer(member))
        return write

    def _list(self, shape: Shape) -> Convert:
        item = self.writer(shape.member)

        def write(value: object) -> object:
            if not isinstance(value, list | tuple | set | frozenset):
                raise WrongOutputError(f"`{shape.name}` is written from a list")
            return [item(element) for element in value]

        return write

    def _map(self, shape: Shape) -> Convert:
        item = self.writer(shape.value)

        def write(value: object) -> object:
            if not isinstance(value, Mapping):
                raise WrongOutputError(f"`{shape.name}` is written from a mapping")
            return {str(name): item(element) for name, element in value.items()}

        return write
