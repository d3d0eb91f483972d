"""
JSON 1.0 and 1.1: one path, the operation in X-Amz-Target.

Some clients of SQS take a queue's URL for their endpoint, as all did while it
spoke the query protocol; there the path of the URL is taken as well, if it is
that of the queue which the body names.

Source: https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

import orjson

from casemate.core.call import Request
from casemate.core.errors import Malformed
from casemate.wire.form import SIGNATURE, read_pairs
from casemate.wire.header import header
from casemate.wire.json_shape import Convert, JsonReaders, JsonWriters
from casemate.wire.json_text import read_json
from casemate.wire.model import OperationModel, ServiceModel
from casemate.wire.query_codes import QUERY_CODES
from casemate.wire.reply import Reply, Route
from casemate.wire.speaker import Problem, safe_header, told_members, with_message
from casemate.wire.trouble import UnreadableError, WrongOutputError

_QUEUE: Final = re.compile(r"/[0-9]{12}/[A-Za-z0-9_-]{1,80}(?:\.fifo)?\Z", re.ASCII)

CONTENT_TYPES = ("application/x-amz-json-1.0", "application/x-amz-json-1.1")


def unknown_operation(told: str, status: int) -> Malformed:
    """Refuse an operation that AWS's model does not have."""
    return Malformed(
        f"`{told[:128]}` is not an operation of this service",
        code="UnknownOperationException",
        status=status,
    )


class JsonRpc:
    """A service that speaks JSON 1.0 or 1.1."""

    unreadable = "SerializationException"

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._type = f"application/x-amz-json-{model.text('jsonVersion', '1.0')}"
        self._prefix = model.text("targetPrefix") + "."
        self._readers = JsonReaders()
        self._writers = JsonWriters()
        self._reads: dict[str, Convert] = {}
        self._writes: dict[str, Callable[[Mapping[str, object]], bytes]] = {}
        self._query_codes = (
            QUERY_CODES.get(model.name, {}) if model.query_compatible else None
        )

    def foresee(self, method: str, path: str, target: str | None) -> str | None:
        """Name the operation of the target header."""
        if method != "POST" or not self._takes(path) or target is None:
            return None
        if not target.startswith(self._prefix):
            return None
        name = target[len(self._prefix) :]
        return name if name in self._model.operations else None

    def route(self, request: Request) -> Route:
        """Find the operation of the target header."""
        targets = [value for name, value in request.headers if name == "x-amz-target"]
        if len(targets) != 1:
            raise unknown_operation("", 400)
        operation = self.foresee(request.method, request.path, targets[0])
        if operation is None:
            raise unknown_operation(targets[0], 400)
        for name, _ in read_pairs(request.query) if request.query else ():
            if name not in SIGNATURE:
                raise UnreadableError(
                    f"`{name[:64]}` is not a parameter of this service"
                )
        return Route(operation=operation)

    def decode(self, route: Route, request: Request) -> dict[str, object]:
        """Read the body; an empty one has no parameters."""
        _check_type(request.header("content-type"))
        read = self._reads.get(route.operation) or self._read(route.operation)
        value = read(read_json(request.body) if request.body else {})
        if not isinstance(value, dict):
            raise UnreadableError("the body is not an object")
        if request.path != "/" and _path_of(value.get("QueueUrl")) != request.path:
            raise UnreadableError("the path is not that of `QueueUrl`")
        return value

    def encode(
        self, operation: str, result: Mapping[str, object], request_id: str
    ) -> Reply:
        """Write the body; an operation without output has an empty one."""
        write = self._writes.get(operation) or self._write(operation)
        return Reply(
            status=200,
            headers=(
                header("x-amzn-RequestId", request_id),
                ("Content-Type", self._type),
            ),
            body=write(result),
        )

    def encode_error(self, problem: Problem) -> Reply:
        """Write `__type` and the error's members."""
        headers = [*safe_header("x-amzn-RequestId", problem.request_id)]
        if self._query_codes is not None:
            whose = "Receiver" if problem.ours else "Sender"
            code = self._query_codes.get(problem.name, problem.code)
            headers += safe_header("x-amzn-query-error", f"{code};{whose}")
        headers.append(("Content-Type", self._type))
        body = {"__type": problem.name, **self._error_members(problem)}
        return Reply(
            status=problem.status, headers=tuple(headers), body=orjson.dumps(body)
        )

    def _takes(self, path: str) -> bool:
        return path == "/" or (
            self._query_codes is not None and _QUEUE.match(path) is not None
        )

    def _error_members(self, problem: Problem) -> dict[str, object]:
        members = told_members(problem)
        if problem.shape is None:
            return members
        return with_message(problem, self._writers.writer(problem.shape)(members))

    def _read(self, operation: str) -> Convert:
        shape = self._model.operations[operation].input
        read = self._readers.reader(shape) if shape else _read_nothing
        self._reads[operation] = read
        return read

    def _write(self, operation: str) -> Callable[[Mapping[str, object]], bytes]:
        write = body_writer(self._model.operations[operation], self._writers)
        self._writes[operation] = write
        return write


def body_writer(
    operation: OperationModel, writers: JsonWriters
) -> Callable[[Mapping[str, object]], bytes]:
    """Make the writer of an operation's whole output."""
    shape = operation.output
    convert = writers.writer(shape) if shape else None

    def write(result: Mapping[str, object]) -> bytes:
        if convert is not None:
            return orjson.dumps(convert(result))
        if result:
            raise WrongOutputError(f"`{operation.name}` has no output")
        return b""

    return write


def _path_of(url: object) -> str | None:
    try:
        return urlsplit(url).path if isinstance(url, str) else None
    except ValueError:
        return None


def _read_nothing(value: object) -> object:
    if value != {}:
        raise UnreadableError("this operation takes no parameters")
    return {}


def _check_type(content_type: str | None) -> None:
    told = (content_type or "").partition(";")[0].strip().lower()
    if told not in CONTENT_TYPES:
        raise UnreadableError(
            f"the content type must be one of {', '.join(CONTENT_TYPES)}"
        )
