"""The Runtime API over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from casemate.road.sandbox.frames import RESPONSE_LIMIT, Said, Word
from casemate.road.sandbox.http_exchange import HEAD_LIMIT, TRAILERS_LIMIT
from casemate.road.sandbox.link import Event
from casemate.road.sandbox.runtime_api import RuntimeApi

V = "/2018-06-01/runtime"
NEXT = f"{V}/invocation/next"
HOST = "HTTP/1.1\r\nHost: localhost:9001\r\n"
EVENT = Event(
    id="8f5c9f9e-0b5b-4a3e-9d3c-0123456789ab",
    deadline_ms=1_700_000_000_000,
    arn="arn:aws:lambda:us-east-1:111122223333:function:f",
    trace="Root=1-0-0",
    client_context='{"a":\r\n"b"}',
    payload=b'{"x":1}',
)


class Client:
    """One connection that writes what it is told."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def raw(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(data)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            body = await reader.readexactly(int(headers["Content-Length"]))
            return int(lines[0].split()[1]), headers, body
        finally:
            writer.close()

    async def ask(
        self, method: str, path: str, body: bytes = b"", more: str = ""
    ) -> tuple[int, dict[str, str], bytes]:
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:9001\r\n{more}"
        if method == "POST":
            head += f"Content-Length: {len(body)}\r\n"
        return await self.raw(head.encode() + b"\r\n" + body)


def with_api(
    test: Callable[[RuntimeApi, Client, list[Said]], Awaitable[None]],
) -> None:
    async def run() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        heard: list[Said] = []
        api = RuntimeApi(listener.detach(), heard=heard.append, lost=lambda _: None)
        await api.serve()
        try:
            await asyncio.wait_for(test(api, Client(port), heard), 10)
        finally:
            api.close()

    uvloop.run(run())


def test_one_event_from_next_to_response() -> None:
    """The headers that AWS documents, one answer, and no second one (R3)."""

    async def test(api: RuntimeApi, client: Client, heard: list[Said]) -> None:
        asking = asyncio.ensure_future(client.ask("GET", f"{V}/invocation/next"))
        api.give(EVENT)
        status, headers, body = await asking
        assert (status, body) == (200, EVENT.payload)
        assert headers["Lambda-Runtime-Aws-Request-Id"] == EVENT.id
        assert headers["Lambda-Runtime-Deadline-Ms"] == "1700000000000"
        assert headers["Lambda-Runtime-Invoked-Function-Arn"] == EVENT.arn
        assert json.loads(headers["Lambda-Runtime-Client-Context"]) == {"a": "b"}
        path = f"{V}/invocation/{EVENT.id}/response"
        assert (await client.ask("POST", path, b"1"))[0] == 202
        assert (await client.ask("POST", path, b"2"))[0] == 403
        error = path.replace("response", "error")
        assert (await client.ask("POST", error, b"3"))[0] == 403
        assert heard[1:] == [Said(word=Word.RESPONSE, id=EVENT.id, body=b"1")]

    with_api(test)


@pytest.mark.parametrize("tenant", ["", "a b/c"])
def test_the_tenant_is_a_header_if_there_is_one(tenant: str) -> None:
    """AWS's own name for it, which its clients read."""

    async def test(api: RuntimeApi, client: Client, _heard: list[Said]) -> None:
        api.give(replace(EVENT, tenant=tenant))
        _, headers, _ = await client.ask("GET", f"{V}/invocation/next")
        assert headers.get("Lambda-Runtime-Aws-Tenant-Id", "") == tenant

    with_api(test)


def test_event_given_before_next() -> None:
    """An event waits for the runtime; a poll during an event is refused."""

    async def test(api: RuntimeApi, client: Client, heard: list[Said]) -> None:
        api.give(EVENT)
        assert (await client.ask("GET", f"{V}/invocation/next"))[0] == 200
        assert (await client.ask("GET", f"{V}/invocation/next"))[0] == 403
        assert len(heard) == 1

    with_api(test)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (f"GET {NEXT} HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (f"GET {NEXT} HTTP/1.1\r\n\r\n", 403),
        (f"GET {NEXT} {HOST}Host: localhost:9001\r\n\r\n", 400),
        (f"GET {NEXT} {HOST}Origin: http://localhost:9001\r\n\r\n", 403),
        (f"GET {NEXT} {HOST}X-Forwarded-For: 1.2.3.4\r\n\r\n", 403),
        (f"GET http://localhost:9001{NEXT} {HOST}\r\n", 400),
        (f"POST {NEXT} {HOST}Content-Length: 0\r\n\r\n", 405),
        (f"GET / {HOST}\r\n", 404),
        (f"GET /2020-01-01/extension/event/next {HOST}\r\n", 501),
        (f"PUT /2022-07-01/telemetry {HOST}Content-Length: 0\r\n\r\n", 501),
        ("nonsense\r\n\r\n", 400),
        (
            (
                f"POST {V}/init/error {HOST}Content-Length: 1\r\n"
                "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            400,
        ),
        (f"GET {NEXT} {HOST}A: b\r\n c\r\n\r\n", 400),
        (f"GET {NEXT} {HOST}A : b\r\n\r\n", 400),
        (f"GET {NEXT} {HOST}Upgrade: h2c\r\n\r\n", 400),
        (f"GET {NEXT} HTTP/1.0\r\nHost: localhost\r\n\r\n", 400),
        (f"get {NEXT} {HOST}\r\n", 400),
        (f"POST {NEXT} {HOST}Transfer-Encoding: xchunked\r\n\r\n", 400),
        (f"POST {NEXT} {HOST}Content-Length: +1\r\n\r\n1", 400),
        (f"POST {NEXT} {HOST}Content_Length: 1\r\n\r\n1", 400),
        (f"POST {V}/init/error {HOST}Transfer-Encoding: chunked\r\n\r\nx\r\n", 400),
        (f"GET /{'x' * 600} {HOST}\r\n", 400),
        (
            f"GET {NEXT} {HOST}" + "".join(f"A{n}: b\r\n" for n in range(64)) + "\r\n",
            431,
        ),
        (f"GET {NEXT} {HOST}A: {'b' * (HEAD_LIMIT + 1)}", 431),
    ],
)
def test_what_is_refused(request_: str, status: int) -> None:
    """DESIGN, section 5: foreign hosts, browsers, proxies, absolute forms."""

    async def test(_api: RuntimeApi, client: Client, heard: list[Said]) -> None:
        assert (await client.raw(request_.encode()))[0] == status
        assert heard == []

    with_api(test)


def test_answers_that_are_not_taken() -> None:
    """Another id (R2), and more than 6 MB."""

    async def test(api: RuntimeApi, client: Client, heard: list[Said]) -> None:
        api.give(EVENT)
        await client.ask("GET", f"{V}/invocation/next")
        foreign = f"{V}/invocation/00000000-0000-0000-0000-000000000000/response"
        status, _, body = await client.ask("POST", foreign, b"1")
        assert (status, json.loads(body)["errorType"]) == (403, "InvalidRequestID")
        mine = f"{V}/invocation/{EVENT.id}/response"
        status, _, body = await client.ask("POST", mine, bytes(RESPONSE_LIMIT + 1))
        assert status == 413
        assert heard[-1].word is Word.ERROR
        assert b"Function.ResponseSizeTooLarge" in heard[-1].body

    with_api(test)


def test_chunked_answers_and_forged_trailers() -> None:
    """Go's client sends chunks; not streamed, its trailers mean nothing (R3)."""

    async def test(api: RuntimeApi, client: Client, heard: list[Said]) -> None:
        api.give(EVENT)
        await client.ask("GET", f"{V}/invocation/next")
        data = (
            f"POST {V}/invocation/{EVENT.id}/response HTTP/1.1\r\n"
            "Host: 127.0.0.1:9001\r\nTransfer-Encoding: chunked\r\n\r\n"
            "2\r\n12\r\n0\r\nOrigin: x\r\nLambda-Runtime-Function-Error-Type: y\r\n\r\n"
        )
        assert (await client.raw(data.encode()))[0] == 202
        assert heard[-1] == Said(word=Word.RESPONSE, id=EVENT.id, body=b"12")

    with_api(test)


def test_init_error_is_heard_once() -> None:
    """R4: an init that failed stays failed."""

    async def test(_api: RuntimeApi, client: Client, heard: list[Said]) -> None:
        for expected in (202, 403):
            status, _, _ = await client.ask("POST", f"{V}/init/error", b"{}")
            assert status == expected
        assert [said.word for said in heard] == [Word.INIT_ERROR]

    with_api(test)


def test_an_answer_in_chunks_has_the_same_limit() -> None:
    """What is past it is read and dropped, so that the refusal is read."""

    async def test(api: RuntimeApi, client: Client, heard: list[Said]) -> None:
        api.give(EVENT)
        await client.ask("GET", NEXT)
        piece = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
        head = f"POST {V}/invocation/{EVENT.id}/response {HOST}"
        head += "Transfer-Encoding: chunked\r\n\r\n"
        status, _, _ = await client.raw(head.encode() + 7 * piece + b"0\r\n\r\n")
        assert status == 413
        assert b"Function.ResponseSizeTooLarge" in heard[-1].body

    with_api(test)


@pytest.mark.parametrize(
    "trailer", ["x" * 300, "A: b\r\n c", f"A: {'b' * TRAILERS_LIMIT}", "A: b\nC: d"]
)
def test_trailers_are_read_as_strictly_as_headers(trailer: str) -> None:
    """They mean nothing, and are bounded all the same."""

    async def test(api: RuntimeApi, client: Client, heard: list[Said]) -> None:
        api.give(EVENT)
        await client.ask("GET", NEXT)
        head = f"POST {V}/invocation/{EVENT.id}/response {HOST}"
        head += "Transfer-Encoding: chunked\r\nTrailer: A\r\n\r\n1\r\n1\r\n0\r\n"
        status, _, _ = await client.raw(f"{head}{trailer}\r\n\r\n".encode())
        assert status == 400
        assert [said.word for said in heard] == [Word.INITIALIZED]

    with_api(test)


def test_what_official_clients_send_is_taken() -> None:
    """A cause of an error in UTF-8, a trailer announced, an expectation (Go, C++)."""

    async def test(api: RuntimeApi, client: Client, heard: list[Said]) -> None:
        api.give(EVENT)
        await client.ask("GET", NEXT)
        cause = json.dumps({"message": "größer"}, ensure_ascii=False)
        head = (
            f"POST {V}/invocation/{EVENT.id}/error {HOST}"
            f"Lambda-Runtime-Function-XRay-Error-Cause: {cause}{'x' * (1 << 20)}\r\n"
            "Trailer: Lambda-Runtime-Function-Error-Type\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        status, _, _ = await client.raw(head.encode() + b"2\r\n{}\r\n0\r\n\r\n")
        assert status == 202
        assert heard[-1] == Said(word=Word.ERROR, id=EVENT.id, body=b"{}")

    with_api(test)


def test_a_body_that_is_announced_is_asked_for() -> None:
    """curl waits for `100 Continue` before it sends what is large."""

    async def test(_api: RuntimeApi, client: Client, heard: list[Said]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        head = f"POST {V}/init/error {HOST}Expect: 100-continue\r\n"
        writer.write(f"{head}Content-Length: 2\r\n\r\n".encode())
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"{}")
        assert b" 202 " in await reader.readuntil(b"\r\n")
        writer.close()
        assert heard == [Said(word=Word.INIT_ERROR, body=b"{}")]

    with_api(test)


def test_requests_on_one_connection_are_answered_in_turn() -> None:
    """One that waits for an event is answered before what was sent behind it."""

    async def test(api: RuntimeApi, client: Client, _heard: list[Said]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        behind = f"GET /absent {HOST}\r\nGET / {HOST}Connection: close\r\n\r\n"
        writer.write(f"GET {NEXT} {HOST}\r\n{behind}".encode())
        writer.write(f"GET /past-the-end {HOST}\r\n".encode())
        await client.ask("GET", "/another")
        api.give(EVENT)
        told = await reader.read()
        assert told.startswith(b"HTTP/1.1 200 OK")
        assert told.count(b"HTTP/1.1 404 Not Found") == 2
        assert EVENT.payload in told
        writer.close()

    with_api(test)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                f"GET {NEXT} {HOST}".encode(),
                f"POST {V}/init/error {HOST}".encode(),
                b"Content-Length: 3\r\n",
                b"Transfer-Encoding: chunked\r\n",
                b"\r\n",
                b"3\r\nabc\r\n",
                b"0\r\n\r\n",
                b"abc",
            ]
        )
        | st.binary(max_size=20),
        max_size=8,
    )
)
def test_any_bytes_end_in_an_answer_or_nothing(pieces: list[bytes]) -> None:
    """However they are cut, the next client is served."""

    async def test(_api: RuntimeApi, client: Client, _heard: list[Said]) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", client.port)
        for piece in pieces:
            if not writer.is_closing():
                writer.write(piece)
            await asyncio.sleep(0)
        writer.close()
        assert (await client.ask("GET", "/absent"))[0] == 404

    with_api(test)
