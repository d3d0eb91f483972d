"""
What a user would run instead, each as it ships, each with the same hello function.

All run at once on the servers' core, so that rounds can be interleaved; one that is
not asked rests.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from benchmarks import processes
from benchmarks.certificate import self_signed
from benchmarks.client import HOST, Ask, Line, Peer, UnexpectedAnswerError

RING: Final = 256
HELLO: Final = Path(__file__).with_name("hello")
_START: Final = 60.0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """
    A server that runs.

    asks: gives fresh requests, all different.  pids: all processes that work for it.
    """

    name: str
    how: str
    peer: Peer
    asks: Callable[[], list[Ask]]
    pids: Callable[[], list[int]]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the competitors were installed.  work: a folder for this run."""

    python: Path
    modules: Path
    work: Path


def greetings() -> list[tuple[bytes, bytes]]:
    """Give the events of a ring, and what their answers must hold."""
    names = [f"n{number:04}" for number in range(RING)]
    return [(b'{"name":"%s"}' % n.encode(), b"hello, " + n.encode()) for n in names]


@contextmanager
def running(folder: Path, work: Path) -> Iterator[list[Server]]:
    """Run all of them; folder: what `prepare` made."""
    place = Place(
        python=folder / "venv/bin/python",
        modules=folder / "npm/node_modules",
        work=work,
    )
    shutil.copytree(HELLO, work, dirs_exist_ok=True)
    (work / "node_modules").symlink_to(place.modules)
    certificate, key = work / "certificate.pem", work / "key.pem"
    self_signed(certificate, key)
    tls = ssl.create_default_context(cafile=str(certificate))
    with ExitStack() as stack, processes.on_cores(processes.SERVERS):
        servers = [
            _uvicorn(stack, place, tls),
            _workerd(stack, place, tls),
            _framework(stack, place, tls),
            *_offline(stack, place),
        ]
        for server in servers:
            _wait(server)
        yield servers


def _uvicorn(stack: ExitStack, place: Place, tls: ssl.SSLContext) -> Server:
    port = _free()
    argv = [
        *(str(place.python), "-m", "uvicorn", "asgi:app", "--port", str(port)),
        *("--ssl-certfile", "certificate.pem", "--ssl-keyfile", "key.pem"),
        *("--loop", "uvloop", "--http", "httptools", "--workers", "1"),
        *("--no-access-log", "--log-level", "warning"),
    ]
    return Server(
        name="uvicorn",
        how="one worker, uvloop and httptools, TLS, no access log",
        peer=Peer(port=port, tls=tls),
        asks=lambda: _plain("/", port),
        pids=_start(stack, argv, place.work),
    )


def _workerd(stack: ExitStack, place: Place, tls: ssl.SSLContext) -> Server:
    port = _free()
    binary = next((place.modules / "@cloudflare").glob("workerd-linux-*/bin/workerd"))
    config = place.work / "workerd.capnp"
    config.write_text(config.read_text("ascii").replace("@PORT@", str(port)), "ascii")
    return Server(
        name="workerd",
        how="one process, TLS",
        peer=Peer(port=port, tls=tls),
        asks=lambda: _plain("/", port),
        pids=_start(stack, [str(binary), "serve", config.name], place.work),
    )


def _framework(stack: ExitStack, place: Place, tls: ssl.SSLContext) -> Server:
    port = _free()
    argv = [str(place.python), "framework.py", str(port), "certificate.pem", "key.pem"]
    return Server(
        name="functions-framework",
        how="its own gunicorn (one worker, four threads a core), TLS by its options",
        peer=Peer(port=port, tls=tls),
        asks=lambda: _plain("/", port),
        pids=_start(stack, argv, place.work),
    )


def _offline(stack: ExitStack, place: Place) -> list[Server]:
    """Run serverless-offline: Lambda's Invoke in plain HTTP, it has no TLS there."""
    http, invoke = _free(), _free()
    argv = [
        *("node", "node_modules/serverless/bin/serverless.js", "offline"),
        *("--host", HOST, "--httpPort", str(http), "--lambdaPort", str(invoke)),
    ]
    pids = _start(stack, argv, place.work)

    def server(runtime: str) -> Server:
        path = f"/2015-03-31/functions/hello-dev-{runtime}/invocations"
        return Server(
            name=f"serverless-offline ({runtime})",
            how="version 13, Lambda's Invoke as it ships, plain HTTP, no check of who",
            peer=Peer(port=invoke, tls=None),
            asks=lambda: _plain(path, invoke),
            pids=pids,
        )

    return [server("python"), server("node")]


def _plain(path: str, port: int) -> list[Ask]:
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    return [
        Ask(request=(head % len(body)).encode() + body, expected=expected)
        for body, expected in greetings()
    ]


def _start(stack: ExitStack, argv: list[str], work: Path) -> Callable[[], list[int]]:
    """Start a server that ends with the stack; give what lists its processes."""
    log = stack.enter_context((work / "servers.log").open("ab"))
    process = subprocess.Popen(
        argv,
        cwd=work,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=log,
        env=_environment(work),
        start_new_session=True,
    )
    stack.callback(_stop, process)
    return lambda: processes.family(process.pid)


def _environment(work: Path) -> dict[str, str]:
    """Serverless is told not to speak to its maker, and needs some credentials."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(work),
        "PYTHONPATH": str(work),
        "CI": "1",
        "SLS_TELEMETRY_DISABLED": "1",
        "SLS_NOTIFICATIONS_MODE": "off",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def _wait(server: Server) -> None:
    """Wait until a server answers rightly."""
    end = time.monotonic() + _START
    ask = server.asks()[0]
    while True:
        try:
            line = Line(server.peer)
            try:
                line.ask(ask)
            finally:
                line.close()
        except (OSError, UnexpectedAnswerError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return


def _free() -> int:
    with socket.create_server((HOST, 0)) as door:
        port: int = door.getsockname()[1]
        return port
