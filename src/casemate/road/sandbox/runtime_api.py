"""
Lambda's Runtime API on a cell's own loopback, for every runtime but Python's.

    GET  /2018-06-01/runtime/invocation/next
    POST /2018-06-01/runtime/invocation/{id}/response
    POST /2018-06-01/runtime/invocation/{id}/error
    POST /2018-06-01/runtime/init/error

Not done, and refused by name: streamed responses, extensions, the telemetry and
logs APIs, snapshots.  Source: AWS Lambda, "Using the Lambda runtime API".
"""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Final, final

from casemate.road.sandbox.frames import ERROR_LIMIT, RESPONSE_LIMIT, Said, Word
from casemate.road.sandbox.http_exchange import Ask, Exchange
from casemate.road.sandbox.link import Event, Heard, Lost

VERSION: Final = "/2018-06-01/runtime"
CONNECTIONS_LIMIT: Final = 32
NOISE_LIMIT: Final = 1000
"""Requests refused within one event before a cell is taken for hostile and ended."""
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
        self._loop = asyncio.get_running_loop()
        self._heard = heard
        self._lost = lost
        self._noise = 0
        self._server: asyncio.Server | None = None
        self._exchanges: set[Exchange] = set()
        self._asking: Exchange | None = None
        self._event: Event | None = None
        self._running = ""
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
        for exchange in tuple(self._exchanges):
            exchange.hang_up()

    def _accepted(self) -> Exchange:
        exchange = Exchange(self._asked, self._left, self._refused)
        self._exchanges.add(exchange)
        if len(self._exchanges) > CONNECTIONS_LIMIT:
            self._loop.call_soon(exchange.hang_up)
        return exchange

    def _left(self, exchange: Exchange) -> None:
        self._exchanges.discard(exchange)
        if self._asking is exchange:
            self._asking = None

    def _refused(self) -> None:
        """Count a refusal: no runtime needs many, and each costs the node time."""
        self._noise += 1
        if self._noise > NOISE_LIMIT and not self._closed:
            self.close()
            self._lost("the cell asks too much of the Runtime API that is refused")

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
        self._noise = 0
        headers = {
            "Lambda-Runtime-Aws-Request-Id": event.id,
            "Lambda-Runtime-Deadline-Ms": str(event.deadline_ms),
            "Lambda-Runtime-Invoked-Function-Arn": _plain(event.arn),
            "Lambda-Runtime-Trace-Id": _plain(event.trace),
        }
        if event.client_context:
            headers["Lambda-Runtime-Client-Context"] = _plain(event.client_context)
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
        mode = ask.headers.get("lambda-runtime-function-response-mode", "")
        if mode.lower() == "streaming":
            exchange.refuse(
                501, "NotImplemented", "streamed responses are not supported here"
            )
            return
        self._running = ""
        if ask.too_large:
            limit = RESPONSE_LIMIT if word is Word.RESPONSE else ERROR_LIMIT
            message = f"Exceeded maximum allowed payload size ({limit} bytes)."
            exchange.refuse(413, "RequestEntityTooLarge", message)
            self._heard(Said(word=Word.ERROR, id=request_id, body=_TOO_LARGE))
            return
        exchange.answer(202, _OK)
        self._heard(Said(word=word, id=request_id, body=ask.body))


def _plain(value: str) -> str:
    """Make a header value: JSON keeps its meaning when its line breaks are spaces."""
    return _UNPRINTABLE.sub(" ", value)


_TOO_LARGE: Final = (
    '{"errorMessage":"Response payload size exceeded maximum allowed payload size '
    f'({RESPONSE_LIMIT} bytes).","errorType":"Function.ResponseSizeTooLarge"}}'
).encode()
