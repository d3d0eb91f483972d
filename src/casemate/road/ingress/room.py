"""
The ingress room: from bytes to an arrival, and from an outcome to bytes.

1. The service is named by the scope of the signature; what carries no
   signature is nobody's and is refused before anything else is read.
2. The codec of that service tells the operation; one that the model has and
   the platform has not is refused as such, never answered with a fake.
3. The codec reads the parameters.
4. The road decides and runs.
5. The codec writes the outcome, or the refusal in its protocol's own form.

Nothing that is read here is believed; `authn` comes after.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, final

from casemate.core import trace
from casemate.core.call import Arrival, Beginning, Door, Events, Outcome, Request
from casemate.core.clock import Clock
from casemate.core.errors import (
    Refusal,
    TooLarge,
    Unauthenticated,
    Unimplemented,
)
from casemate.core.identifier import Randomness, request_id
from casemate.core.operation import Operation
from casemate.road.ingress import dialect, stranger
from casemate.road.ingress.answer import Response
from casemate.road.ingress.catalog import Catalog, Service
from casemate.wire import Codec, Reply

_SCOPE: Final = re.compile(
    r"Credential=[^/,\s]{1,128}/([0-9]{8})/([a-z0-9-]{1,32})/([a-z0-9-]{1,64})/aws4_request"
)
_QUERY_SCOPE: Final = re.compile(
    r"(?:^|&)X-Amz-Credential=[^&/%]{1,128}(?:/|%2[Ff])([0-9]{8})(?:/|%2[Ff])"
    r"([a-z0-9-]{1,32})(?:/|%2[Ff])([a-z0-9-]{1,64})(?:/|%2[Ff])aws4_request"
)
_CREDENTIAL: Final = 512
"""Characters of a credential that is remembered; a sound one has fewer."""
STRANGER_BODY: Final = 65_536
"""Bytes of a body that comes without a signature, and will be refused."""
DEFAULT_BODY: Final = 1_048_576
"""Bytes of a body before the operation is known (a query's Action is in it)."""

_RANDOM: Final = 34
"""Bytes of a request's id (10) and of its trace (8 and 16)."""

Travel = Callable[[Arrival], Awaitable[Outcome]]
Stranger = Callable[[Request, Refusal], None]
HopsOf = Callable[[str], int]


@final
class _Slices:
    """Random bytes, given out once each."""

    __slots__ = ("_at", "_bytes")

    def __init__(self, random: bytes) -> None:
        self._bytes = random
        self._at = 0

    def take(self, size: int) -> bytes:
        """Give the next bytes.  Raises ValueError when there are not so many left."""
        start, self._at = self._at, self._at + size
        if self._at > len(self._bytes):
            raise ValueError(f"there are no {size} random bytes left")
        return self._bytes[start : self._at]


@dataclass(frozen=True, slots=True)
class _Named:
    region: str
    service: Service


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingress:
    """The door for signed requests, from outside and from cells."""

    catalog: Catalog
    travel: Travel
    clock: Clock
    randomness: Randomness
    stranger: Stranger
    """Told of every request that is refused before it is a call."""
    hops_of: HopsOf
    """Gives the hops that led to what a cell runs now."""
    under_way: set[asyncio.Task[object]] = field(default_factory=set)
    """Calls on the road, with or without somebody who waits."""
    waiting: set[asyncio.Task[object]] = field(default_factory=set)
    """Those of them that only wait for something to come."""

    def body_limit(
        self, method: str, target: str, headers: tuple[tuple[str, str], ...]
    ) -> int:
        """Say how many bytes of body a head may bring, before they are read."""
        path, _, query = target.partition("?")
        first = dict(reversed(headers))
        try:
            named = self._service(first.get("authorization", ""), query)
        except Refusal:
            return STRANGER_BODY
        aim = first.get("x-amz-target")
        foreseen = named.service.codec.foresee(method, path, aim)
        operation = named.service.operations.get(foreseen or "")
        return operation.body_limit if operation else DEFAULT_BODY

    async def __call__(self, request: Request) -> Response:
        """Answer a request."""
        now = self.clock.now()
        # One call of the kernel for all that is random in a request.
        random = _Slices(self.randomness(_RANDOM)).take
        identifier = request_id(now, random)
        try:
            named = self._service(request.header("authorization") or "", request.query)
        except Refusal as refusal:
            self.stranger(request, refusal)
            return stranger.answer(request, refusal, identifier)
        codec = named.service.codec
        operation: Operation | None = None
        try:
            route = codec.route(request)  # (2)
            operation = self._operation(named.service, route.operation)
            if len(request.body) > operation.body_limit:
                raise TooLarge(
                    f"the body has {len(request.body)} bytes; {operation.name} takes "
                    f"{operation.body_limit}"
                )
            parameters = codec.decode(route, request)  # (3)
        except Refusal as refusal:
            self.stranger(request, refusal)
            return _refused(named.service, operation, refusal, identifier)
        begun = _begins(operation)
        arrival = Arrival(
            id=identifier,
            at=now,
            started=self.clock.monotonic(),
            trace=trace.begin(
                request.header("x-amzn-trace-id"),
                request.header("traceparent"),
                random,
                self.hops_of(request.cell) + 1 if request.cell else 0,
            ),
            door=Door.CELL if request.cell else Door.HTTPS,
            peer=request.peer,
            cell=request.cell,
            operation=operation,
            claim=request,
            parameters=parameters,
            region=named.region,
            begin=begun.set_result if begun is not None else None,
        )
        outcome: Outcome | Beginning
        try:
            if begun is None:
                outcome = await self._carry(arrival)  # (4)
            else:
                outcome = await self._until_begun(arrival, begun)
        except Refusal as refusal:
            return _refused(named.service, operation, refusal, identifier)
        reply = codec.encode(operation.name, outcome.result, identifier)  # (5)
        body = (
            Written(codec=codec, operation=operation.name, events=outcome.events)
            if isinstance(outcome, Beginning)
            else reply.body
        )
        headers = _headers(reply, identifier)
        if isinstance(outcome, Outcome):
            headers = (*headers, *outcome.headers)
        return Response(status=reply.status, headers=headers, body=body)

    async def _carry(self, arrival: Arrival) -> Outcome:
        """
        Travel the road to its end, whether or not the caller waits for it.

        As on AWS, a caller who leaves does not undo what it has asked for: the
        connection ends the answer and not the task.  What only waits for
        something to come ends with who waits for it.
        """
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a call travels in a task")
        self.under_way.add(task)
        if arrival.operation.waits:
            self.waiting.add(task)
        try:
            return await self.travel(arrival)
        finally:
            self.under_way.discard(task)
            self.waiting.discard(task)

    async def _until_begun(
        self, arrival: Arrival, begun: asyncio.Future[Beginning]
    ) -> Outcome | Beginning:
        """
        Send a call off, and give the head of its answer as soon as there is one.

        The call has a task of its own: it outlives the sending of its answer,
        whether or not that is read to its end, and it is under way until it has
        closed its record.
        """
        call = asyncio.ensure_future(self._carry(arrival))
        call.add_done_callback(_retrieve)
        await asyncio.wait((call, begun), return_when=asyncio.FIRST_COMPLETED)
        return begun.result() if begun.done() else call.result()

    def ends_with_caller(self, task: asyncio.Task[None]) -> bool:
        """Tell whether a request is to be ended when its caller leaves."""
        return task in self.waiting

    async def settle(self, grace: float) -> None:
        """Wait for calls whose callers have left; after `grace` seconds end them."""
        if self.under_way:
            await asyncio.wait(self.under_way, timeout=grace)
        for task in tuple(self.under_way):
            task.cancel()
        if self.under_way:
            await asyncio.wait(self.under_way)

    def _service(self, authorization: str, query: str) -> _Named:
        # (1)
        found = _scope(authorization, query)
        if not found:
            raise Unauthenticated(
                "the request is not signed; sign it with Signature Version 4",
                code="MissingAuthenticationToken",
            )
        service = self.catalog.services.get(found[1])
        if service is None:
            raise Unimplemented(
                f"there is no service `{found[1]}` on this platform",
                code="UnknownOperationException",
                status=404,
            )
        return _Named(region=found[0], service=service)

    @staticmethod
    def _operation(service: Service, name: str) -> Operation:
        operation = service.operations.get(name)
        if operation is None:
            raise Unimplemented(
                f"`{name}` is an operation of AWS that this platform does not have",
            )
        return operation


def _scope(authorization: str, query: str) -> tuple[str, str] | None:
    """
    Find region and service in the credential, in the header or in the query.

    What stands before the first comma is mostly the same from call to call, so
    it is read once; no credential reaches past a comma, so one that is found
    there is the first in the whole header.
    """
    first, _, _ = authorization.partition(",")
    if len(first) <= _CREDENTIAL and (known := _credential(first)):
        return known
    found = _SCOPE.search(authorization) or _QUERY_SCOPE.search(query)
    return (found[2], found[3]) if found else None


@lru_cache(maxsize=2048)
def _credential(text: str) -> tuple[str, str] | None:
    found = _SCOPE.search(text)
    return (found[2], found[3]) if found else None


def _refused(
    service: Service, operation: Operation | None, refusal: Refusal, identifier: str
) -> Response:
    codec = service.codec
    reply = codec.encode_error(
        operation.name if operation else None,
        dialect.code(codec.service, codec.error_protocol, refusal.code),
        refusal.reason,
        refusal.http_status,
        identifier,
        refusal.members,
    )
    headers = _headers(reply, identifier)
    if refusal.retry_after is not None:
        headers = (*headers, ("retry-after", str(refusal.retry_after)))
    return Response(status=reply.status, headers=headers, body=reply.body)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The events of an answer as bytes; whoever reads them closes them."""

    codec: Codec
    operation: str
    events: Events

    def __aiter__(self) -> Written:
        return self

    async def __anext__(self) -> bytes:
        """Write the next event."""
        name, members = await anext(self.events)
        return self.codec.encode_event(self.operation, name, members)

    async def aclose(self) -> None:
        """Read no more."""
        await self.events.aclose()


def _begins(operation: Operation) -> asyncio.Future[Beginning] | None:
    if not operation.streams:
        return None
    return asyncio.get_running_loop().create_future()


def _retrieve(call: asyncio.Future[Outcome]) -> None:
    """Look at an error, which is on record by now; asyncio reports one unseen."""
    if not call.cancelled():
        call.exception()


def _headers(reply: Reply, identifier: str) -> tuple[tuple[str, str], ...]:
    if any(name.lower() == "x-amzn-requestid" for name, _ in reply.headers):
        return reply.headers
    return (*reply.headers, ("x-amzn-requestid", identifier))
