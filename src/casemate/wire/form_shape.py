"""Shapes read from the tree of a query protocol's form."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from casemate.wire.form import Tree
from casemate.wire.model import Shape
from casemate.wire.scalar import text_reader
from casemate.wire.trouble import UnreadableError
from casemate.wire.xml_shape import unspeakable

Node = Tree | str
Read = Callable[[Node], object]
_Key = tuple[object, ...]
_DIGITS = 4


class FormReaders:
    """The readers of a service's shapes."""

    def __init__(self) -> None:
        self._made: dict[_Key, Read] = {}

    def reader(self, shape: Shape) -> Read:
        """Give the reader of a shape."""
        key = (shape.name, shape.timestamp_format, shape.flattened)
        return self._made.get(key) or self._make(shape, key)

    def _make(self, shape: Shape, key: _Key) -> Read:
        if shape.type == "structure":
            return self._structure(shape, key)
        if shape.type == "list":
            made = self._list(shape)
        elif shape.type == "map":
            made = self._map(shape)
        else:
            made = _scalar(shape)
        self._made[key] = made
        return made

    def _structure(self, shape: Shape, key: _Key) -> Read:
        table: dict[str, tuple[str, Read]] = {}

        def read(node: Node) -> object:
            result: dict[str, object] = {}
            for wire, below in _branches(node):
                entry = table.get(wire)
                if entry is None:
                    trouble = UnreadableError("is not a parameter of this operation")
                    trouble.within(wire)
                    raise trouble
                if entry[0] in result:
                    raise UnreadableError(f"`{entry[0]}` is there in two forms")
                try:
                    result[entry[0]] = entry[1](below)
                except UnreadableError as error:
                    error.within(entry[0])
                    raise
            return result

        self._made[key] = read
        for name, member in shape.members.items():
            for wire in _names(member, name):
                table[wire] = (name, self.reader(member))
        return read

    def _list(self, shape: Shape) -> Read:
        item = self.reader(shape.member)
        inner = shape.member.wire_name or "member"

        def read(node: Node) -> object:
            if node == "":
                return []
            if not shape.flattened:
                node = _step(node, inner)
            return [item(below) for below in _in_order(node)]

        return read

    def _map(self, shape: Shape) -> Read:
        key, value = self.reader(shape.key), self.reader(shape.value)
        key_name = shape.key.wire_name or "key"
        value_name = shape.value.wire_name or "value"

        def read(node: Node) -> object:
            if node == "":
                return {}
            if not shape.flattened:
                node = _step(node, "entry")
            result: dict[object, object] = {}
            for entry in _in_order(node):
                parts = dict(_branches(entry))
                if parts.keys() != {key_name, value_name}:
                    raise UnreadableError(f"is not made of {key_name} and {value_name}")
                named = key(parts[key_name])
                if named in result:
                    raise UnreadableError("names a key twice")
                result[named] = value(parts[value_name])
            return result

        return read


def _names(member: Shape, name: str) -> tuple[str, ...]:
    """Give the names of a member: a flattened list goes by its member's name."""
    own = member.wire_name or name
    if member.type == "list" and member.flattened and member.member.wire_name:
        return (own, member.member.wire_name)
    return (own,)


def _branches(node: Node) -> Iterable[tuple[str, Node]]:
    if isinstance(node, str):
        raise UnreadableError("is a value where a structure is expected")
    return node.items()


def _step(node: Node, name: str) -> Node:
    branches = dict(_branches(node))
    if branches.keys() != {name}:
        raise UnreadableError(f"is not numbered as `{name}.1`, `{name}.2`, …")
    return branches[name]


def _in_order(node: Node) -> list[Node]:
    """Give what is numbered 1 to n, without gaps, as clients write it."""
    branches = dict(_branches(node))
    numbered: dict[int, Node] = {}
    for index, below in branches.items():
        if not (index.isascii() and index.isdigit() and len(index) <= _DIGITS):
            raise UnreadableError(
                f"has `{index[:16]}` where a small number is expected"
            )
        numbered[int(index)] = below
    if set(numbered) != set(range(1, len(branches) + 1)):
        raise UnreadableError("is not numbered from 1 without gaps")
    return [numbered[index] for index in sorted(numbered)]


def _scalar(shape: Shape) -> Read:
    reader = text_reader(shape, "iso8601")

    def read(node: Node) -> object:
        if not isinstance(node, str):
            raise UnreadableError("is a structure where a value is expected")
        if unspeakable(node):
            raise UnreadableError("has a character that XML cannot carry back")
        return reader(node)

    return read
