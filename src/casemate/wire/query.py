"""
The query protocol: a form in, XML out; the operation is the form's `Action`.

Source: https://smithy.io/2.0/aws/protocols/aws-query-protocol.html
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from casemate.core.call import Request
from casemate.core.errors import Malformed
from casemate.wire.form import SIGNATURE, Pairs, read_body, read_pairs, tree
from casemate.wire.form_shape import FormReaders
from casemate.wire.form_shape import Read as ReadForm
from casemate.wire.header import header
from casemate.wire.model import ServiceModel, Shape
from casemate.wire.reply import Reply, Route
from casemate.wire.speaker import Problem, safe_header, told_members
from casemate.wire.trouble import UnreadableError, WrongOutputError
from casemate.wire.xml_shape import XmlWriters, escape

Write = Callable[[Mapping[str, object], list[str]], None]
_FORM = "application/x-www-form-urlencoded"
_OWN = frozenset({"Action", "Version"})


class Query:
    """A service that speaks the query protocol."""

    unreadable = "MalformedQueryString"

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._version = model.text("apiVersion")
        self._readers = FormReaders()
        self._writers = XmlWriters()
        self._reads: dict[str, ReadForm | None] = {}
        self._writes: dict[str, Write] = {}
        namespace = model.namespace
        self._opening = f' xmlns="{escape(namespace)}"' if namespace else ""

    def foresee(self, _method: str, _path: str, _target: str | None) -> None:
        """Name nothing: the operation stands in the body."""
        return

    def route(self, request: Request) -> Route:
        """Find the operation of `Action`, in the form of a POST or a GET's query."""
        fields = _fields(request)
        action = _one(fields, "Action")
        if action is None:
            raise Malformed(
                "the request has no `Action`", code="MissingAction", status=400
            )
        if (
            action not in self._model.operations
            or _one(fields, "Version") != self._version
        ):
            raise Malformed(
                f"could not find operation `{action[:128]}` for version "
                f"`{(_one(fields, 'Version') or '')[:32]}`; this is {self._version}",
                code="InvalidAction",
                status=400,
            )
        return Route(operation=action, fields=fields)

    def decode(self, route: Route, _request: Request) -> dict[str, object]:
        """Read the form's parameters."""
        if route.operation not in self._reads:
            shape = self._model.operations[route.operation].input
            self._reads[route.operation] = (
                self._readers.reader(shape) if shape else None
            )
        read = self._reads[route.operation]
        own = tuple(pair for pair in route.fields if pair[0] not in _OWN)
        if read is None:
            if own:
                raise UnreadableError("this operation takes no parameters")
            return {}
        value = read(tree(own))
        if not isinstance(value, dict):
            raise UnreadableError("the form is not a structure")
        return value

    def encode(
        self, operation: str, result: Mapping[str, object], request_id: str
    ) -> Reply:
        """Write `<OpResponse><OpResult>…`, and the request's id."""
        write = self._writes.get(operation) or self._write(operation)
        parts = [f"<{operation}Response{self._opening}>"]
        write(result, parts)
        parts.append(
            f"<ResponseMetadata><RequestId>{escape(request_id)}</RequestId>"
            f"</ResponseMetadata></{operation}Response>"
        )
        headers = (
            header("x-amzn-RequestId", request_id),
            ("Content-Type", "text/xml"),
        )
        return Reply(status=200, headers=headers, body="".join(parts).encode())

    def encode_error(self, problem: Problem) -> Reply:
        """Write `<ErrorResponse><Error>…`."""
        whose = "Receiver" if problem.ours else "Sender"
        parts = [
            f"<ErrorResponse{self._opening}><Error><Type>{whose}</Type>",
            f"<Code>{escape(problem.code)}</Code>",
            f"<Message>{escape(problem.message)}</Message>",
        ]
        if problem.shape is not None:
            more = {
                name: value
                for name, value in told_members(problem).items()
                if name.lower() not in ("message", "type", "code")
            }
            self._writers.members(problem.shape)(more, parts)
        parts.append(
            f"</Error><RequestId>{escape(problem.request_id)}</RequestId></ErrorResponse>"
        )
        headers = (
            *safe_header("x-amzn-RequestId", problem.request_id),
            ("Content-Type", "text/xml"),
        )
        return Reply(
            status=problem.status, headers=headers, body="".join(parts).encode()
        )

    def _write(self, operation: str) -> Write:
        shape = self._model.operations[operation].output
        write = _nothing(operation) if shape is None else self._wrapped(shape)
        self._writes[operation] = write
        return write

    def _wrapped(self, shape: Shape) -> Write:
        wrapper = shape.text("resultWrapper")
        inside = self._writers.members(shape)

        def write(result: Mapping[str, object], parts: list[str]) -> None:
            parts.append(f"<{wrapper}>" if wrapper else "")
            inside(result, parts)
            parts.append(f"</{wrapper}>" if wrapper else "")

        return write


def _nothing(operation: str) -> Write:
    def write(result: Mapping[str, object], _parts: list[str]) -> None:
        if result:
            raise WrongOutputError(f"`{operation}` has no output")

    return write


def _fields(request: Request) -> Pairs:
    """Read the one place where parameters may stand."""
    if request.path != "/":
        raise UnreadableError("the path of this service is `/`")
    query = tuple(p for p in read_pairs(request.query) if p[0] not in SIGNATURE)
    if request.method == "GET":
        if request.body:
            raise UnreadableError("a GET has its parameters in the query string alone")
        return query
    if request.method != "POST":
        raise UnreadableError("the methods of this service are GET and POST")
    if query:
        raise UnreadableError("a POST has its parameters in the body alone")
    told = (request.header("content-type") or "").partition(";")[0].strip().lower()
    if told != _FORM:
        raise UnreadableError(f"the content type must be {_FORM}")
    return read_body(request.body)


def _one(fields: Pairs, name: str) -> str | None:
    values = [value for key, value in fields if key == name]
    if len(values) > 1:
        raise UnreadableError(f"`{name}` is there twice")
    return values[0] if values else None
