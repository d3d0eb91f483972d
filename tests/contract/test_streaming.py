"""InvokeWithResponseStream with boto3, on a running platform."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from contract.reading import lines_of
from platform_harness import Platform

# What was written must have left before the function fails: a small share of a
# core sends it within a period of the scheduler, not at once.
NODE = """
const { pipeline } = require("node:stream/promises");
const { Readable } = require("node:stream");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
  console.log("asked to", event.do, context.awsRequestId);
  switch (event.do) {
    case "write":
      stream.setContentType("text/plain");
      for (const piece of ["one ", new Uint8Array([116, 119, 111, 32]), { three: 3 }]) {
        stream.write(piece);
        await pause(event.pause ?? 20);
      }
      stream.end();
      return "not part of it";
    case "pipe and wait":
      await pipeline(Readable.from([Buffer.from(JSON.stringify(event))]), stream);
      return;
    case "pipe and return":
      Readable.from(["a", "b"]).pipe(stream);
      return;
    case "answer http":
      stream = awslambda.HttpResponseStream.from(stream, {
        statusCode: 201,
        headers: { "Content-Type": "text/html" },
      });
      stream.write("<p>");
      stream.end("</p>");
      return;
    case "say nothing":
      return;
    case "fail":
      throw new TypeError("not today");
    case "fail in the middle":
      stream.write("half");
      await pause(400);
      throw new RangeError("no more");
    case "break the pipe":
      await pipeline(
        (async function* () {
          yield "half";
          throw new RangeError("no more");
        })(),
        stream,
      );
      return;
    case "throw out of hand":
      stream.write("half");
      setTimeout(() => { throw new SyntaxError("nobody's"); }, 400);
      await pause(5000);
      return;
    case "exit":
      stream.write("half");
      await pause(400);
      process.exit(7);
    case "never end":
      for (let n = 0; ; n++) {
        stream.write(`${n} `);
        await pause(50);
      }
    case "write much": {
      const part = Buffer.alloc(65536, "x");
      for (let n = 0; n < event.parts; n++) {
        if (!stream.write(part)) {
          await new Promise((done) => stream.once("drain", done));
        }
      }
      console.log("all is written");
      stream.end();
    }
  }
});
"""
BUFFERED = """
def handler(event, context):
    if event == "fail":
        raise KeyError("no")
    return event
"""
PATIENCE = 20.0


@pytest.fixture(scope="module")
def streamer(platform: Platform) -> str:
    """A function that streams, written for AWS."""
    platform.function(
        "streamer",
        {"index.js": NODE},
        Runtime="nodejs20.x",
        Handler="index.handler",
        role=platform.role("streamer"),
        MemorySize=512,
        Timeout=20,
    )
    return "streamer"


@pytest.fixture(scope="module")
def buffered(platform: Platform, role: str) -> str:
    platform.function("buffered", BUFFERED, role=role)
    return "buffered"


def send(lambda_: Any, name: str, event: object, **more: Any) -> Any:
    answer = lambda_.invoke_with_response_stream(
        FunctionName=name, Payload=json.dumps(event).encode(), **more
    )
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert answer["ResponseStreamContentType"] == "application/vnd.amazon.eventstream"
    return answer


def read(events: Iterator[Any]) -> tuple[bytes, dict[str, str]]:
    *chunks, last = events
    body = b"".join(event["PayloadChunk"]["Payload"] for event in chunks)
    return body, last["InvokeComplete"]


def whole(lambda_: Any, name: str, do: str, **more: Any) -> tuple[bytes, Any]:
    return read(send(lambda_, name, {"do": do}, **more)["EventStream"])


def record_of(own: Any, answer: Any) -> dict[str, Any]:
    """The audit record of a call, once the call has ended."""
    request = answer["ResponseMetadata"]["RequestId"]
    end = time.monotonic() + PATIENCE
    while True:
        try:
            told = own.explain_request(RequestId=request)
        except ClientError:
            assert time.monotonic() < end, f"no record of {request}"
            continue
        record: dict[str, Any] = json.loads(told["Record"])
        return record


@pytest.mark.parametrize(
    ("do", "body"),
    [
        ("write", b'one two {"three":3}'),
        ("pipe and wait", b'{"do":"pipe and wait"}'),
        ("pipe and return", b"ab"),
        (
            "answer http",
            b'{"statusCode":201,"headers":{"Content-Type":"text/html"}}'
            + bytes(8)
            + b"<p></p>",
        ),
        ("say nothing", b""),
    ],
)
def test_handlers_written_for_aws_stream(
    lambda_: Any, streamer: str, do: str, body: bytes
) -> None:
    """Every way to write a streaming handler that Lambda documents."""
    assert whole(lambda_, streamer, do) == (body, {})
    assert whole(lambda_, streamer, do) == (body, {})  # and the cell goes on


def test_the_first_chunk_is_there_before_the_last_is_made(
    lambda_: Any, streamer: str
) -> None:
    whole(lambda_, streamer, "say nothing")
    answer = send(lambda_, streamer, {"do": "write", "pause": 400})
    began = time.monotonic()
    events = iter(answer["EventStream"])
    assert next(events)["PayloadChunk"]["Payload"] == b"one "
    first = time.monotonic() - began
    read(events)
    assert first < 0.4
    assert time.monotonic() - began > 0.8


@pytest.mark.parametrize(
    ("do", "body", "kind", "message"),
    [
        ("fail", b"", "TypeError", "not today"),
        ("fail in the middle", b"half", "RangeError", "no more"),
        ("break the pipe", b"half", "RangeError", "no more"),
        ("throw out of hand", b"half", "SyntaxError", "nobody's"),
        ("exit", b"half", "Runtime.ExitError", "Error: Runtime exited"),
    ],
)
def test_an_error_completes_the_answer(
    lambda_: Any, own: Any, streamer: str, do: str, body: bytes, kind: str, message: str
) -> None:
    """`Unhandled` in InvokeComplete, with the document; and it is on record."""
    answer = send(lambda_, streamer, {"do": do})
    streamed, complete = read(answer["EventStream"])
    details = json.loads(complete["ErrorDetails"])
    assert (streamed, complete["ErrorCode"]) == (body, "Unhandled")
    assert details["errorType"] == kind
    assert message in details["errorMessage"]
    notes = record_of(own, answer)["additionalEventData"]["notes"]
    notes.pop("start", None)  # it is there if the cell was new
    assert notes == {
        "functionError": "Unhandled",
        "stream": {"bytes": len(body), "reader": "satisfied"},
    }


def test_the_timeout_counts_to_the_last_byte(
    platform: Platform, lambda_: Any, logs: Any
) -> None:
    """Q7: a stream that never ends is ended, and says so to its reader and its log."""
    platform.function(
        "endless",
        {"index.js": NODE},
        Runtime="nodejs20.x",
        Handler="index.handler",
        role=platform.role("endless"),
        MemorySize=512,
        Timeout=1,
    )
    answer = send(lambda_, "endless", {"do": "never end"})
    body, complete = read(answer["EventStream"])
    assert body.startswith(b"0 1 2 ")
    details = json.loads(complete["ErrorDetails"])
    assert (complete["ErrorCode"], details["errorType"]) == (
        "Unhandled",
        "Sandbox.Timedout",
    )
    assert "Task timed out after 1.00 seconds" in details["errorMessage"]
    assert "Status: timeout" in lines_of(logs, "endless", answer)[-1]


def test_the_log_comes_with_the_end(lambda_: Any, streamer: str) -> None:
    """LogType=Tail: in InvokeComplete, REPORT included; without it, none."""
    _, complete = whole(lambda_, streamer, "write", LogType="Tail")
    tail = base64.b64decode(complete["LogResult"]).decode()
    assert "asked to write" in tail
    assert "REPORT RequestId" in tail


def test_a_python_function_answers_in_chunks(lambda_: Any, buffered: str) -> None:
    """Managed Python does not stream, here or on AWS; its answer still comes."""
    large = "x" * 200_000
    answer = send(lambda_, buffered, large)
    events = list(answer["EventStream"])
    assert len(events) > 2
    assert read(iter(events)) == (json.dumps(large).encode(), {})
    body, complete = read(send(lambda_, buffered, "fail")["EventStream"])
    assert (body, complete["ErrorCode"]) == (b"", "Unhandled")
    assert json.loads(complete["ErrorDetails"])["errorType"] == "KeyError"


def test_a_streaming_function_answers_invoke_whole(
    platform: Platform, streamer: str
) -> None:
    """To 6 MB, as AWS does; an error in the middle is the function's error."""
    client = platform.client("lambda")

    def invoke(event: object) -> tuple[bytes, str | None]:
        answer = client.invoke(
            FunctionName=streamer, Payload=json.dumps(event).encode()
        )
        return answer["Payload"].read(), answer.get("FunctionError")

    assert invoke({"do": "write"}) == (b'one two {"three":3}', None)
    body, error = invoke({"do": "fail in the middle"})
    assert (json.loads(body)["errorType"], error) == ("RangeError", "Unhandled")
    body, error = invoke({"do": "write much", "parts": 96})
    assert (len(body), error) == (96 * 65_536, None)
    body, error = invoke({"do": "write much", "parts": 97})
    assert json.loads(body)["errorType"] == "Function.ResponseSizeTooLarge"
    assert error == "Unhandled"


def test_a_slow_reader_gets_all_of_it(lambda_: Any, own: Any, streamer: str) -> None:
    """Half is read, then nothing for a while, then the rest: nothing is lost."""
    parts = 160
    answer = send(lambda_, streamer, {"do": "write much", "parts": parts})
    events = iter(answer["EventStream"])
    size = 0
    while size < parts * 32_768:
        size += len(next(events)["PayloadChunk"]["Payload"])
    with pytest.raises(ClientError):  # it is still being read, so it is on no record
        own.explain_request(RequestId=answer["ResponseMetadata"]["RequestId"])
    body, complete = read(events)
    assert (size + len(body), complete) == (parts * 65_536, {})
    notes = record_of(own, answer)["additionalEventData"]["notes"]
    assert notes["stream"] == {"bytes": parts * 65_536, "reader": "satisfied"}


def test_past_six_megabytes_the_pace_is_two_a_second(
    lambda_: Any, streamer: str
) -> None:
    """The first 6 MB as they come; 4 MB more take two seconds, for any reader."""
    began = time.monotonic()
    events = send(lambda_, streamer, {"do": "write much", "parts": 160})["EventStream"]
    body, _ = read(events)
    assert len(body) == 10 << 20
    assert 1.7 < time.monotonic() - began < 10


def test_a_reader_who_leaves_does_not_end_the_function(
    lambda_: Any, own: Any, logs: Any, streamer: str
) -> None:
    """
    H22: as on AWS, it runs to its end; the record says that nobody was there.

    The same cell then answers the next caller with that caller's answer.
    """
    answer = send(lambda_, streamer, {"do": "write much", "parts": 120})
    next(iter(answer["EventStream"]))
    answer["EventStream"].close()
    lines = lines_of(logs, streamer, answer)
    assert any("all is written" in line for line in lines)
    record = record_of(own, answer)
    assert record["additionalEventData"]["notes"]["stream"] == {
        "bytes": 120 * 65_536,
        "reader": "left",
    }
    assert whole(lambda_, streamer, "pipe and return") == (b"ab", {})


def test_the_record_stays_open_until_the_answer_is_read(
    lambda_: Any, own: Any, logs: Any, streamer: str
) -> None:
    """One record, of the whole time; there is none before the stream has ended."""
    answer = send(lambda_, streamer, {"do": "write", "pause": 200})
    request = answer["ResponseMetadata"]["RequestId"]
    events = iter(answer["EventStream"])
    next(events)
    with pytest.raises(ClientError) as unknown:
        own.explain_request(RequestId=request)
    assert unknown.value.response["Error"]["Code"] == "ResourceNotFoundException"
    read(events)
    record = record_of(own, answer)
    assert record["eventName"] == "InvokeWithResponseStream"
    assert record["eventCategory"] == "Data"
    assert record["requestID"] == request
    assert record["requestParameters"]["Payload"] == {"bytes": 29}
    assert "errorCode" not in record
    assert record["additionalEventData"]["rooms"]["dispatch"] > 400_000
    lines_of(logs, streamer, answer)
    told = own.explain_request(RequestId=request)["LogLines"]
    assert any("asked to write" in line for line in told)


def test_a_dry_run_and_what_is_not_taken(lambda_: Any, streamer: str) -> None:
    """204 and no events; other ways to invoke, and what is not there, are refused."""
    dry = lambda_.invoke_with_response_stream(
        FunctionName=streamer, InvocationType="DryRun"
    )
    assert dry["StatusCode"] == 204
    assert list(dry["EventStream"]) == []
    for more, code in (
        ({"InvocationType": "Event"}, "ValidationException"),
        ({"TenantId": "t"}, "InvalidParameterValueException"),
        ({"FunctionName": "nobody"}, "ResourceNotFoundException"),
        ({"Payload": b"{"}, "InvalidRequestContentException"),
        ({"Payload": bytes(6_291_457)}, "RequestTooLargeException"),
    ):
        with pytest.raises(ClientError) as refused:
            lambda_.invoke_with_response_stream(**{"FunctionName": streamer, **more})
        assert refused.value.response["Error"]["Code"] == code, more


def test_it_needs_the_right_to_invoke(
    platform: Platform, own: Any, account: str, streamer: str
) -> None:
    """lambda:InvokeFunction and no other; a denial is answered and recorded."""
    arn = f"arn:aws:lambda:us-east-1:{account}:function:{streamer}"
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": account},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    iam, sts = platform.client("iam"), platform.client("sts")
    made = iam.create_role(
        RoleName="reader", AssumeRolePolicyDocument=json.dumps(trust)
    )["Role"]["Arn"]

    def session() -> Any:
        told = sts.assume_role(RoleArn=made, RoleSessionName="reader")["Credentials"]
        return platform.client(
            "lambda",
            credentials={
                "aws_access_key_id": told["AccessKeyId"],
                "aws_secret_access_key": told["SecretAccessKey"],
                "aws_session_token": told["SessionToken"],
            },
        )

    with pytest.raises(ClientError) as refused:
        send(session(), streamer, {"do": "write"})
    assert refused.value.response["Error"]["Code"] == "AccessDeniedException"
    record = record_of(own, refused.value.response)
    assert record["errorCode"] == "AccessDeniedException"
    assert record["eventName"] == "InvokeWithResponseStream"
    statement = {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": arn,
    }
    iam.put_role_policy(
        RoleName="reader",
        PolicyName="p",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )
    assert whole(session(), streamer, "pipe and return") == (b"ab", {})


def test_a_stream_holds_its_place_until_it_has_been_read(
    platform: Platform, lambda_: Any
) -> None:
    """A share of one: the next call is throttled while the answer is being made."""
    platform.function(
        "single",
        {"index.js": NODE},
        Runtime="nodejs20.x",
        Handler="index.handler",
        role=platform.role("single"),
        MemorySize=512,
    )
    lambda_.put_function_concurrency(
        FunctionName="single", ReservedConcurrentExecutions=1
    )
    events = iter(send(lambda_, "single", {"do": "write", "pause": 300})["EventStream"])
    next(events)
    with pytest.raises(ClientError) as refused:
        send(lambda_, "single", {"do": "write"})
    assert refused.value.response["Error"]["Code"] == "TooManyRequestsException"
    read(events)
    patient = platform.client("lambda", retries=4)
    assert whole(patient, "single", "pipe and return") == (b"ab", {})


def test_a_version_streams_as_itself(lambda_: Any, streamer: str) -> None:
    """A qualifier chooses what runs, and the answer says what did."""
    version = lambda_.publish_version(FunctionName=streamer)["Version"]
    answer = lambda_.invoke_with_response_stream(
        FunctionName=streamer, Qualifier=version, Payload=b'{"do": "pipe and return"}'
    )
    assert answer["ExecutedVersion"] == version
    assert read(answer["EventStream"]) == (b"ab", {})
