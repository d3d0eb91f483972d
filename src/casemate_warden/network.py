"""
A cell's network: a namespace with a loopback, one local route, and one redirect.

Every TCP connection to 198.18.0.0/15 lands on the listener at port 15001, which
belongs to the egress process but lives in here. Nothing else is reachable: there is
no other device and no other route. The namespace belongs to the host's first user
namespace, so nobody in the cell has power over it.
It is held by a descriptor alone; when that and the cell are gone, so is it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from casemate_warden import kernel

REDIRECT_PORT: Final = 15_001
DNS_PORT: Final = 53
RUNTIME_API_PORT: Final = 9_001
BACKLOG: Final = 128

_RULES: Final = f"""
table ip casemate {{
    chain out {{
        type nat hook output priority -100; policy accept;
        ip daddr 198.18.0.0/15 tcp dport 1-65535 redirect to :{REDIRECT_PORT}
    }}
}}
"""
# Finished connections are forgotten early, so that one cell cannot fill the
# connection table, which all namespaces share (seconds).
_FORGET: Final = {
    "nf_conntrack_tcp_timeout_time_wait": "5",
    "nf_conntrack_tcp_timeout_close_wait": "10",
    "nf_conntrack_tcp_timeout_fin_wait": "10",
    "nf_conntrack_tcp_timeout_established": "1200",
    "nf_conntrack_udp_timeout": "10",
}


@dataclass(frozen=True, kw_only=True)
class Network:
    """The namespace's descriptor and the listeners in it; the holder closes them."""

    namespace: int
    tcp: socket.socket
    dns_udp: socket.socket
    dns_tcp: socket.socket
    api: socket.socket

    def close(self) -> None:
        """Closes whatever is still held here."""
        os.close(self.namespace)
        for listener in (self.tcp, self.dns_udp, self.dns_tcp, self.api):
            listener.close()


def make(host: int) -> Network:
    """
    A finished network; the calling thread is back in namespace `host` afterwards.

    Only for threads that no other work shares. Costs 5 to 8 ms, most of it `nft`.
    """
    kernel.unshare(kernel.CLONE_NEWNET)
    try:
        _loopback_up()
        _route_local()
        _redirect()
        return Network(
            tcp=_listener("0.0.0.0", REDIRECT_PORT),  # noqa: S104 — loopback only
            dns_udp=_datagrams("127.0.0.1", DNS_PORT),
            dns_tcp=_listener("127.0.0.1", DNS_PORT),
            api=_listener("127.0.0.1", RUNTIME_API_PORT),
            namespace=kernel.namespace("net"),  # last: the others close themselves
        )
    finally:
        kernel.setns(host, kernel.CLONE_NEWNET)


def _loopback_up() -> None:
    set_flags, up = 0x8914, 0x1  # SIOCSIFFLAGS, IFF_UP
    request = struct.pack("16sh14x", b"lo", up)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, set_flags, request)


def _route_local() -> None:
    """`ip route add local 198.18.0.0/15 dev lo`, rtnetlink(7)."""
    new_route, flags = 24, 0x605  # RTM_NEWROUTE; REQUEST | ACK | CREATE | EXCL
    table, protocol, scope, local = 255, 4, 254, 2  # local, static, host, RTN_LOCAL
    route = struct.pack(
        "=8BI", socket.AF_INET, 15, 0, 0, table, protocol, scope, local, 0
    )
    route += struct.pack("=HH4s", 8, 1, socket.inet_aton("198.18.0.0"))  # RTA_DST
    route += struct.pack("=HHI", 8, 4, 1)  # RTA_OIF: lo is always 1
    message = struct.pack("=IHHII", 16 + len(route), new_route, flags, 1, 0) + route
    kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
    with socket.socket(socket.AF_NETLINK, kind, socket.NETLINK_ROUTE) as link:
        link.settimeout(5)
        link.send(message)
        answer = link.recv(4096)
    (code,) = struct.unpack_from("=i", answer, 16)
    if code != 0:
        raise OSError(-code, f"route to 198.18.0.0/15: {os.strerror(-code)}")


def _redirect() -> None:
    """The one rule, by `nft` with a constant script."""
    done = subprocess.run(
        ["/usr/sbin/nft", "-f", "-"],
        input=_RULES.encode("ascii"),
        capture_output=True,
        check=False,
        timeout=30,
        env={},
        process_group=0,  # a terminal's interrupt is for the warden, which drains
    )
    if done.returncode != 0:
        raise OSError(errno.EIO, f"nft: {done.stderr.decode(errors='replace')[:200]}")
    for name, seconds in _FORGET.items():
        Path("/proc/sys/net/netfilter", name).write_text(seconds, "ascii")


def _listener(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _datagrams(host: str, port: int) -> socket.socket:
    handle = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    handle.bind((host, port))
    handle.setblocking(False)
    return handle
