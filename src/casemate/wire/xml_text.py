"""
XML from strangers, read with expat into a small tree.

Refused: any document type (and with it every entity of the sender's own),
processing instructions, encodings but UTF-8, deep nesting, more elements than
a bound, and text beside child elements.  Nothing is ever fetched.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Never
from xml.parsers import expat

from casemate.wire.trouble import UnreadableError

DEPTH = 48
ELEMENTS = 50_000
ATTRIBUTES = 16
_SPACE = " \t\r\n"


@dataclass(slots=True)
class Element:
    """An element: local name, attributes by qualified name, children or text."""

    name: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Element] = field(default_factory=list)
    text: str = ""


class _Builder:
    """Collects what expat reports."""

    def __init__(self) -> None:
        self.root: Element | None = None
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._count = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if self._count > ELEMENTS:
            raise UnreadableError(f"the body has more than {ELEMENTS} elements")
        if len(self._open) >= DEPTH:
            raise UnreadableError(f"the body is nested deeper than {DEPTH} levels")
        if len(attributes) > ATTRIBUTES:
            raise UnreadableError(f"an element has more than {ATTRIBUTES} attributes")
        element = Element(name.rpartition(":")[2], attributes)
        if self._open:
            self._open[-1].children.append(element)
        else:
            self.root = element
        self._open.append(element)
        self._texts.append([])

    def end(self, _name: str) -> None:
        element = self._open.pop()
        text = "".join(self._texts.pop())
        if not element.children:
            element.text = text
        elif text.strip(_SPACE):
            raise UnreadableError("the body has text beside an element")

    def data(self, text: str) -> None:
        self._texts[-1].append(text)


def _no_doctype(*_: object) -> Never:
    raise UnreadableError("the body has a document type declaration")


def _no_instruction(*_: object) -> Never:
    raise UnreadableError("the body has a processing instruction")


def read_xml(body: bytes) -> Element:
    """Read one XML document in UTF-8.  Raises UnreadableError."""
    # expat believes a byte order mark over the encoding that it is told.
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError("the body is not UTF-8") from error
    if "\x00" in text:
        raise UnreadableError("the body has a NUL")
    builder = _Builder()
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _no_doctype
    parser.EntityDeclHandler = _no_doctype
    parser.ProcessingInstructionHandler = _no_instruction
    try:
        parser.Parse(body, True)
    except expat.ExpatError as error:
        raise UnreadableError("the body is not XML") from error
    if builder.root is None:
        raise UnreadableError("the body is not XML")
    return builder.root
