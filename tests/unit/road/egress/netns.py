"""A network namespace as the warden makes one for a cell."""

from __future__ import annotations

import ctypes
import os
import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
_RULES = """
table ip casemate {
    chain out {
        type nat hook output priority -100
        ip daddr 198.18.0.0/15 tcp dport 1-65535 redirect to :15001
    }
}
"""
T = TypeVar("T")


def run(*command: str) -> None:
    """Run a system's command; it must succeed."""
    pid = os.posix_spawnp(command[0], command, {"PATH": "/usr/sbin:/sbin:/usr/bin"})
    _, status = os.waitpid(pid, 0)
    assert 0 == os.waitstatus_to_exitcode(status), command


class Namespace:
    """A network namespace by name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def inside(self, work: Callable[[], T]) -> T:
        """Do something in the namespace, in a thread that enters it."""
        done: list[T] = []
        failed: list[BaseException] = []

        def enter() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            with (Path("/run/netns") / self.name).open() as handle:
                assert 0 == libc.setns(handle.fileno(), _CLONE_NEWNET)
            try:
                done.append(work())
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]
        return done[0]

    def listeners(self) -> list[socket.socket]:
        """Bind what the warden binds: redirect, DNS over UDP, DNS over TCP."""

        def bind() -> list[socket.socket]:
            tcp, udp, dns = (
                socket.socket(socket.AF_INET, kind)
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM)
            )
            tcp.bind(("0.0.0.0", 15_001))  # noqa: S104 — in an empty namespace
            udp.bind(("127.0.0.1", 53))
            dns.bind(("127.0.0.1", 53))
            tcp.listen()
            dns.listen()
            return [tcp, udp, dns]

        return self.inside(bind)

    def connect(self, address: str, port: int) -> socket.socket:
        """Connect as code in the cell would."""
        return self.inside(lambda: socket.create_connection((address, port), 10))


@contextmanager
def namespace(folder: Path) -> Iterator[Namespace]:
    """Make a namespace with loopback, the local route and the redirect; remove it."""
    name = f"casemate-test-{secrets.token_hex(4)}"
    rules = folder / "rules.nft"
    rules.write_text(_RULES)
    run("ip", "netns", "add", name)
    try:
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "route", "add", "local", "198.18.0.0/15", "dev", "lo")
        run("ip", "netns", "exec", name, "nft", "-f", str(rules))
        yield Namespace(name)
    finally:
        run("ip", "netns", "delete", name)
