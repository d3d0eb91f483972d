"""
REST-JSON: methods and paths, JSON bodies.

Source: https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html
"""

from __future__ import annotations

from collections.abc import Mapping

import orjson

from casemate.core.call import Request
from casemate.wire.form import read_pairs
from casemate.wire.header import header, header_writer
from casemate.wire.json_rpc import unknown_operation
from casemate.wire.json_shape import JsonReaders, JsonWriters
from casemate.wire.json_text import read_json
from casemate.wire.model import ServiceModel, Shape
from casemate.wire.reply import Reply, Route
from casemate.wire.rest import BodyReader, Intake, build_intake
from casemate.wire.rest_out import BodyWriter, Output, build_output
from casemate.wire.rest_route import RestRouter
from casemate.wire.speaker import Problem, safe_header, told_members, with_message
from casemate.wire.trouble import UnreadableError, WireError

_TYPES = (
    "application/json",
    "application/x-amz-json-1.1",
    "application/x-amz-json-1.0",
)


class RestJson:
    """A service that speaks REST-JSON."""

    unreadable = "SerializationException"

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._router = RestRouter(model)
        self._readers = JsonReaders()
        self._writers = JsonWriters()
        self._intakes: dict[str, Intake] = {}
        self._outputs: dict[str, Output] = {}

    def foresee(self, method: str, path: str, _target: str | None) -> str | None:
        """Name the operation of a path."""
        return self._router.foresee(method, path)

    def route(self, request: Request) -> Route:
        """Find the operation of a method and path."""
        route = self._router.route(request)
        if route is None:
            raise unknown_operation(f"{request.method} {request.path}", 404)
        return route

    def decode(self, route: Route, request: Request) -> dict[str, object]:
        """Read labels, query, headers and body."""
        intake = self._intakes.get(route.operation) or self._intake(route.operation)
        return intake.read(route, request)

    def encode(
        self, operation: str, result: Mapping[str, object], request_id: str
    ) -> Reply:
        """Write status, headers and body."""
        output = self._outputs.get(operation) or self._output(operation)
        return output.write(result, header("x-amzn-RequestId", request_id))

    def encode_error(self, problem: Problem) -> Reply:
        """Write the error's members, its name in x-amzn-ErrorType."""
        headers = [
            *safe_header("x-amzn-RequestId", problem.request_id),
            *safe_header("x-amzn-ErrorType", problem.name),
        ]
        members = told_members(problem)
        body: object = members
        if problem.shape is not None:
            headers += _header_members(problem.shape, members)
            written = self._writers.writer(problem.shape)(
                {n: v for n, v in members.items() if not _in_header(problem.shape, n)}
            )
            body = with_message(problem, written)
        headers.append(("Content-Type", "application/json"))
        return Reply(
            status=problem.status, headers=tuple(headers), body=orjson.dumps(body)
        )

    def _intake(self, operation: str) -> Intake:
        model = self._model.operations[operation]
        static = read_pairs(model.uri.partition("?")[2])
        intake = build_intake(model, static, self._body_reader, _check_type)
        self._intakes[operation] = intake
        return intake

    def _output(self, operation: str) -> Output:
        model = self._model.operations[operation]
        output = build_output(model, "application/json", self._body_writer)
        self._outputs[operation] = output
        return output

    def _body_reader(self, shape: Shape) -> BodyReader:
        convert = self._readers.reader(shape)

        def read(body: bytes) -> dict[str, object]:
            value = convert(read_json(body))
            if not isinstance(value, dict):
                raise UnreadableError("the body is not an object")
            return value

        return read

    def _body_writer(self, shape: Shape, _name: str) -> BodyWriter:
        convert = self._writers.writer(shape)
        return lambda value: orjson.dumps(convert(value))


def _in_header(shape: Shape, name: str) -> bool:
    return shape.members[name].location is not None


def _header_members(
    shape: Shape, members: Mapping[str, object]
) -> list[tuple[str, str]]:
    headers: list[tuple[str, str]] = []
    for name, value in members.items():
        member = shape.members[name]
        if member.location == "header":
            try:
                text = header_writer(member)(value)
            except WireError:
                continue
            headers += safe_header(member.wire_name or name, text)
    return headers


def _check_type(content_type: str | None) -> None:
    """Refuse a body that says it is not JSON; one that says nothing is JSON."""
    told = (content_type or _TYPES[0]).partition(";")[0].strip().lower()
    if told not in _TYPES:
        raise UnreadableError("the content type must be application/json")
