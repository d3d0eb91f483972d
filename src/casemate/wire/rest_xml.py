"""
REST-XML: methods and paths, XML bodies; S3 and its kin.

Source: https://smithy.io/2.0/aws/protocols/aws-restxml-protocol.html
"""

from __future__ import annotations

from collections.abc import Mapping

from casemate.core.call import Request
from casemate.core.errors import Malformed
from casemate.wire.form import read_pairs
from casemate.wire.header import header
from casemate.wire.model import ServiceModel, Shape
from casemate.wire.reply import Reply, Route
from casemate.wire.rest import BodyReader, Intake, build_intake
from casemate.wire.rest_out import BodyWriter, Output, build_output
from casemate.wire.rest_route import RestRouter
from casemate.wire.speaker import Problem, safe_header, told_members
from casemate.wire.trouble import UnreadableError
from casemate.wire.xml_shape import XmlReaders, XmlWriters, escape
from casemate.wire.xml_text import read_xml

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'


class RestXml:
    """A service that speaks REST-XML."""

    unreadable = "MalformedXML"

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._router = RestRouter(model)
        self._readers = XmlReaders()
        self._writers = XmlWriters()
        self._intakes: dict[str, Intake] = {}
        self._outputs: dict[str, Output] = {}
        # S3's errors have no envelope, and its request ids another header.
        self._bare = model.name.startswith("s3")
        self._id = "x-amz-request-id" if self._bare else "x-amzn-RequestId"

    def foresee(self, method: str, path: str, _target: str | None) -> str | None:
        """Name the operation of a path."""
        return self._router.foresee(method, path)

    def route(self, request: Request) -> Route:
        """Find the operation of a method and path."""
        route = self._router.route(request)
        if route is None:
            raise Malformed(
                f"`{request.method}` is not allowed against this resource",
                code="MethodNotAllowed",
                status=405,
            )
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
        return output.write(result, header(self._id, request_id))

    def encode_error(self, problem: Problem) -> Reply:
        """Write the error as S3 does, or in the envelope of the others."""
        parts: list[str] = []
        if not self._bare:
            parts.append(f"<Type>{'Receiver' if problem.ours else 'Sender'}</Type>")
        parts.append(f"<Code>{escape(problem.code)}</Code>")
        parts.append(f"<Message>{escape(problem.message)}</Message>")
        self._more(problem, parts)
        told = f"<RequestId>{escape(problem.request_id)}</RequestId>"
        inside = "".join(parts)
        document = (
            f"<Error>{inside}{told}</Error>"
            if self._bare
            else f"<ErrorResponse><Error>{inside}</Error>{told}</ErrorResponse>"
        )
        headers = (
            *safe_header(self._id, problem.request_id),
            ("Content-Type", "application/xml"),
        )
        body = (DECLARATION + document).encode()
        return Reply(status=problem.status, headers=headers, body=body)

    def _more(self, problem: Problem, parts: list[str]) -> None:
        if problem.shape is not None:
            more = {
                name: value
                for name, value in told_members(problem).items()
                if name.lower() not in ("message", "code", "type")
                and problem.shape.members[name].location is None
            }
            self._writers.members(problem.shape)(more, parts)

    def _intake(self, operation: str) -> Intake:
        model = self._model.operations[operation]
        static = read_pairs(model.uri.partition("?")[2])
        intake = build_intake(model, static, self._body_reader, None)
        self._intakes[operation] = intake
        return intake

    def _output(self, operation: str) -> Output:
        model = self._model.operations[operation]
        output = build_output(model, "application/xml", self._body_writer)
        self._outputs[operation] = output
        return output

    def _body_reader(self, shape: Shape) -> BodyReader:
        convert = self._readers.reader(shape)
        root = shape.wire_name

        def read(body: bytes) -> dict[str, object]:
            element = read_xml(body)
            if root is not None and element.name != root:
                raise UnreadableError(f"the body is not a `{root}`")
            value = convert([element])
            if not isinstance(value, dict):
                raise UnreadableError("the body is not a structure")
            return value

        return read

    def _body_writer(self, shape: Shape, name: str) -> BodyWriter:
        writer = self._writers.writer(shape)
        namespace = self._model.namespace
        root = shape.wire_name or shape.name or name

        def write(value: Mapping[str, object]) -> bytes:
            parts: list[str] = []
            writer(value, root, parts)
            if namespace and parts[0] == f"<{root}":
                parts[0] += f' xmlns="{escape(namespace)}"'
            return (DECLARATION + "".join(parts)).encode()

        return write
