"""
AWS's bytes to parameters, and results to AWS's bytes, for one service.

Compiled from the service's model, lazily by operation; nothing here looks at
a model while a call is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path

from casemate.core.call import Request
from casemate.core.errors import Malformed, Unimplemented
from casemate.wire.check import Check, Checks
from casemate.wire.event_stream import EventWriter, event_writer
from casemate.wire.given import Walk, has_path, walker
from casemate.wire.json_rpc import JsonRpc
from casemate.wire.json_shape import JsonWriters
from casemate.wire.model import OperationModel, ServiceModel, load_model
from casemate.wire.query import Query
from casemate.wire.reply import Fault, Reply, Route
from casemate.wire.rest_json import RestJson
from casemate.wire.rest_xml import RestXml
from casemate.wire.speaker import Speaker, build_problem
from casemate.wire.trouble import UnreadableError

_SPEAKERS: Mapping[str, Callable[[ServiceModel], Speaker]] = {
    "json": JsonRpc,
    "query": Query,
    "rest-json": RestJson,
    "rest-xml": RestXml,
}


class Codec:
    """
    One service on the wire.

    service: its name in botocore's data.  operations: those that can be read
    and written here; of those that need an event stream, only such whose answer
    is one, in REST-JSON.
    """

    def __init__(self, model: ServiceModel) -> None:
        self.service = model.name
        self.protocol = model.protocol
        self.error_protocol = model.protocol
        self.endpoint_prefix = model.text("endpointPrefix")
        self.signing_name = model.text("signingName") or self.endpoint_prefix
        self.target_prefix = model.text("targetPrefix")
        self.operations = frozenset(
            name
            for name, o in model.operations.items()
            if not o.streams_events or _speaks_events(model, o)
        )
        self._model = model
        self._speaker = _SPEAKERS[model.protocol](model)
        self._checks = Checks()
        self._checked: dict[str, Check | None] = {}
        self._walks: dict[str, Walk] = {}
        self._events: dict[str, EventWriter] = {}

    def route(self, request: Request) -> Route:
        """
        Find the operation that a request names.

        Raises Malformed with the protocol's code, and Unimplemented for an
        operation that needs an event stream which is not spoken here.
        """
        try:
            route = self._speaker.route(request)
        except UnreadableError as error:
            raise self._malformed(error) from error
        if route.operation not in self.operations:
            raise Unimplemented(
                f"`{self.service}:{route.operation}` needs an event stream of a kind "
                f"that is not spoken here"
            )
        return route

    def foresee(self, method: str, path: str, target: str | None) -> str | None:
        """
        Name the operation before the body is there, from the head alone.

        target: the X-Amz-Target header.  None where only the whole request
        tells (the query protocol, some of S3), or none fits.
        """
        operation = self._speaker.foresee(method, path, target)
        return operation if operation in self.operations else None

    def decode(self, route: Route, request: Request) -> dict[str, object]:
        """
        Read the parameters, by the names of botocore's input shape.

        A payload of bytes is the request's own body.  Raises Malformed, for
        members too that the model does not have.
        """
        try:
            return self._speaker.decode(route, request)
        except UnreadableError as error:
            raise self._malformed(error) from error

    def encode(
        self, operation: str, result: Mapping[str, object], request_id: str
    ) -> Reply:
        """
        Write a result.  None is the same as absent.

        Raises WrongOutputError for what the output shape does not have.
        """
        return self._speaker.encode(operation, result, request_id)

    def encode_event(
        self, operation: str, name: str, members: Mapping[str, object]
    ) -> bytes:
        """
        Write one event of an answer that is a stream of them.

        Raises WrongOutputError for what the operation's events do not have.
        """
        written = self._events.get(operation) or self._event_writers(operation)
        return written(name, members)

    def encode_error(
        self,
        operation: str | None,  # noqa: ARG002 — part of the agreed words
        code: str,
        message: str,
        status: int,
        request_id: str,
        members: Mapping[str, object] | None = None,
    ) -> Reply:
        """
        Write a refusal.

        code: the error's shape or its code on the wire.  A status that the
        model gives wins over the one handed in.  Members that the error's
        shape does not have are not sent.
        """
        problem = build_problem(
            self._model,
            code=code,
            message=message,
            status=status,
            request_id=request_id,
            members=members or {},
        )
        return self._speaker.encode_error(problem)

    def check(self, operation: str, params: Mapping[str, object]) -> tuple[Fault, ...]:
        """Hold parameters to the model's constraints; no fault means that they hold."""
        if operation not in self._checked:
            shape = self._model.operations[operation].input
            self._checked[operation] = self._checks.check(shape) if shape else None
        check = self._checked[operation]
        if check is None:
            return ()
        faults: list[Fault] = []
        check(params, "", faults)
        return tuple(faults)

    def paths(
        self, operation: str, params: Mapping[str, object]
    ) -> Iterator[tuple[str, object]]:
        """
        Give what the caller gave: dotted path and value of each leaf.

        Lists have no number in a path, and a map is a leaf unless its values
        are structures.
        """
        walk = self._walks.get(operation)
        if walk is None:
            shape = self._model.operations[operation].input
            walk = walker(shape) if shape else _walk_nothing
            self._walks[operation] = walk
        return walk(params, "")

    def has_input(self, operation: str, path: str) -> bool:
        """Tell whether an operation has an input member of that dotted path."""
        return has_path(self._model.operations[operation].input, path)

    def _event_writers(self, operation: str) -> EventWriter:
        made = event_writer(self._model.operations[operation], JsonWriters())
        self._events[operation] = made
        return made

    def _malformed(self, error: UnreadableError) -> Malformed:
        return Malformed(error.sentence(), code=self._speaker.unreadable)


def _speaks_events(model: ServiceModel, operation: OperationModel) -> bool:
    return model.protocol == "rest-json" and operation.answers_with_events


def _walk_nothing(_value: object, _prefix: str) -> Iterator[tuple[str, object]]:
    return iter(())


@cache
def load(service: str, extra: Path | None = None) -> Codec:
    """
    Give the codec of a service; loaded once, in tens of milliseconds.

    extra: a folder of further models, laid out as botocore's
    (`casemate/2026-01-01/service-2.json`).  Raises UnknownServiceError, and
    UnsupportedProtocolError where the service speaks only protocols that are
    not spoken here.
    """
    return Codec(load_model(service, extra))
