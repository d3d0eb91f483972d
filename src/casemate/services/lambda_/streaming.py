"""
InvokeWithResponseStream: a function's answer while it is made.

The head of the answer goes out with the function's first byte, or with its end;
what is refused before is refused as by Invoke.  The call lasts until the function
has ended and its answer was read, so its place, its share and its record do.  A
caller who leaves ends the reading and not the function, as on AWS: what it still
says is counted and dropped.

A function that does not stream answers with its payload in chunks.

Sources: https://docs.aws.amazon.com/lambda/latest/api/API_InvokeWithResponseStream.html,
https://docs.aws.amazon.com/lambda/latest/dg/configuration-response-streaming.html
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, final

from casemate.core.call import Admitted, Beginning, Event
from casemate.core.flow import Flow
from casemate.core.function import Invocation, InvocationResult
from casemate.core.operation import Told, operation
from casemate.services.lambda_ import declared
from casemate.services.lambda_.invoke import BODY_LIMIT, ERRORS, Invoking, notes
from casemate.services.lambda_.names import function_context, function_resource
from casemate.services.lambda_.refusals import invalid

CHUNK: Final = 65_536
"""Bytes of one PayloadChunk, at most."""
MEDIA_TYPE: Final = "application/vnd.amazon.eventstream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Streaming:
    """Runs functions whose answers are read while they are made."""

    invoking: Invoking

    @operation(
        "InvokeWithResponseStream",
        action="lambda:InvokeFunction",
        resource=function_resource,
        context=function_context,
        accepts=declared.STREAM,
        only=declared.STREAM_ONLY,
        mutates=False,
        acts=True,
        streams=True,
        body_limit=BODY_LIMIT,
        errors=ERRORS,
    )
    async def invoke_with_response_stream(
        self, call: Admitted
    ) -> Mapping[str, object] | Told:
        """Run a function and stream its answer; a dry run says that one may."""
        asked = self.invoking.asked(call, declared.STREAM_ONLY)
        if asked.deployed.once is not None:
            raise invalid(
                "the function has an idempotency policy, and a stream is not kept; "
                "use Invoke, or take the policy off"
            )
        invocation = await self.invoking.prepare(call, asked)
        if invocation is None:
            return {"StatusCode": 204}
        answer = Answer(call, invocation)
        try:
            sunk = replace(invocation, sink=answer)
            return await answer.conclude(await self.invoking.run.run(sunk))
        finally:
            answer.flow.close()


@final
class Answer:
    """
    One streamed answer: the sink of the function, and the events of its caller.

    flow: what lies between both.
    """

    def __init__(self, call: Admitted, invocation: Invocation) -> None:
        self.flow = Flow()
        self._call = call
        self._invocation = invocation
        self._complete: dict[str, object] = {}
        self._completed = False

    # --- the sink

    def begin(self) -> None:
        """Send the head."""
        if self.flow.begun:
            return
        self.flow.begin()
        begin = self._call.arrival.begin
        if begin is None:
            self.flow.leave()  # a door that reads no events: nobody is there
            return
        head = {
            "StatusCode": 200,
            "ExecutedVersion": self._invocation.function.version,
            "ResponseStreamContentType": MEDIA_TYPE,
        }
        begin(Beginning(result=head, events=self))

    def put(self, data: bytes) -> None:
        """Take bytes."""
        self.flow.put(data)

    @property
    def full(self) -> bool:
        """Whether the caller is behind."""
        return self.flow.full

    def when_room(self, resume: Callable[[], None]) -> None:
        """Call back once, when the caller has caught up, or left."""
        self.flow.when_room(resume)

    async def conclude(self, result: InvocationResult) -> Told:
        """Send what is left, wait until it is read, and tell what was done."""
        if result.error is not None:
            self._complete = {
                "ErrorCode": result.error,
                "ErrorDetails": result.payload.decode("utf-8", "replace"),
            }
        elif result.payload:
            self.begin()
            self.flow.put(result.payload)
        if self._invocation.want_log_tail:
            tail = base64.b64encode(result.log_tail)
            self._complete["LogResult"] = tail.decode("ascii")
        self.begin()
        self.flow.end()
        await self.flow.parted()
        stream = {"bytes": self.flow.count, "reader": str(self.flow.reader)}
        return Told(result={}, notes={**notes(result), "stream": stream})

    # --- the events

    async def __anext__(self) -> Event:
        """Give the next event: chunks, and one that completes them."""
        if self._completed:
            self.flow.satisfied()
            raise StopAsyncIteration
        chunk = await self.flow.take(CHUNK)
        if chunk:
            return "PayloadChunk", {"Payload": chunk}
        self._completed = True
        return "InvokeComplete", self._complete

    async def aclose(self) -> None:
        """Read no more."""
        self.flow.leave()
