"""
What both REST protocols share on the way in: labels, query string, headers,
and which member the body is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from casemate.core.call import Request
from casemate.wire.form import SIGNATURE, Pairs
from casemate.wire.header import header_reader
from casemate.wire.model import OperationModel, Shape
from casemate.wire.reply import Route
from casemate.wire.scalar import TextReader, text_reader
from casemate.wire.trouble import UnreadableError, UnsupportedProtocolError

BodyReader = Callable[[bytes], dict[str, object]]
"""Reads the whole body as one structure; an empty body as an empty one."""
BodyReaders = Callable[[Shape], BodyReader]
TypeCheck = Callable[[str | None], None]
"""Refuses a structured body whose content type says that it is something else."""


@dataclass(slots=True)
class Intake:
    """Where each member of an operation's input is read from."""

    labels: dict[str, tuple[str, TextReader]] = field(default_factory=dict)
    query: dict[str, tuple[str, bool, TextReader]] = field(default_factory=dict)
    leftover: tuple[str, TextReader, bool] | None = None
    static: frozenset[tuple[str, str]] = frozenset()
    headers: dict[str, tuple[str, TextReader]] = field(default_factory=dict)
    prefixes: list[tuple[str, str]] = field(default_factory=list)
    raw: tuple[str, bool] | None = None
    structured: BodyReader | None = None
    payload: str | None = None
    check_type: TypeCheck | None = None

    def read(self, route: Route, request: Request) -> dict[str, object]:
        """Read all members.  Raises UnreadableError."""
        result: dict[str, object] = {}
        for label, text in route.path_parameters.items():
            name, reader = self.labels[label]
            result[name] = _read(name, reader, text)
        if route.fields:
            self._read_query(route, result)
        if self.headers or self.prefixes:
            self._read_headers(request.headers, result)
        self._read_body(request, result)
        return result

    def _read_query(self, route: Route, result: dict[str, object]) -> None:
        for wire, text in route.fields:
            entry = self.query.get(wire)
            if entry is None:
                self._read_leftover(route, wire, text, result)
                continue
            name, many, reader = entry
            value = _read(name, reader, text)
            if many:
                listed = result.setdefault(name, [])
                if isinstance(listed, list):
                    listed.append(value)
            elif name in result:
                raise UnreadableError(f"`{name}` is there twice")
            else:
                result[name] = value

    def _read_leftover(
        self, route: Route, wire: str, text: str, result: dict[str, object]
    ) -> None:
        if wire in SIGNATURE or (wire, text) in self.static:
            return
        # AWS's newer SDKs name the operation in the query, for the logs.
        if wire == "x-id" and text == route.operation:
            return
        if self.leftover is None:
            raise UnreadableError(f"`{wire[:64]}` is not a parameter of this operation")
        name, reader, many = self.leftover
        found = result.setdefault(name, {})
        if isinstance(found, dict):
            value = _read(name, reader, text)
            if many:
                found.setdefault(wire, []).append(value)
            elif wire in found:
                raise UnreadableError(f"`{wire[:64]}` is there twice")
            else:
                found[wire] = value

    def _read_headers(
        self, headers: tuple[tuple[str, str], ...], result: dict[str, object]
    ) -> None:
        for wire, text in headers:
            entry = self.headers.get(wire)
            if entry is not None:
                name, reader = entry
                if name in result:
                    raise UnreadableError(f"`{name}` is there twice")
                result[name] = _read(name, reader, text)
            for prefix, name in self.prefixes:
                if wire.startswith(prefix):
                    found = result.setdefault(name, {})
                    if isinstance(found, dict):
                        found[wire[len(prefix) :]] = text

    def _read_body(self, request: Request, result: dict[str, object]) -> None:
        body = request.body
        if self.raw is not None:
            name, is_text = self.raw
            if body:
                result[name] = _text(body) if is_text else body
            return
        if self.structured is None:
            if body and body != b"{}":
                raise UnreadableError("this operation takes no body")
            return
        if not body:
            return
        if self.check_type is not None:
            self.check_type(request.header("content-type"))
        read = self.structured(body)
        if self.payload is None:
            result.update(read)
        else:
            result[self.payload] = read


def _read(name: str, reader: TextReader, text: str) -> object:
    try:
        return reader(text)
    except UnreadableError as error:
        error.within(name)
        raise


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableError("the body is not UTF-8") from error


def build_intake(
    operation: OperationModel,
    static: Pairs,
    readers: BodyReaders,
    check_type: TypeCheck | None,
) -> Intake:
    """Work out, once, where each member comes from."""
    intake = Intake(static=frozenset(static), check_type=check_type)
    shape = operation.input
    if shape is None:
        return intake
    for name, member in shape.members.items():
        _place(intake, name, member)
    payload = shape.text("payload")
    if payload is not None:
        member = shape.members[payload]
        if member.type in ("blob", "string"):
            intake.raw = (payload, member.type == "string")
        else:
            intake.payload = payload
            intake.structured = readers(member)
    elif any(member.location is None for member in shape.members.values()):
        intake.structured = readers(shape)
    return intake


def _place(intake: Intake, name: str, member: Shape) -> None:
    wire = member.wire_name or name
    if member.location == "uri":
        intake.labels[wire] = (name, text_reader(member, "iso8601"))
    elif member.location == "header":
        intake.headers[wire.lower()] = (name, header_reader(member))
    elif member.location == "headers":
        intake.prefixes.append((wire.lower(), name))
    elif member.location == "querystring":
        if member.type == "map":
            many = member.value.type == "list"
            item = member.value.member if many else member.value
            intake.leftover = (name, text_reader(item, "iso8601"), many)
        else:
            many = member.type == "list"
            item = member.member if many else member
            intake.query[wire] = (name, many, text_reader(item, "iso8601"))
    elif member.location is not None:
        raise UnsupportedProtocolError(f"`{name}` travels in a place unknown here")
