"""The operator's view of a test's platform: its run folder, metrics, processes."""

from __future__ import annotations

import hashlib
import os
import re
import socket
from pathlib import Path

from platform_harness import Platform


def run_folder(platform: Platform) -> Path:
    """Give the folder of this instance below /run/casemate."""
    name = hashlib.sha256(os.fsencode(platform.data.resolve())).hexdigest()[:12]
    return Path("/run/casemate") / name


def scraped(platform: Platform, target: str = "/metrics") -> str:
    """Ask the metrics socket as root."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(run_folder(platform) / "metrics.sock"))
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while more := sock.recv(65_536):
            answer += more
    return answer.decode()


def gauge(platform: Platform, name: str) -> float:
    """Read one number of the metrics; a counter that never moved is not there."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", scraped(platform), re.MULTILINE)
    return float(found[1]) if found else 0.0


def processes_of(first_uid: int, size: int = 65_536) -> list[int]:
    """List the host's processes whose user is in a range."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                uid = entry.stat().st_uid
            except FileNotFoundError:
                continue
            if first_uid <= uid < first_uid + size:
                found.append(int(entry.name))
    return found
