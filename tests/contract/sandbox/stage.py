"""A sandbox on a loop of its own, for tests that drive a real warden."""

from __future__ import annotations

import asyncio
import hashlib
import io
import itertools
import os
import socket
import zipfile
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, TypeVar
from uuid import uuid4

import uvloop

from casemate.core.call import Trace
from casemate.core.clock import SystemClock
from casemate.core.function import (
    FunctionVersion,
    Invocation,
    InvocationResult,
    Split,
)
from casemate.road.sandbox.invoke import Sandbox
from casemate.road.sandbox.lines import Line
from casemate.road.sandbox.settings import Settings
from casemate.road.sandbox.warden import Warden

T = TypeVar("T")
RUNTIMES = ("python3.11", "provided.al2023", "nodejs20.x")


def package(files: Mapping[str, str | bytes], executable: Sequence[str] = ()) -> bytes:
    """A zip of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3
            info.external_attr = (0o100755 if name in executable else 0o100644) << 16
            archive.writestr(info, content)
    return out.getvalue()


class Stage:
    """A sandbox on a loop of its own; packages and lines are kept in memory."""

    def __init__(
        self, node: socket.socket, egress: socket.socket, **knobs: Any
    ) -> None:
        self.runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self.packages: dict[str, bytes] = {}
        self.lines: dict[str, list[Line]] = {}
        self.streams: dict[str, FunctionVersion] = {}
        self.numbers = itertools.count()
        self.fetched: list[str] = []
        self.splits: list[Split] = []
        settings = Settings(region="us-east-1", runtimes=RUNTIMES, **knobs)
        self.sandbox = Sandbox(
            warden=Warden(node),
            settings=settings,
            code=self.code,
            credentials=self.credentials,
            lines=self,
            started=self.splits.append,
            clock=SystemClock(),
        )
        self.runner.run(self._start(egress))

    async def _start(self, egress: socket.socket) -> None:
        egress.setblocking(False)
        asyncio.get_running_loop().add_reader(egress, self._egress_told, egress)
        await self.sandbox.start()

    def _egress_told(self, egress: socket.socket) -> None:
        _data, fds, _flags, _address = socket.recv_fds(egress, 1 << 18, 16)
        for fd in fds:
            os.close(fd)
        if not _data:
            asyncio.get_running_loop().remove_reader(egress)

    async def code(self, _account: str, sha256: str) -> bytes:
        self.fetched.append(sha256)
        return self.packages[sha256]

    async def credentials(
        self, _function: FunctionVersion, cell: str
    ) -> Mapping[str, str]:
        return {"AWS_ACCESS_KEY_ID": f"ASIA{cell}", "AWS_SECRET_ACCESS_KEY": "s"}

    def write(
        self, function: FunctionVersion, stream: str, lines: Sequence[Line]
    ) -> None:
        self.streams[stream] = function
        self.lines.setdefault(stream, []).extend(lines)

    def function(self, content: bytes, **changes: Any) -> FunctionVersion:
        """A function version of this package; each has a name of its own."""
        digest = hashlib.sha256(content).hexdigest()
        self.packages[digest] = content
        name = f"f{next(self.numbers)}"
        facts: dict[str, Any] = {
            "account": "111122223333",
            "region": "us-east-1",
            "name": name,
            "arn": f"arn:aws:lambda:us-east-1:111122223333:function:{name}",
            "version": "$LATEST",
            "revision": "1",
            "runtime": "python3.11",
            "handler": "app.handler",
            "role_arn": "arn:aws:iam::111122223333:role/r",
            "role_id": "AROAEXAMPLE",
            "code_sha256": digest,
            "memory_mb": 128,
            "timeout": 3,
            "ephemeral_mb": 512,
            "environment": {},
            "log_group": f"/aws/lambda/{name}",
        }
        return FunctionVersion(**{**facts, **changes})

    def python(self, source: str, **changes: Any) -> FunctionVersion:
        return self.function(package({"app.py": source}), **changes)

    def invocation(
        self, function: FunctionVersion, payload: bytes = b"{}", **changes: Any
    ) -> Invocation:
        clock = SystemClock()
        facts: dict[str, Any] = {
            "id": str(uuid4()),
            "function": function,
            "invoked_arn": function.arn,
            "payload": payload,
            "trace": Trace(trace_id="0" * 31 + "1", span_id="0" * 15 + "2"),
            "deadline": clock.monotonic() + 30 + function.timeout,
            "want_log_tail": True,
        }
        return Invocation(**{**facts, **changes})

    def invoke(
        self, function: FunctionVersion, payload: bytes = b"{}", **changes: Any
    ) -> InvocationResult:
        return self.run(self.sandbox.run(self.invocation(function, payload, **changes)))

    def texts(self, result: InvocationResult) -> list[str]:
        self.sandbox.hand_on()
        return [line.text for line in self.lines[result.log_stream]]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def close(self) -> None:
        self.runner.run(self.sandbox.close())
        self.runner.close()
