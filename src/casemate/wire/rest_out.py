"""What both REST protocols share on the way out: status, headers, the body."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from casemate.wire.header import header, header_writer
from casemate.wire.model import OperationModel, Shape
from casemate.wire.reply import Reply
from casemate.wire.trouble import UnsupportedProtocolError, WrongOutputError

BodyWriter = Callable[[Mapping[str, object]], bytes]
"""Writes one structure as the whole body."""
BodyWriters = Callable[[Shape, str], BodyWriter]

NO_CONTENT = 204
_LOWEST, _HIGHEST = 200, 599


@dataclass(slots=True, kw_only=True)
class Output:
    """Where each member of an operation's output is written."""

    operation: str
    status: int
    content_type: str
    status_member: str | None = None
    headers: dict[str, tuple[str, Callable[[object], str]]] = field(
        default_factory=dict
    )
    prefixes: dict[str, str] = field(default_factory=dict)
    payload: str | None = None
    raw_type: str | None = None
    body: BodyWriter | None = None

    def write(self, result: Mapping[str, object], id_header: tuple[str, str]) -> Reply:
        """Write an answer.  Raises WrongOutputError."""
        status, headers, rest = self.status, [id_header], {}
        for name, value in result.items():
            if value is None:
                continue
            if name == self.status_member:
                status = _status(value)
            elif name in self.headers:
                wire, writer = self.headers[name]
                headers.append(header(wire, writer(value)))
            elif name in self.prefixes:
                headers += _prefixed(self.prefixes[name], value)
            else:
                rest[name] = value
        body, content_type = self._body(rest)
        if status == NO_CONTENT:
            return Reply(status=status, headers=tuple(headers), body=b"")
        if content_type and not any(n.lower() == "content-type" for n, _ in headers):
            headers.append(("Content-Type", content_type))
        return Reply(status=status, headers=tuple(headers), body=body)

    def _body(self, rest: Mapping[str, object]) -> tuple[bytes, str | None]:
        if self.payload is None:
            if self.body is not None:
                return self.body(rest), self.content_type
            self._nothing_else(rest)
            return b"", None
        value = rest.get(self.payload)
        self._nothing_else({n: v for n, v in rest.items() if n != self.payload})
        if self.body is None:
            return _raw(value), self.raw_type
        if value is None:
            return b"", None
        if not isinstance(value, Mapping):
            raise WrongOutputError(f"`{self.payload}` is written from a mapping")
        return self.body(value), self.content_type

    def _nothing_else(self, rest: Mapping[str, object]) -> None:
        if rest:
            name = next(iter(rest))
            raise WrongOutputError(f"`{self.operation}` has no output `{name}`")


def _status(value: object) -> int:
    if isinstance(value, int) and _LOWEST <= value <= _HIGHEST:
        return value
    raise WrongOutputError("an HTTP status is a number from 200 to 599")


def _prefixed(prefix: str, value: object) -> list[tuple[str, str]]:
    if not isinstance(value, Mapping):
        raise WrongOutputError(f"headers `{prefix}` are written from a mapping")
    return [header(prefix + str(name), str(text)) for name, text in value.items()]


def _raw(value: object) -> bytes:
    if value is None:
        return b""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes):
        return value
    raise WrongOutputError(f"{type(value).__name__} where a body is expected")


def build_output(
    operation: OperationModel, content_type: str, writers: BodyWriters
) -> Output:
    """Work out, once, where each member goes."""
    output = Output(
        operation=operation.name, status=operation.status, content_type=content_type
    )
    shape = operation.output
    if shape is None:
        return output
    for name, member in shape.members.items():
        wire = member.wire_name or name
        if member.location == "statusCode":
            output.status_member = name
        elif member.location == "header":
            output.headers[name] = (wire, header_writer(member))
        elif member.location == "headers":
            output.prefixes[name] = wire
        elif member.location is not None:
            raise UnsupportedProtocolError(f"`{name}` travels in a place unknown here")
    _set_body(output, shape, writers)
    return output


def _set_body(output: Output, shape: Shape, writers: BodyWriters) -> None:
    payload = shape.text("payload")
    if payload is None:
        if any(member.location is None for member in shape.members.values()):
            output.body = writers(shape, output.operation)
        return
    output.payload = payload
    member = shape.members[payload]
    if member.type == "string":
        output.raw_type = "text/plain"
    elif member.type == "blob":
        # Lambda's is a function's JSON; a streaming one may be anything.
        octets = member.streaming
        output.raw_type = "application/octet-stream" if octets else "application/json"
    else:
        output.body = writers(member, payload)
