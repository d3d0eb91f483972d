"""
Somebody on the network, who speaks bytes over TLS to the platform's one door.

Each attacker has an address of its own in 127.0.0.0/8, so that what one of them
is held to (failed proofs, connections) is not held against the next.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from platform_harness import Platform
from security.edge.signing import Ask, Keys, json_call, sign, written

PATIENCE = 20.0
"""Seconds; whoever waits longer for the platform has found a fault."""
_addresses = itertools.count(1)
_LABELS = re.compile(r"^(casemate_\w+)(?:\{([^}]*)\})? (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; status 0: the connection ended without a word."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The request id."""
        return self.headers.get("x-amzn-requestid", "")

    @property
    def code(self) -> str:
        """AWS's error code, in whatever protocol."""
        if told := self.headers.get("x-amzn-errortype"):
            return told
        if found := re.search(rb"<Code>([^<]+)</Code>", self.body):
            return found[1].decode()
        try:
            return str(json.loads(self.body).get("__type", ""))
        except (ValueError, AttributeError):
            return ""


SILENCE = Answer(status=0, headers={}, body=b"")


def own_address() -> str:
    """Give an address that nobody had before."""
    number = next(_addresses)
    return f"127.{os.getpid() % 200 + 20}.{number // 250}.{number % 250 + 1}"


class Line:
    """One TLS connection."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        self.sock = sock
        self._rest = b""

    def say(self, data: bytes) -> None:
        """Send; an end of the other side is for `hear` to find."""
        try:
            self.sock.sendall(data)
        except OSError:
            return

    def hear(self) -> Answer:
        """Read one answer, or the silence of a connection that ended."""
        try:
            while b"\r\n\r\n" not in self._rest:
                if not self._more():
                    return SILENCE
            head, _, self._rest = self._rest.partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            status = int(lines[0].split(" ")[1])
            pairs = (line.partition(":") for line in lines[1:])
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            length = int(headers.get("content-length", "0"))
            while len(self._rest) < length:
                if not self._more():
                    return SILENCE
            body, self._rest = self._rest[:length], self._rest[length:]
        except (ConnectionError, ssl.SSLError):
            return SILENCE
        return Answer(status=status, headers=headers, body=body)

    def _more(self) -> bool:
        data = self.sock.recv(65_536)
        self._rest += data
        return bool(data)

    def is_closed(self) -> bool:
        """Wait for the other side's end; False if it says more."""
        try:
            return not self._rest and self.sock.recv(1) == b""
        except (ConnectionError, ssl.SSLError):
            return True


class Attacker:
    """Speaks to one platform from one address."""

    def __init__(self, platform: Platform, address: str = "") -> None:
        self.platform = platform
        self.address = address or own_address()
        parts = urlsplit(platform.variables["AWS_ENDPOINT_URL"])
        self.port = parts.port or 443
        self.host = f"{parts.hostname}:{self.port}"
        self._context = ssl.create_default_context(
            cafile=platform.variables["AWS_CA_BUNDLE"]
        )

    @contextmanager
    def line(self) -> Iterator[Line]:
        """Open a connection."""
        raw = socket.create_connection(
            ("127.0.0.1", self.port), PATIENCE, source_address=(self.address, 0)
        )
        with self._context.wrap_socket(raw, server_hostname="127.0.0.1") as sock:
            yield Line(sock)

    def send(self, data: bytes) -> Answer:
        """Send one request as it stands, on a connection of its own."""
        with self.line() as line:
            line.say(data)
            return line.hear()

    def ask(self, ask: Ask, keys: Keys | None = None) -> Answer:
        """Sign a request and send it; without keys it goes unsigned."""
        return self.send(self.written(ask, keys))

    def written(self, ask: Ask, keys: Keys | None = None) -> bytes:
        """Write a request for this platform's host, signed if there are keys."""
        placed = self.placed(ask)
        return sign(placed, keys) if keys else written(placed)

    def placed(self, ask: Ask) -> Ask:
        """Aim a request at this platform, unless it names another host."""
        if ask.host != "127.0.0.1":
            return ask
        return Ask(**{**{n: getattr(ask, n) for n in Ask.__slots__}, "host": self.host})


class Watch:
    """What the platform itself says happened: its record and its counters."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._reader = Attacker(platform)

    def keys(self, account: str | None = None) -> Keys:
        """Give an administrator's session."""
        if account is None:
            return Keys.of(self._platform.variables)
        return Keys.of(self._platform.session(account))

    def record(self, request_id: str, keys: Keys | None = None) -> dict[str, Any]:
        """Give the audit record of a request, as its account or the operator."""
        ask = json_call(
            "casemate", "Casemate_20260101.ExplainRequest", {"RequestId": request_id}
        )
        answer = self._reader.ask(ask, keys or self.keys())
        told = json.loads(answer.body)
        if answer.status != 200:
            raise AssertionError(f"{request_id}: {answer}")
        record: dict[str, Any] = json.loads(told["Record"])
        return record

    def metrics(self) -> str:
        """Read all metrics, as a monitor on this machine does."""
        run = Path(self._platform.variables["AWS_CA_BUNDLE"]).parent
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PATIENCE)
            sock.connect(str(run / "metrics.sock"))
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            data = b"".join(iter(lambda: sock.recv(65_536), b""))
        return data.partition(b"\r\n\r\n")[2].decode()

    def counted(self, metric: str, **labels: str) -> float:
        """Add up the samples of a metric that have these labels."""
        wanted = {f'{name}="{value}"' for name, value in labels.items()}
        found = _LABELS.findall(self.metrics())
        return sum(
            float(value)
            for name, told, value in found
            if name == metric and wanted <= set(told.split(","))
        )

    def strangers(self, reason: str) -> float:
        """Count the requests that were refused before they were calls."""
        return self.counted("casemate_strangers_total", reason=reason)


@contextmanager
def counts_strangers(watch: Watch, reason: str, count: int = 1) -> Iterator[None]:
    """Hold that a block's refusals are counted: no fewer than so many."""
    before = watch.strangers(reason)
    yield
    after = watch.strangers(reason)
    assert after - before >= count, (reason, after - before)
