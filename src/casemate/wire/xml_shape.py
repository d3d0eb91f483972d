"""
Shapes read from and written as XML.

Read as botocore's REST-XML serializer writes; written as its parser of both
XML protocols reads.  The two differ in one point, the name of a flattened
list whose member has a name of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from casemate.wire.model import Shape
from casemate.wire.scalar import text_reader, text_writer
from casemate.wire.trouble import UnreadableError, WrongOutputError
from casemate.wire.xml_text import Element

Read = Callable[[list[Element]], object]
"""Reads a member from all the elements of its name."""
Write = Callable[[object, str, list[str]], None]
"""Appends a value, under a name, to the parts of the document."""

_Key = tuple[object, ...]
_UNSPEAKABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;", '"': "&quot;"}
_ESCAPED = re.compile('[&<>\r"]')


def escape(text: str) -> str:
    """
    Make a text safe inside an element or a quoted attribute.

    What XML 1.0 cannot carry at all becomes U+FFFD, as no reader would accept it.
    """
    text = _UNSPEAKABLE.sub("\ufffd", text)
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], text)


def unspeakable(text: str) -> bool:
    """Tell whether a text has characters that XML 1.0 cannot carry."""
    return _UNSPEAKABLE.search(text) is not None


def _key(shape: Shape) -> _Key:
    return (shape.name, shape.timestamp_format, shape.flattened, shape.wire_name)


def _only(elements: list[Element]) -> Element:
    if len(elements) != 1:
        raise UnreadableError("is there more than once")
    return elements[0]


class XmlReaders:
    """The readers of a service's shapes."""

    def __init__(self) -> None:
        self._made: dict[_Key, Read] = {}

    def reader(self, shape: Shape) -> Read:
        """Give the reader of a shape."""
        key = _key(shape)
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
        attributes: dict[str, str] = {}

        def read(elements: list[Element]) -> object:
            element = _only(elements)
            if element.text.strip():
                raise UnreadableError("has text where elements are expected")
            result: dict[str, object] = {
                attributes[name]: value
                for name, value in element.attributes.items()
                if name in attributes
            }
            for wire, same in _by_name(element).items():
                entry = table.get(wire)
                if entry is None:
                    trouble = UnreadableError("is not a parameter of this operation")
                    trouble.within(wire)
                    raise trouble
                try:
                    result[entry[0]] = entry[1](same)
                except UnreadableError as error:
                    error.within(entry[0])
                    raise
            return result

        self._made[key] = read
        for name, member in shape.members.items():
            if member.location is not None:
                continue
            wire = member.wire_name or name
            if member.traits.get("xmlAttribute"):
                attributes[wire] = name
            else:
                table[wire] = (name, self.reader(member))
        return read

    def _list(self, shape: Shape) -> Read:
        item = self.reader(shape.member)
        name = shape.member.wire_name or "member"

        def read(elements: list[Element]) -> object:
            if not shape.flattened:
                elements = _only(elements).children
                if any(element.name != name for element in elements):
                    raise UnreadableError(f"has an element that is not `{name}`")
            return [item([element]) for element in elements]

        return read

    def _map(self, shape: Shape) -> Read:
        key, value = self.reader(shape.key), self.reader(shape.value)
        key_name = shape.key.wire_name or "key"
        value_name = shape.value.wire_name or "value"

        def read(elements: list[Element]) -> object:
            if not shape.flattened:
                elements = _only(elements).children
            result: dict[object, object] = {}
            for element in elements:
                parts = _by_name(element)
                if parts.keys() != {key_name, value_name}:
                    raise UnreadableError(f"is not made of {key_name} and {value_name}")
                named = key(parts[key_name])
                if named in result:
                    raise UnreadableError("names a key twice")
                result[named] = value(parts[value_name])
            return result

        return read


def _by_name(element: Element) -> dict[str, list[Element]]:
    found: dict[str, list[Element]] = {}
    for child in element.children:
        found.setdefault(child.name, []).append(child)
    return found


def _scalar(shape: Shape) -> Read:
    reader = text_reader(shape, "iso8601")

    def read(elements: list[Element]) -> object:
        element = _only(elements)
        if element.children:
            raise UnreadableError("has elements where a text is expected")
        return reader(element.text)

    return read


class XmlWriters:
    """The writers of a service's shapes."""

    def __init__(self) -> None:
        self._made: dict[_Key, Write] = {}

    def writer(self, shape: Shape) -> Write:
        """Give the writer of a shape."""
        key = _key(shape)
        return self._made.get(key) or self._make(shape, key)

    def _make(self, shape: Shape, key: _Key) -> Write:
        if shape.type == "structure":
            return self._structure(shape, key)
        if shape.type == "list":
            made = self._list(shape)
        elif shape.type == "map":
            made = self._map(shape)
        else:
            made = _scalar_writer(shape)
        self._made[key] = made
        return made

    def members(
        self, shape: Shape
    ) -> Callable[[Mapping[str, object], list[str]], None]:
        """Make the writer of what is inside a structure, its own element apart."""
        table: dict[str, tuple[str, Write]] = {}

        def write(value: Mapping[str, object], parts: list[str]) -> None:
            for name, item in value.items():
                entry = table.get(name)
                if entry is None:
                    raise WrongOutputError(f"`{shape.name}` has no member `{name}`")
                if item is not None:
                    entry[1](item, entry[0], parts)

        for name, member in shape.members.items():
            if member.location is None and not member.traits.get("xmlAttribute"):
                table[name] = (_element_name(member, name), self.writer(member))
        return write

    def _structure(self, shape: Shape, key: _Key) -> Write:
        inside: list[Callable[[Mapping[str, object], list[str]], None]] = []
        attributes = {
            name: (member.wire_name or name, text_writer(member, "iso8601"))
            for name, member in shape.members.items()
            if member.traits.get("xmlAttribute")
        }
        opening = _namespace(shape)

        def write(value: object, name: str, parts: list[str]) -> None:
            if not isinstance(value, Mapping):
                raise WrongOutputError(f"`{shape.name}` is written from a mapping")
            parts.append(f"<{name}{opening}")
            for member, (wire, writer) in attributes.items():
                if value.get(member) is not None:
                    parts.append(f' {wire}="{escape(writer(value[member]))}"')
            parts.append(">")
            rest = {n: v for n, v in value.items() if n not in attributes}
            inside[0](rest if attributes else value, parts)
            parts.append(f"</{name}>")

        self._made[key] = write
        inside.append(self.members(shape))
        return write

    def _list(self, shape: Shape) -> Write:
        item = self.writer(shape.member)
        inner = shape.member.wire_name or "member"

        def write(value: object, name: str, parts: list[str]) -> None:
            if not isinstance(value, list | tuple | set | frozenset):
                raise WrongOutputError(f"`{shape.name}` is written from a list")
            if not shape.flattened:
                parts.append(f"<{name}>")
            for element in value:
                item(element, name if shape.flattened else inner, parts)
            if not shape.flattened:
                parts.append(f"</{name}>")

        return write

    def _map(self, shape: Shape) -> Write:
        key, value_writer = self.writer(shape.key), self.writer(shape.value)
        key_name = shape.key.wire_name or "key"
        value_name = shape.value.wire_name or "value"

        def write(value: object, name: str, parts: list[str]) -> None:
            if not isinstance(value, Mapping):
                raise WrongOutputError(f"`{shape.name}` is written from a mapping")
            entry = name if shape.flattened else "entry"
            if not shape.flattened:
                parts.append(f"<{name}>")
            for each, item in value.items():
                parts.append(f"<{entry}>")
                key(each, key_name, parts)
                value_writer(item, value_name, parts)
                parts.append(f"</{entry}>")
            if not shape.flattened:
                parts.append(f"</{name}>")

        return write


def _scalar_writer(shape: Shape) -> Write:
    writer = text_writer(shape, "iso8601")

    def write(value: object, name: str, parts: list[str]) -> None:
        parts.append(f"<{name}>{escape(writer(value))}</{name}>")

    return write


def _element_name(member: Shape, name: str) -> str:
    if member.type == "list" and member.flattened and member.member.wire_name:
        return member.member.wire_name
    return member.wire_name or name


def _namespace(shape: Shape) -> str:
    told = shape.traits.get("xmlNamespace")
    if isinstance(told, str):
        return f' xmlns="{escape(told)}"'
    if not isinstance(told, Mapping):
        return ""
    prefix = f":{told['prefix']}" if told.get("prefix") else ""
    return f' xmlns{prefix}="{escape(str(told["uri"]))}"'
