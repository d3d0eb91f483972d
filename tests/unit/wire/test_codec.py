"""The codec's own words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from casemate import wire
from casemate.core.errors import Malformed
from unit.wire.written import form, request


def test_a_folder_of_our_own_holds_a_service(tmp_path: Path) -> None:
    """A model beside botocore's loads the same way."""
    folder = tmp_path / "casemate" / "2026-01-01"
    folder.mkdir(parents=True)
    model = {
        "version": "2.0",
        "metadata": {
            "apiVersion": "2026-01-01",
            "endpointPrefix": "casemate",
            "jsonVersion": "1.1",
            "protocol": "json",
            "serviceId": "Casemate",
            "signatureVersion": "v4",
            "signingName": "casemate",
            "targetPrefix": "Casemate_20260101",
        },
        "operations": {
            "Why": {
                "name": "Why",
                "http": {"method": "POST", "requestUri": "/"},
                "input": {"shape": "WhyRequest"},
            }
        },
        "shapes": {
            "WhyRequest": {"type": "structure", "members": {"Id": {"shape": "Id"}}},
            "Id": {"type": "string"},
        },
    }
    (folder / "service-2.json").write_text(json.dumps(model))
    codec = wire.load("casemate", tmp_path)
    sent = request(
        body=b'{"Id":"x"}',
        x_amz_target="Casemate_20260101.Why",
        content_type="application/x-amz-json-1.1",
    )

    assert {"Id": "x"} == codec.decode(codec.route(sent), sent)
    assert b"" == codec.encode("Why", {}, "id").body


def test_an_operation_is_foreseen_from_the_head() -> None:
    """A body's limit can be known before the body is read."""
    path = "/2015-03-31/functions/f/invocations"

    assert "Invoke" == wire.load("lambda").foresee("POST", path, None)
    assert None is wire.load("lambda").foresee("POST", "/../x", None)
    assert "PutLogEvents" == wire.load("logs").foresee(
        "POST", "/", "Logs_20140328.PutLogEvents"
    )
    assert None is wire.load("logs").foresee("POST", "/", "Logs_20140328.Nobody")
    assert None is wire.load("iam").foresee("POST", "/", None)


def test_a_functions_answer_is_its_own_bytes() -> None:
    """Invoke: status, error and log in the head, the payload untouched."""
    reply = wire.load("lambda").encode(
        "Invoke",
        {
            "StatusCode": 202,
            "FunctionError": "Unhandled",
            "LogResult": "bG9n",
            "ExecutedVersion": "$LATEST",
            "Payload": b'{"x": 1}',
        },
        "id-1",
    )

    assert (202, b'{"x": 1}') == (reply.status, reply.body)
    assert {
        "x-amzn-RequestId": "id-1",
        "X-Amz-Function-Error": "Unhandled",
        "X-Amz-Log-Result": "bG9n",
        "X-Amz-Executed-Version": "$LATEST",
        "Content-Type": "application/json",
    } == dict(reply.headers)


def test_an_error_has_the_members_of_its_shape() -> None:
    """Reason in the body, Retry-After in the head, nothing that is not modelled."""
    reply = wire.load("lambda").encode_error(
        "Invoke",
        "TooManyRequestsException",
        "Rate exceeded",
        500,
        "id-1",
        {"Reason": "CallerRateLimitExceeded", "retryAfterSeconds": "3", "Nobody": 1},
    )
    headers = dict(reply.headers)

    assert 429 == reply.status
    assert ("3", "TooManyRequestsException") == (
        headers["Retry-After"],
        headers["x-amzn-ErrorType"],
    )
    assert {
        "message": "Rate exceeded",
        "Type": "User",
        "Reason": "CallerRateLimitExceeded",
    } == json.loads(reply.body)


def test_sqs_keeps_the_codes_of_its_query_days() -> None:
    """The old code travels in its header, where clients look for it."""
    reply = wire.load("sqs").encode_error(
        "GetQueueUrl", "QueueDoesNotExist", "no", 400, "id"
    )

    assert (
        "AWS.SimpleQueueService.NonExistentQueue;Sender"
        == dict(reply.headers)["x-amzn-query-error"]
    )


@pytest.mark.parametrize(
    ("code", "query"),
    [
        ("AccessDeniedException", "AccessDenied"),
        ("UnrecognizedClientException", "InvalidClientTokenId"),
        ("InvalidParameterValue", "InvalidParameterValue"),
        ("OverLimit", "OverLimit"),
    ],
)
def test_sqs_keeps_the_codes_that_every_service_had(code: str, query: str) -> None:
    """What the rooms refuse is called what clients of SQS know."""
    reply = wire.load("sqs").encode_error("SendMessage", code, "no", 403, "id")

    assert f"{query};Sender" == dict(reply.headers)["x-amzn-query-error"]


def test_a_queues_address_is_taken_for_the_queue_it_names() -> None:
    """As a path of SQS alone, and of no other queue than that of the body."""
    codec, target = wire.load("sqs"), "AmazonSQS.ReceiveMessage"
    path = "/111122223333/q"

    def decoded(url: object) -> dict[str, object]:
        sent = request(
            path=path,
            body=json.dumps({"QueueUrl": url}).encode(),
            x_amz_target=target,
            content_type="application/x-amz-json-1.0",
        )
        return codec.decode(codec.route(sent), sent)

    assert "ReceiveMessage" == codec.foresee("POST", path, target)
    assert {"QueueUrl": f"https://h{path}"} == decoded(f"https://h{path}")
    for stray in (f"https://h{path}2", f"https://h/x{path}", "https://[", path[1:]):
        with pytest.raises(Malformed):
            decoded(stray)
    for odd in (f"{path}/x", "/q", "/1/q", "//", f"{path}?"):
        assert None is codec.foresee("POST", odd, target)
    assert None is wire.load("logs").foresee("POST", path, "Logs_20140328.PutLogEvents")


@pytest.mark.parametrize("code", ["NoSuchEntity", "NoSuchEntityException"])
def test_iams_codes_are_those_of_the_wire(code: str) -> None:
    """The shape's name and the wire's code are the same error."""
    reply = wire.load("iam").encode_error("GetRole", code, "no", 400, "id")

    assert 404 == reply.status
    assert b"<Code>NoSuchEntity</Code>" in reply.body


def test_a_carriage_return_survives_xml() -> None:
    """Line ends in a text are data, and markup in it is text."""
    reply = wire.load("iam").encode(
        "GetRolePolicy",
        {"RoleName": "r", "PolicyName": "<&>\r\n", "PolicyDocument": "\x00"},
        "id",
    )

    assert b"&lt;&amp;&gt;&#13;\n" in reply.body
    assert "\ufffd".encode() in reply.body


def test_every_template_is_made_of_whole_segments() -> None:
    """A label that shares its segment would never match; none does."""
    for service in (
        "lambda",
        "s3",
        "apigateway",
        "apigatewayv2",
        "scheduler",
        "signer",
    ):
        codec = wire.load(service)
        for operation in codec._model.operations.values():
            for segment in operation.uri.partition("?")[0].split("/"):
                whole = segment.startswith("{") and segment.endswith("}")
                assert whole or "{" not in segment


def test_a_list_is_read_in_the_order_of_its_numbers() -> None:
    """Ten comes after nine, whatever the order of the form."""
    keys = "&".join(f"TagKeys.member.{i}=k{i}" for i in reversed(range(1, 12)))
    sent = form(f"Action=UntagRole&Version=2010-05-08&RoleName=r&{keys}")
    codec = wire.load("iam")
    read = codec.decode(codec.route(sent), sent)

    assert [f"k{i}" for i in range(1, 12)] == read["TagKeys"]


def test_an_error_has_its_message_though_its_shape_has_no_member_for_it() -> None:
    """CloudWatch Logs' errors have none in the model; AWS sends it, clients read it."""
    reply = wire.load("logs").encode_error(
        "GetLogEvents", "ResourceNotFoundException", "there is none", 400, "id"
    )

    assert {
        "__type": "ResourceNotFoundException",
        "message": "there is none",
    } == json.loads(reply.body)
