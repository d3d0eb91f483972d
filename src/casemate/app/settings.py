"""The node's settings: one frozen value, read once, from the warden alone."""

from __future__ import annotations

from pathlib import Path
from typing import final

import msgspec


@final
class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    What the warden tells the node at its start.

    data: the node's own folder.  pool: generic cells kept waiting per runtime.
    grace: seconds that running calls have at a drain.  memory_mb: MiB of the
    host.  trees_mb: MiB that the warden sets aside for unpacked packages.
    ca: the public root, PEM.  An unknown key is an error.
    """

    data: str
    region: str
    host: str
    port: int
    instance: str
    pool: int
    grace: float
    cores: int
    memory_mb: int
    trees_mb: int
    runtimes: tuple[str, ...]
    ca: str

    @property
    def folder(self) -> Path:
        return Path(self.data)

    @property
    def endpoint(self) -> str:
        """The address that clients use."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"https://{host}:{self.port}"
