"""botocore is the oracle: what it writes is read, what is written it reads."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.awsrequest import create_request_object, prepare_request_dict
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.utils import parse_timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casemate import wire
from casemate.core.call import Request
from unit.wire import shapes

SERVICES = ("lambda", "iam", "sts", "logs", "sqs", "s3")
LOADER = Loader()
MODELS = {
    s: ServiceModel(LOADER.load_service_model(s, "service-2"), s) for s in SERVICES
}
# The same method and path as a newer one, and AWS takes it for that.
OLD = {"GetBucketLifecycle", "GetBucketNotification", "PutBucketLifecycle"}
OLD |= {"PutBucketNotification"}
# Lists one kind of bucket at another host, by the same method and path.
OLD |= {"ListDirectoryBuckets"}
# A label in the host, which is no part of a path.
OLD |= {"WriteGetObjectResponse"}
CASES = [(s, o) for s in SERVICES for o in sorted(wire.load(s).operations - OLD)]
# The events of the one that is left out are read in test_event_stream.
ANSWERS = [case for case in CASES if case != ("lambda", "InvokeWithResponseStream")]
few = settings(
    max_examples=5,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


def sent(service: str, operation: str, params: dict[str, Any]) -> Request:
    """Give the request that a client sends for these parameters."""
    model = MODELS[service]
    protocol = wire.load(service).protocol
    serializer = create_serializer(protocol, include_validation=False)
    told = serializer.serialize_to_request(params, model.operation_model(operation))
    prepare_request_dict(told, "https://127.0.0.1:4443", context={})
    prepared = create_request_object(told).prepare()
    url = urlsplit(prepared.url)
    headers = tuple(
        (n.lower(), v if isinstance(v, str) else v.decode("latin-1"))
        for n, v in prepared.headers.items()
    )
    body = prepared.body or b""
    return Request(
        method=prepared.method,
        path=url.path,
        query=url.query,
        headers=headers,
        body=body.encode() if isinstance(body, str) else bytes(body),
        peer="127.0.0.1",
    )


def parsed(service: str, operation: str | None, reply: wire.Reply) -> dict[str, Any]:
    """Read an answer as a client does."""
    model = MODELS[service]
    parser = create_parser(wire.load(service).protocol)
    parser._timestamp_parser = parse_timestamp
    told_by = model.operation_model(operation) if operation else None
    shape = told_by.output_shape if told_by else None
    raw = told_by is not None and told_by.has_streaming_output
    told: dict[str, Any] = parser.parse(
        {
            "status_code": reply.status,
            "headers": Lowered({n.lower(): v for n, v in reply.headers}),
            "body": memoryview(reply.body) if raw else reply.body,
        },
        shape,
    )
    return told


class Lowered(dict[str, str]):
    """Headers as urllib3 gives them: found in any case."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())


@pytest.mark.parametrize(("service", "operation"), CASES)
def test_what_botocore_writes_is_read(service: str, operation: str) -> None:
    """Every operation's parameters arrive as they were given."""
    codec = wire.load(service)
    shape = MODELS[service].operation_model(operation).input_shape

    @few
    @given(shapes.structure(shape) if shape else st.just({}))
    def holds(params: dict[str, Any]) -> None:
        if codec.protocol == "query" and shape is not None:
            params = shapes.pruned(shape, params)
        request = sent(service, operation, params)
        route = codec.route(request)
        read = codec.decode(route, request)

        assert operation == route.operation
        assert without_nothing(shape, params) == without_nothing(shape, read)

    holds()


def without_nothing(shape: Any, params: dict[str, Any]) -> dict[str, Any]:
    """Take out an empty payload, the same as none, and the length a client adds."""
    params = {n: v for n, v in params.items() if n != "ContentLength"}
    payload = shape.serialization.get("payload") if shape else None
    if payload is not None and not params.get(payload):
        return {n: v for n, v in params.items() if n != payload}
    return params


@pytest.mark.parametrize(("service", "operation"), ANSWERS)
def test_what_is_written_botocore_reads(service: str, operation: str) -> None:
    """Every operation's result arrives at the client as the service gave it."""
    codec = wire.load(service)
    shape = MODELS[service].operation_model(operation).output_shape

    @few
    @given(shapes.structure(shape) if shape else st.just({}))
    def holds(result: dict[str, Any]) -> None:
        reply = codec.encode(operation, result, "id-1")
        told = parsed(service, operation, reply)
        metadata = told.pop("ResponseMetadata")

        assert "id-1" == metadata["RequestId"]
        if reply.status != 204:
            assert result == as_given(shape, result, told)

    holds()


def as_given(
    shape: Any, result: dict[str, Any], told: dict[str, Any]
) -> dict[str, Any]:
    """Undo what a parser or a body adds: the status, an empty payload, its type."""
    for name, member in (shape.members if shape else {}).items():
        if name in result or name not in told:
            continue
        where = member.serialization.get("location")
        empty = where == "headers" or name == shape.serialization.get("payload")
        added = where == "statusCode" or name == "ContentType"
        if added or (empty and not told[name]):
            del told[name]
    payload = shape.serialization.get("payload") if shape else None
    if payload and isinstance(told.get(payload), memoryview):
        told[payload] = bytes(told[payload])
    return told


@pytest.mark.parametrize("service", SERVICES)
def test_every_error_of_a_model_is_read_by_botocore(service: str) -> None:
    """Code, message, status and request id of each error arrive at the client."""
    codec = wire.load(service)
    for shape in MODELS[service].error_shapes:
        reply = codec.encode_error(None, shape.name, "it is so", 400, "id-1", {})
        error = parsed(service, None, reply)
        told = shape.metadata.get("error", {})

        assert shape.error_code == error["Error"].get(
            "QueryErrorCode", error["Error"]["Code"]
        )
        if any(m.lower() == "message" for m in shape.members) or service == "iam":
            assert "it is so" == error["Error"]["Message"]
        assert told.get("httpStatusCode", reply.status) == reply.status
        assert "id-1" == error["ResponseMetadata"]["RequestId"]


@pytest.mark.parametrize("service", SERVICES)
def test_an_error_without_a_model_is_read_by_botocore(service: str) -> None:
    """A common error of AWS, such as a bad signature, needs no shape."""
    codec = wire.load(service)
    reply = codec.encode_error("X", "SignatureDoesNotMatch", "no <&> é", 403, "id-1")
    error = parsed(service, None, reply)

    assert 403 == reply.status
    assert "SignatureDoesNotMatch" == error["Error"]["Code"]
    assert "no <&> é" == error["Error"]["Message"]
