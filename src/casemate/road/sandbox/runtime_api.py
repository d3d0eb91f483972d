"""
Lambda's Runtime API on a cell's own loopback, for every runtime but Python's.

    GET  /2018-06-01/runtime/invocation/next
    POST /2018-06-01/runtime/invocation/{id}/response
    POST /2018-06-01/runtime/invocation/{id}/error
    POST /2018-06-01/runtime/init/error

A response may be streamed: its body goes on as it comes, and its end, its trailers
or its breaking off are the answer.

Not done, and refused by name: extensions, the telemetry and logs APIs, snapshots.
Source: AWS Lambda, "Using the Lambda runtime API", "Building a custom runtime".
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from typing import Final, final

from casemate.core.http_head import Head
from casemate.road.sandbox.frames import ERROR_LIMIT, RESPONSE_LIMIT, Said, Word
from casemate.road.sandbox.http_exchange import Ask, Exchange
from casemate.road.sandbox.inflow import Inflow
from casemate.road.sandbox.link import Event, Heard, Lost
from casemate.road.sandbox.trailers import TrailerError, error_told

VERSION: Final = "/2018-06-01/runtime"
CONNECTIONS_LIMIT: Final = 32
NOISE_LIMIT: Final = 1000
"""Requests refused within one event before a cell is taken for hostile and ended."""
UNREAD_LIMIT: Final = 1 << 18
"""Bytes of a connection that the kernel keeps for the node, about."""
BREAK_SECONDS: Final = 0.1
"""After a stream that broke off: a process that ends hangs up first, and how it
ended says more."""
_MODE: Final = "lambda-runtime-function-response-mode"
_INVOCATION: Final = re.compile(
    rf"{VERSION}/invocation/([A-Za-z0-9-]{{1,128}})/(response|error)\Z"
)
_ABSENT: Final = (
    ("/2020-01-01/extension", "extensions"),
    ("/2020-08-15/logs", "the Logs API"),
    ("/2022-07-01/telemetry", "the Telemetry API"),
    (f"{VERSION}/restore", "snapshots"),
)
_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_OK: Final = b'{"status":"OK"}\n'


@final
class RuntimeApi:
    """Serves one cell; says what it hears in the same words as a frame would."""

    def __init__(self, listener: int, *, heard: Heard, lost: Lost) -> None:
        """Own the listening socket in the cell's network namespace."""
        self._listener = socket.socket(fileno=listener)
        self._listener.setblocking(False)
        # Connections inherit it; the kernel would let 6 MB of each lie in the node.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UNREAD_LIMIT)
        self._loop = asyncio.get_running_loop()
        self._heard = heard
        self._lost = lost
        self._noise = 0
        self._server: asyncio.Server | None = None
        self._exchanges: set[Exchange] = set()
        self._asking: Exchange | None = None
        self._event: Event | None = None
        self._running = ""
        self._inflow: Inflow | None = None
        self._streaming: Exchange | None = None
        self._broken: asyncio.TimerHandle | None = None
        self._initialised = False
        self._closed = False

    async def serve(self) -> None:
        """Begin to accept."""
        self._server = await self._loop.create_server(
            self._accepted, sock=self._listener, backlog=CONNECTIONS_LIMIT
        )

    def give(self, event: Event) -> None:
        """Hand out an event at the next `next`."""
        self._event = event
        if self._asking is not None and self._asking.alive:
            exchange, self._asking = self._asking, None
            self._hand_out(exchange)

    def close(self) -> None:
        """Stop serving and drop every connection."""
        self._closed = True
        if self._server is not None:
            self._server.close()
        else:
            self._listener.close()
        if self._broken is not None:
            self._broken.cancel()
        if self._inflow is not None:
            self._inflow.close()
        for exchange in tuple(self._exchanges):
            exchange.hang_up()

    def _accepted(self) -> Exchange:
        exchange = Exchange(self._opened, self._asked, self._left, self._refused)
        self._exchanges.add(exchange)
        if len(self._exchanges) > CONNECTIONS_LIMIT:
            self._loop.call_soon(exchange.hang_up)
        return exchange

    def _left(self, exchange: Exchange) -> None:
        self._exchanges.discard(exchange)
        if self._asking is exchange:
            self._asking = None
        if self._streaming is exchange and not self._closed:
            self._broken = self._loop.call_later(BREAK_SECONDS, self._broke_off)

    def _refused(self) -> None:
        """Count a refusal: no runtime needs many, and each costs the node time."""
        self._noise += 1
        if self._noise > NOISE_LIMIT and not self._closed:
            self.close()
            self._lost("the cell asks too much of the Runtime API that is refused")

    def _opened(self, exchange: Exchange, head: Head) -> Inflow | None:
        """Open the way of a streamed response, if this is one and the first."""
        if head.known.get(_MODE, "").lower() != "streaming" or head.method != "POST":
            return None
        found = _INVOCATION.match(head.target)
        if found is None or found.groups() != (self._running, Word.RESPONSE):
            return None
        if self._closed or self._streaming is not None or self._inflow is None:
            return None
        self._streaming = exchange
        self._inflow.open(exchange)
        return self._inflow

    def _asked(self, exchange: Exchange, ask: Ask) -> None:
        if self._closed:
            exchange.hang_up()
            return
        for prefix, name in _ABSENT:
            if ask.target.startswith(prefix):
                reason = f"{name} are not supported here"
                exchange.refuse(501, "NotImplemented", reason)
                return
        if ask.target == f"{VERSION}/invocation/next":
            if self._method(exchange, ask, "GET"):
                self._next(exchange)
        elif ask.target == f"{VERSION}/init/error":
            if self._method(exchange, ask, "POST"):
                self._init_error(exchange, ask)
        elif found := _INVOCATION.match(ask.target):
            if self._method(exchange, ask, "POST"):
                self._ending(exchange, ask, found[1], Word(found[2]))
        else:
            exchange.refuse(404, "NotFound", "there is no such endpoint")

    def _method(self, exchange: Exchange, ask: Ask, method: str) -> bool:
        if ask.method != method:
            exchange.refuse(405, "MethodNotAllowed", f"use {method}")
        return ask.method == method

    def _next(self, exchange: Exchange) -> None:
        if self._broken is not None:
            # It is alive, so nothing better will be known of its answer.
            self._broken.cancel()
            self._broke_off()
        busy = self._running and self._event is None
        if busy or (self._asking is not None and self._asking.alive):
            exchange.refuse(
                403,
                "InvalidStateTransition",
                "an invocation is under way, or somebody waits for the next already",
            )
            return
        if not self._initialised:
            self._initialised = True
            self._heard(Said(word=Word.INITIALIZED))
        if self._event is not None:
            self._hand_out(exchange)
        else:
            self._asking = exchange

    def _hand_out(self, exchange: Exchange) -> None:
        event, self._event = self._event, None
        if event is None:
            return
        self._running = event.id
        self._inflow = event.inflow
        self._noise = 0
        headers = {
            "Lambda-Runtime-Aws-Request-Id": event.id,
            "Lambda-Runtime-Deadline-Ms": str(event.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": _plain(event.arn),
            "Lambda-Runtime-Trace-Id": _plain(event.trace),
        }
        if event.client_context:
            headers["Lambda-Runtime-Client-Context"] = _plain(event.client_context)
        if event.tenant:
            headers["Lambda-Runtime-Aws-Tenant-Id"] = _plain(event.tenant)
        exchange.answer(200, event.payload, headers)

    def _init_error(self, exchange: Exchange, ask: Ask) -> None:
        if self._initialised:
            exchange.refuse(403, "InvalidStateTransition", "the init is over")
            return
        self._initialised = True
        exchange.answer(202, _OK)
        self._heard(Said(word=Word.INIT_ERROR, body=ask.body))

    def _ending(
        self, exchange: Exchange, ask: Ask, request_id: str, word: Word
    ) -> None:
        if request_id != self._running:
            exchange.refuse(403, "InvalidRequestID", "Invalid request ID")
            return
        if self._streaming is exchange:
            self._stream_ended(exchange, ask)
            return
        if self._streaming is not None:
            exchange.refuse(
                403, "InvalidStateTransition", "the response has begun already"
            )
            return
        self._running = ""
        if ask.too_large:
            limit = RESPONSE_LIMIT if word is Word.RESPONSE else ERROR_LIMIT
            message = f"Exceeded maximum allowed payload size ({limit} bytes)."
            exchange.refuse(413, "RequestEntityTooLarge", message)
            self._say_error(request_id, *_too_large(RESPONSE_LIMIT))
            return
        exchange.answer(202, _OK)
        self._heard(Said(word=word, id=request_id, body=ask.body))

    def _stream_ended(self, exchange: Exchange, ask: Ask) -> None:
        """Take the end of a streamed response: too much, an error, or its last byte."""
        request_id, limit, body = self._close_stream(broken=ask.too_large)
        exchange.release()
        if ask.too_large:
            message = f"Exceeded maximum allowed payload size ({limit} bytes)."
            exchange.refuse(413, "RequestEntityTooLarge", message)
            exchange.hang_up()
            self._say_error(request_id, *_too_large(limit))
            return
        try:
            error = error_told(ask.announced, ask.trailers)
        except TrailerError as fault:
            exchange.refuse(400, "InvalidTrailers", str(fault))
            self._say_error(request_id, "Runtime.InvalidTrailers", str(fault))
            return
        exchange.answer(202, _OK)
        word = Word.RESPONSE if error is None else Word.ERROR
        told = body if error is None else error
        self._heard(Said(word=word, id=request_id, body=told))

    def _broke_off(self) -> None:
        """Take a response for ended that nobody sends any more."""
        request_id, _limit, _body = self._close_stream(broken=True)
        text = "The runtime hung up before the response was whole"
        self._say_error(request_id, "Runtime.TruncatedResponse", text)

    def _close_stream(self, *, broken: bool) -> tuple[str, int, bytes]:
        """Give whose stream it was, its limit, and what was gathered of it."""
        request_id, self._running = self._running, ""
        inflow, self._inflow = self._inflow, None
        self._streaming = self._broken = None
        if inflow is None:
            return request_id, 0, b""
        inflow.broken = broken
        return request_id, inflow.limit, inflow.close()

    def _say_error(self, request_id: str, kind: str, text: str) -> None:
        body = json.dumps({"errorMessage": text, "errorType": kind})
        self._heard(Said(word=Word.ERROR, id=request_id, body=body.encode()))


def _too_large(limit: int) -> tuple[str, str]:
    text = (
        f"Response payload size exceeded maximum allowed payload size ({limit} bytes)."
    )
    return "Function.ResponseSizeTooLarge", text


def _plain(value: str) -> str:
    """Make a header value: JSON keeps its meaning when its line breaks are spaces."""
    return _UNPRINTABLE.sub(" ", value)
