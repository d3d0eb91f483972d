"""
Casemate as a server to be measured: the real command, asked as AWS clients ask.

Every request is signed by botocore with the session of `casemate env`, within the
minute in which it is sent; no two of a ring are alike.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from benchmarks import processes
from benchmarks.client import Ask, Peer
from benchmarks.competitors import HELLO, Server, greetings
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from platform_harness import Platform

MEMORY_MB: Final = 512
_PATIENCE: Final = 60.0


class Casemate:
    """A platform that runs, with a role for functions."""

    def __init__(self, platform: Platform, pool: int) -> None:
        self.platform = platform
        self.pool = pool
        self.role = platform.role(f"bench-{int(time.time())}")
        self._connect()

    def restart(self) -> None:
        """Stop in order, start again on the same data."""
        self.platform.stop()
        self.platform.start()
        self._connect()

    def deploy(self, name: str, source: str, **settings: Any) -> None:
        """Make a function of one Python file."""
        wanted = {"MemorySize": MEMORY_MB, "Timeout": 60, **settings}
        self.platform.function(name, source, role=self.role, **wanted)

    def renew(self, name: str) -> None:
        """Change a function's settings, so that none of its cells fits any more."""
        variables = {"Variables": {"TURN": str(time.monotonic_ns())}}
        self._lambda.update_function_configuration(
            FunctionName=name, Environment=variables
        )
        end = time.monotonic() + _PATIENCE
        while self._settling(name):
            if time.monotonic() > end:
                raise TimeoutError(f"`{name}` does not settle")
            time.sleep(0.005)

    def invocation(self, name: str, event: bytes, expected: bytes) -> Ask:
        """Sign one Invoke, as it goes over the wire."""
        return Ask(request=self._invoke(name, event, {}), expected=expected)

    def event(self, name: str, event: bytes) -> Ask:
        """Sign one Invoke of the type Event."""
        headers = {"X-Amz-Invocation-Type": "Event"}
        request = self._invoke(name, event, headers)
        return Ask(request=request, expected=b"", status=b"202")

    def _invoke(self, name: str, event: bytes, headers: Mapping[str, str]) -> bytes:
        path = f"/2015-03-31/functions/{name}/invocations"
        url = f"{self._endpoint}{path}"
        request = AWSRequest("POST", url, data=event, headers=dict(headers))
        self._signer.add_auth(request)
        prepared = request.prepare()
        fields = {"Host": urlsplit(self._endpoint).netloc, **prepared.headers}
        fields["Content-Length"] = str(len(event))
        lines = [
            f"POST {path} HTTP/1.1",
            *(f"{k}: {_text(v)}" for k, v in fields.items()),
        ]
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return head + event

    def server(self, name: str) -> Server:
        """Show a function as a server among others."""
        return Server(
            name="Casemate",
            how="Lambda's Invoke over TLS, signed (SigV4, session token), authorized, "
            "checked, admitted, run in a sealed cell, logged and audited",
            peer=self.peer,
            asks=lambda: [self.invocation(name, *event) for event in greetings()],
            pids=self.pids,
        )

    def pids(self) -> list[int]:
        """List the platform's processes and those in its cells."""
        inside = (pid for pids in self.cells().values() for pid in pids)
        return [*self.own(), *inside]

    def own(self) -> list[int]:
        """List the platform's processes; those in cells come from the warden too."""
        process = self.platform.process
        inside = {pid for pids in self.cells().values() for pid in pids}
        found = processes.family(process.pid) if process else []
        return [pid for pid in found if pid not in inside]

    def cells(self) -> dict[str, list[int]]:
        """List the processes of each cell."""
        return processes.grouped(f"casemate-{self._run.name}")

    def python_cells(self) -> dict[str, list[int]]:
        """List the managed Python's cells, those that wait and those that serve."""
        return {
            name: pids
            for name, pids in self.cells().items()
            if any(
                "casemate_cell/__pycache__/" in processes.command(pid) for pid in pids
            )
        }

    def metrics(self) -> dict[str, float]:
        """Read the platform's own metrics, by name and labels."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_PATIENCE)
            line.connect(str(self._run / "metrics.sock"))
            line.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b"".join(iter(lambda: line.recv(65_536), b""))
        found = re.findall(r"^(casemate_\S+) (\S+)$", answer.decode(), re.MULTILINE)
        return {name: float(value) for name, value in found}

    def rest(self, waiting: int | None = None) -> None:
        """Wait until the pool is full and nothing opens or closes."""
        wanted = 3 * self.pool if waiting is None else waiting
        self._until(
            lambda now: (
                now.get("casemate_cells_waiting", 0) >= wanted
                and not now["casemate_sandbox_opening"]
                and not now["casemate_sandbox_closing"]
            )
        )

    def _until(self, condition: Callable[[Mapping[str, float]], bool]) -> None:
        end = time.monotonic() + _PATIENCE
        while not condition(self.metrics()):
            if time.monotonic() > end:
                raise TimeoutError(f"the pool does not come to rest: {self.metrics()}")
            time.sleep(0.01)

    def _settling(self, name: str) -> bool:
        now = self._lambda.get_function_configuration(FunctionName=name)
        return bool(now["LastUpdateStatus"] == "InProgress")

    def _connect(self) -> None:
        variables = self.platform.variables
        self._endpoint = variables["AWS_ENDPOINT_URL"]
        self._run = Path(variables["AWS_CA_BUNDLE"]).parent
        tls = ssl.create_default_context(cafile=variables["AWS_CA_BUNDLE"])
        self.peer = Peer(port=urlsplit(self._endpoint).port or 0, tls=tls)
        keys = Credentials(
            variables["AWS_ACCESS_KEY_ID"],
            variables["AWS_SECRET_ACCESS_KEY"],
            variables["AWS_SESSION_TOKEN"],
        )
        self._signer = SigV4Auth(keys, "lambda", variables["AWS_DEFAULT_REGION"])
        self._lambda = self.platform.client("lambda")


@contextmanager
def running(*, pool: int, cores: set[int]) -> Iterator[Casemate]:
    """Run a platform on a fresh folder, on these cores."""
    with tempfile.TemporaryDirectory(prefix="casemate-bench-", dir="/var/tmp") as data:
        platform = Platform(Path(data), "--pool", str(pool))
        try:
            with processes.on_cores(cores):
                platform.start()
            yield Casemate(platform, pool)
        finally:
            platform.stop()


def hello() -> str:
    """Give the source of the hello function."""
    return (HELLO / "handler.py").read_text("utf-8")


def event(name: str) -> tuple[bytes, bytes]:
    """Give an event of the hello function, and what its answer must hold."""
    return json.dumps({"name": name}).encode(), f"hello, {name}".encode()


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("ascii")
