"""Custom runtimes that stream their answers, in real cells."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest

from casemate.core.flow import Flow
from casemate.core.function import Ending, InvocationResult
from casemate.road.sandbox.inflow import StreamLimits
from contract.sandbox.stage import Stage, package

ERROR_TYPE = "Lambda-Runtime-Function-Error-Type"
ERROR_BODY = "Lambda-Runtime-Function-Error-Body"


def read(payload: bytes) -> Any:
    return json.loads(payload)


STREAM = """
import base64, json, os, socket
V = "/2018-06-01/runtime"
def link():
    return socket.create_connection(("127.0.0.1", 9001))
def answer(talk):
    data = b""
    while b"\\r\\n\\r\\n" not in data:
        piece = talk.recv(65536)
        if not piece:
            return 0, b""
        data += piece
    head, _, body = data.partition(b"\\r\\n\\r\\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\\r")[0])
    while len(body) < length:
        body += talk.recv(65536)
    return head, body
def begin(id, trailer):
    talk = link()
    talk.sendall((
        f"POST {V}/invocation/{id}/response HTTP/1.1\\r\\nHost: localhost:9001\\r\\n"
        "Lambda-Runtime-Function-Response-Mode: streaming\\r\\n"
        f"Transfer-Encoding: chunked\\r\\nTrailer: {trailer}\\r\\n\\r\\n"
    ).encode())
    return talk
def chunk(data):
    return b"%x\\r\\n%b\\r\\n" % (len(data), data)
ERROR = "Lambda-Runtime-Function-Error-"
while True:
    talk = link()
    host = "Host: localhost:9001\\r\\n\\r\\n"
    talk.sendall(f"GET {V}/invocation/next HTTP/1.1\\r\\n{host}".encode())
    head, event = answer(talk)
    talk.close()
    id = head.decode().partition("Request-Id: ")[2].split("\\r")[0]
    event = json.loads(event)
    talk = begin(id, event.get("announced", ERROR + "Type, " + ERROR + "Body"))
    try:
        if event["do"] == "much":
            part = chunk(bytes(65536))
            for _ in range(event["parts"]):
                talk.sendall(part)
        elif event["do"] == "for ever":
            while True:
                talk.sendall(chunk(b"x" * 1000))
        elif event["do"] == "hang up":
            talk.sendall(chunk(b"half"))
            talk.close()
            continue
        else:
            talk.sendall(chunk(b"half"))
        told = event.get("trailers", [])
        lines = "".join(f"{name}: {value}\\r\\n" for name, value in told)
        talk.sendall(f"0\\r\\n{lines}\\r\\n".encode())
        print("told", answer(talk)[0][9:12], flush=True)
    except OSError as error:
        print("cannot", type(error).__name__, flush=True)
    talk.close()
"""


def streaming(stage: Stage, interpreter: dict[str, bytes], **changes: Any) -> Any:
    files = {**interpreter, "stream.py": STREAM.encode()}
    facts: dict[str, Any] = {
        "runtime": "provided.al2023",
        "environment": {"START": "-I stream.py"},
        "timeout": 10,
        "memory_mb": 1769,
        **changes,
    }
    archive = package(files, executable=["bootstrap", "py/bin/python3.11"])
    return stage.function(archive, **facts)


def streamed(
    stage: Stage, function: Any, event: object, *, reads: bool = True
) -> tuple[bytes, InvocationResult, Flow]:
    """Invoke into a flow, and read it as fast as it comes, or not at all."""
    flow = Flow()

    async def run() -> tuple[bytes, InvocationResult]:
        payload = json.dumps(event).encode()
        invocation = stage.invocation(function, payload, sink=flow)
        running = asyncio.ensure_future(stage.sandbox.run(invocation))
        running.add_done_callback(lambda _: flow.end())
        body = bytearray()
        while reads and (part := await flow.take(1 << 20)):
            body += part
        return bytes(body), await running

    return *stage.run(run()), flow


def test_a_custom_runtime_streams(stage: Stage, interpreter: dict[str, bytes]) -> None:
    """Chunks, an end, and errors as trailers, as AWS documents them."""
    function = streaming(stage, interpreter)
    body, result, _ = streamed(stage, function, {"do": "much", "parts": 3})
    assert (len(body), result.payload, result.error) == (3 * 65_536, b"", None)
    assert result.ending is Ending.SUCCESS

    document = {"errorType": "E", "errorMessage": "m"}
    encoded = base64.b64encode(json.dumps(document).encode()).decode()
    trailers = [[ERROR_TYPE, "E"], [ERROR_BODY, encoded]]
    event = {"do": "half", "trailers": trailers}
    body, result, _ = streamed(stage, function, event)
    assert (body, read(result.payload)) == (b"half", document)
    assert (result.error, result.ending) == ("Unhandled", Ending.ERROR)

    # Without a sink the same answer is whole.
    result = stage.invoke(function, b'{"do": "half"}')
    assert result.payload == b"half"
    assert "told b'202'" in stage.texts(result)


@pytest.mark.parametrize(
    ("announced", "trailers"),
    [
        ("", [["Lambda-Runtime-Function-Error-Type", "E"]]),
        (
            "Lambda-Runtime-Function-Error-Type",
            [["Lambda-Runtime-Function-Error-Type", "E"]] * 2,
        ),
        (
            "Lambda-Runtime-Aws-Request-Id",
            [["Lambda-Runtime-Aws-Request-Id", "0"]],
        ),
    ],
)
def test_r3_forged_trailers_in_a_cell(
    stage: Stage, interpreter: dict[str, bytes], announced: str, trailers: object
) -> None:
    """R3: refused to the runtime, an error to the caller, and in the log."""
    function = streaming(stage, interpreter)
    event = {"do": "half", "announced": announced or "X", "trailers": trailers}
    body, result, _ = streamed(stage, function, event)
    assert body == b"half"
    assert read(result.payload)["errorType"] == "Runtime.InvalidTrailers"
    body, result, _ = streamed(stage, function, {"do": "half"})
    assert (body, result.error) == (b"half", None)
    assert "told b'400'" in stage.texts(result)


def test_q7_a_streamed_answer_has_an_end(
    stage_with: Callable[..., AbstractContextManager[Stage]],
    interpreter: dict[str, bytes],
) -> None:
    """Q7: to its limit and not a byte beyond; the cell is not used again."""
    limits = StreamLimits(most=1 << 20, burst=1 << 30)
    with stage_with(stream=limits, pool=1) as stage:
        function = streaming(stage, interpreter)
        body, result, _ = streamed(stage, function, {"do": "much", "parts": 16})
        assert (len(body), result.error) == (1 << 20, None)
        body, again, _ = streamed(stage, function, {"do": "much", "parts": 17})
        error = read(again.payload)
        assert (len(body), error["errorType"]) == (
            1 << 20,
            "Function.ResponseSizeTooLarge",
        )
        assert str(1 << 20) in error["errorMessage"]
        assert again.log_stream == result.log_stream
        body, result, flow = streamed(stage, function, {"do": "for ever"})
        assert (flow.count, result.error) == (1 << 20, "Unhandled")
        assert result.log_stream != again.log_stream
        assert result.init_ms is not None


def test_the_real_bound_of_a_streamed_answer(
    stage_with: Callable[..., AbstractContextManager[Stage]],
    interpreter: dict[str, bytes],
) -> None:
    """200 MB come whole; only their pace is lifted here."""
    most = StreamLimits().most
    with stage_with(stream=StreamLimits(burst=most), pool=1) as stage:
        function = streaming(stage, interpreter, timeout=60)
        for parts, error in ((most >> 16, None), ((most >> 16) + 1, "Unhandled")):
            event = {"do": "much", "parts": parts}
            body, result, _ = streamed(stage, function, event)
            assert (len(body), result.error) == (most, error)


def test_q7_a_reader_who_stands_still_costs_only_its_function(
    stage: Stage, interpreter: dict[str, bytes]
) -> None:
    """Q7: held back in the cell until its timeout; the node keeps its bound."""
    function = streaming(stage, interpreter, timeout=1)
    streamed(stage, function, {"do": "half"})  # warm
    _, result, flow = streamed(
        stage, function, {"do": "much", "parts": 400}, reads=False
    )
    assert result.ending is Ending.TIMEOUT
    assert flow.count < 1 << 20


def test_h22_a_runtime_that_hangs_up_has_not_answered(
    stage: Stage, interpreter: dict[str, bytes]
) -> None:
    """Half an answer is an error, and its cell ends with it."""
    function = streaming(stage, interpreter)
    body, result, _ = streamed(stage, function, {"do": "hang up"})
    assert body == b"half"
    assert read(result.payload)["errorType"] == "Runtime.TruncatedResponse"
    body, again, _ = streamed(stage, function, {"do": "half"})
    assert (body, again.error) == (b"half", None)
    assert again.log_stream != result.log_stream
